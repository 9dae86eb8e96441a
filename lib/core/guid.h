/* GUIDs as they lie in memory: three little-endian fields, then eight bytes. */
#pragma once

#include "lib/core/types.h"

struct guid {
	u32 data1;
	u16 data2, data3;
	u8 data4[8];
};
_Static_assert(sizeof(struct guid) == 16, "RFC 4122 with the Microsoft field order");

#define GUID(a, b, c, d0, d1, d2, d3, d4, d5, d6, d7)                                                      \
	((struct guid){ a, b, c, { d0, d1, d2, d3, d4, d5, d6, d7 } })
#define GUID_STRLEN 36

static inline bool guid_equal(const struct guid *a, const struct guid *b)
{
	return __builtin_memcmp(a, b, sizeof(*a)) == 0;
}

/* text form, lower case, without braces; out holds GUID_STRLEN + 1 bytes */
void guid_format(const struct guid *g, char out[GUID_STRLEN + 1]);
/* accepts the form above (any case, no braces); false leaves *ret alone */
bool guid_parse(const char *text, struct guid *ret);
