/* The production policy, PARAVANE_DIAGNOSTICS=full|restricted. What is misspelt is not full. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lib/core/types.h"

/* as the environment of this process has it; no word is full */
static inline bool policy_restricted(void)
{
	const char *value = getenv("PARAVANE_DIAGNOSTICS");

	return value && strcmp(value, "full");
}
