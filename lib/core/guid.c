#include "lib/core/guid.h"

static const s8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

static bool dash_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void guid_format(const struct guid *g, char out[GUID_STRLEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	const u8 *raw = (const u8 *)g;

	for (int i = 0; i < 16; i++) {
		if (dash_before(i))
			*out++ = '-';
		*out++ = hex[raw[order[i]] >> 4];
		*out++ = hex[raw[order[i]] & 15];
	}
	*out = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool guid_parse(const char *text, struct guid *ret)
{
	u8 raw[16];

	for (int i = 0; i < 16; i++) {
		if (dash_before(i) && *text++ != '-')
			return false;
		int high = hex_digit(text[0]);
		int low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return false;
		raw[order[i]] = (u8)(high << 4 | low);
		text += 2;
	}
	if (*text)
		return false;
	__builtin_memcpy(ret, raw, sizeof(raw));
	return true;
}
