/* Words of the environment that switch something on: there, not empty, not "0" */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lib/core/types.h"

static inline bool env_on(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0");
}
