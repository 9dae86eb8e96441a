/*
 * Debian's static archives are compiled for glibc with _FORTIFY_SOURCE and call these; musl has none. libjansson.a needs
 * exactly these three; a fourth fails the link, loudly. With glibc this file is empty.
 */
#include <features.h>

#ifndef __GLIBC__
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/check.h"

int __snprintf_chk(char *out, size_t max, int flag, size_t room, const char *format, ...);
int __vsnprintf_chk(char *out, size_t max, int flag, size_t room, const char *format, va_list args);
char *__strncpy_chk(char *to, const char *from, size_t len, size_t room);

int __vsnprintf_chk(char *out, size_t max, int flag, size_t room, const char *format, va_list args)
{
	CHECK(max <= room);
	return vsnprintf(out, max, format, args);
}

int __snprintf_chk(char *out, size_t max, int flag, size_t room, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int r = __vsnprintf_chk(out, max, flag, room, format, args);

	va_end(args);
	return r;
}

char *__strncpy_chk(char *to, const char *from, size_t len, size_t room)
{
	CHECK(len <= room);
	return strncpy(to, from, len);
}
#else
_Static_assert(1, "nothing here");
#endif
