#include "boot/text.h"

struct out {
	char *at;
	u32 left; /* without the NUL */
};

static void put(struct out *o, char c)
{
	if (o->left) {
		*o->at++ = c;
		o->left--;
	}
}

static void put_text(struct out *o, const char *text)
{
	while (*text)
		put(o, *text++);
}

static void put_number(struct out *o, u64 value, u32 base)
{
	char digits[20];
	u32 n = 0;

	do {
		u32 d = (u32)(value % base);

		digits[n++] = (char)(d < 10 ? '0' + d : 'a' + d - 10);
		value /= base;
	} while (value);
	while (n)
		put(o, digits[--n]);
}

u32 text_vformat(char *out, u32 size, const char *format, va_list args)
{
	struct out o = { out, size ? size - 1 : 0 };

	for (; *format; format++) {
		bool wide = false;

		if (*format != '%') {
			put(&o, *format);
			continue;
		}
		if (*++format == 'l') {
			wide = true;
			format++;
		}
		if (*format == 's')
			put_text(&o, va_arg(args, const char *));
		else if (*format == 'c')
			put(&o, (char)va_arg(args, int));
		else if (*format == 'u' || *format == 'x')
			put_number(&o, wide ? va_arg(args, u64) : va_arg(args, u32), *format == 'u' ? 10 : 16);
		else
			put(&o, *format);
	}
	if (size)
		*o.at = 0;
	return (u32)(o.at - out);
}

u32 text_format(char *out, u32 size, const char *format, ...)
{
	va_list args;
	u32 n;

	va_start(args, format);
	n = text_vformat(out, size, format, args);
	va_end(args);
	return n;
}

u32 text_length(const char *text)
{
	u32 n = 0;

	while (text[n])
		n++;
	return n;
}
