/*
 * Text into a fixed buffer, without a C library: what does not fit is cut off, the result always ends in
 * NUL.
 */
#pragma once

#include <stdarg.h>

#include "lib/core/types.h"

/* knows %s %c %u %x (u32), %lu %lx (u64) and %%; returns the length written */
u32 text_format(char *out, u32 size, const char *format, ...) __printf(3, 4);
u32 text_vformat(char *out, u32 size, const char *format, va_list args) __printf(3, 0);
u32 text_length(const char *text);
