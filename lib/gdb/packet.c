#include "lib/gdb/packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/grow.h"

#define ESCAPE '}'
#define ESCAPE_BIT 0x20

static int digit(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---- in */
static enum gdb_event between(struct gdb_reader *r, u8 byte)
{
	switch (byte) {
	case '$':
		r->state = GDB_CONTENT;
		r->sum = 0;
		r->len = 0;
		r->too_long = r->bad_sum = false;
		return GDB_NOTHING;
	case '+':
		return GDB_ACK;
	case '-':
		return GDB_NAK;
	case 3:
		return GDB_INTERRUPT;
	}
	return GDB_NOTHING;
}

static void keep(struct gdb_reader *r, u8 byte)
{
	if (r->len < GDB_PACKET_MAX)
		r->data[r->len++] = byte;
	else
		r->too_long = true;
}

static void content(struct gdb_reader *r, u8 byte)
{
	switch (byte) {
	case '#':
		r->state = GDB_SUM_HIGH;
		return;
	case '$': /* the end of the packet before was lost */
		between(r, byte);
		return;
	case ESCAPE:
		r->state = GDB_ESCAPED;
		break;
	default:
		keep(r, byte);
	}
	r->sum = (u8)(r->sum + byte);
}

static void checksum(struct gdb_reader *r, u8 byte)
{
	int d = digit(byte);

	r->bad_sum |= d < 0;
	r->told = (u8)(r->told << 4 | (d < 0 ? 0 : d));
}

enum gdb_event gdb_read(struct gdb_reader *r, u8 byte)
{
	switch (r->state) {
	case GDB_BETWEEN:
		return between(r, byte);
	case GDB_CONTENT:
		content(r, byte);
		return GDB_NOTHING;
	case GDB_ESCAPED:
		r->sum = (u8)(r->sum + byte);
		r->state = GDB_CONTENT;
		keep(r, byte ^ ESCAPE_BIT);
		return GDB_NOTHING;
	case GDB_SUM_HIGH:
		r->told = 0;
		checksum(r, byte);
		r->state = GDB_SUM_LOW;
		return GDB_NOTHING;
	case GDB_SUM_LOW:
		break;
	}
	checksum(r, byte);
	r->state = GDB_BETWEEN;
	r->data[r->len] = 0;
	return r->bad_sum || r->told != r->sum ? GDB_BAD_PACKET : r->too_long ? GDB_LONG_PACKET : GDB_PACKET;
}

/* ---- words */
bool gdb_take(struct gdb_words *w, const char *text)
{
	size_t len = strlen(text);

	if (gdb_left(w) < len || memcmp(w->at, text, len))
		return false;
	w->at += len;
	return true;
}

bool gdb_take_hex(struct gdb_words *w, u64 *ret)
{
	const char *at = w->at;
	u64 value = 0;

	for (; at < w->end && digit((u8)*at) >= 0; at++) {
		if (at - w->at == 16)
			return false;
		value = value << 4 | (u64)digit((u8)*at);
	}
	if (at == w->at)
		return false;
	w->at = at;
	*ret = value;
	return true;
}

bool gdb_take_bytes(struct gdb_words *w, u8 *ret, size_t len)
{
	if (gdb_left(w) / 2 < len)
		return false;
	for (size_t i = 0; i < 2 * len; i++)
		if (digit((u8)w->at[i]) < 0)
			return false;
	for (size_t i = 0; i < len; i++)
		ret[i] = (u8)(digit((u8)w->at[2 * i]) << 4 | digit((u8)w->at[2 * i + 1]));
	w->at += 2 * len;
	return true;
}

bool gdb_take_thread(struct gdb_words *w, s64 *ret)
{
	struct gdb_words copy = *w;
	u64 id;

	if (gdb_take(w, "-1")) {
		*ret = -1;
		return true;
	}
	if (!gdb_take_hex(&copy, &id) || id > 0xffffffffu)
		return false;
	*w = copy;
	*ret = (s64)id;
	return true;
}

/* ---- text */
#define TEXT_MAX (256u << 10)

void gdb_text_fini(struct gdb_text *t)
{
	free(t->data);
	*t = (struct gdb_text){ 0 };
}

void gdb_say(struct gdb_text *t, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	int count = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	size_t len = count < 0 ? 0 : MIN((size_t)count, sizeof(line) - 1);

	if (t->failed || len >= TEXT_MAX - t->len || !grow(&t->data, &t->room, t->len + len + 1, 1024)) {
		t->failed = true;
		return;
	}
	memcpy(t->data + t->len, line, len + 1);
	t->len += len;
}

/* ---- out */
void gdb_writer_fini(struct gdb_writer *w)
{
	free(w->data);
	*w = (struct gdb_writer){ 0 };
}

static void put(struct gdb_writer *w, const void *data, size_t len)
{
	if (w->failed || len > GDB_OUTPUT_MAX - w->len || !grow(&w->data, &w->room, w->len + len, 1024)) {
		w->failed = true;
		return;
	}
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

void gdb_put_raw(struct gdb_writer *w, char c)
{
	put(w, &c, 1);
}

void gdb_begin(struct gdb_writer *w)
{
	w->packet = w->len;
	put(w, "$", 1);
}

void gdb_put(struct gdb_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

void gdb_printf(struct gdb_writer *w, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(w, text, len < 0 ? 0 : MIN((size_t)len, sizeof(text) - 1));
}

void gdb_put_hex(struct gdb_writer *w, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const u8 *bytes = data;

	for (size_t i = 0; i < len; i++) {
		const char two[2] = { digits[bytes[i] >> 4], digits[bytes[i] & 0xf] };

		put(w, two, 2);
	}
}

void gdb_put_binary(struct gdb_writer *w, const void *data, size_t len)
{
	const u8 *bytes = data;

	for (size_t i = 0; i < len; i++) {
		u8 pair[2] = { ESCAPE, bytes[i] ^ ESCAPE_BIT };
		bool special = bytes[i] == '#' || bytes[i] == '$' || bytes[i] == ESCAPE || bytes[i] == '*';

		put(w, special ? pair : &bytes[i], special ? 2 : 1);
	}
}

void gdb_end(struct gdb_writer *w)
{
	u8 sum = 0;

	if (w->failed)
		return;
	for (size_t i = w->packet + 1; i < w->len; i++)
		sum = (u8)(sum + w->data[i]);
	gdb_printf(w, "#%02x", sum);
}
