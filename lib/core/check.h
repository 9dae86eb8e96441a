/* CHECK() is for our own bugs only, never for a guest's or the world's: it says where and ends the process. */
#pragma once

#include "lib/core/types.h"

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(cond)                                                                                        \
	do {                                                                                               \
		if (!(cond))                                                                               \
			check_failed(#cond, __FILE__, __LINE__);                                           \
	} while (0)
