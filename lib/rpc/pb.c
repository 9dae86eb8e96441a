#include "lib/rpc/pb.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/grow.h"

void pb_init(struct pb_writer *w)
{
	*w = (struct pb_writer){ 0 };
}

void pb_fini(struct pb_writer *w)
{
	free(w->data);
	pb_init(w);
}

static bool reserve(struct pb_writer *w, size_t more)
{
	if (w->failed || more > SIZE_MAX / 4 - w->len || !grow(&w->data, &w->room, w->len + more, 256))
		w->failed = true;
	return !w->failed;
}

void pb_raw(struct pb_writer *w, const void *data, size_t len)
{
	if (!len || !reserve(w, len))
		return;
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

static size_t encode_varint(u8 out[10], u64 value)
{
	size_t n = 0;

	while (value >= 0x80) {
		out[n++] = (u8)(value | 0x80);
		value >>= 7;
	}
	out[n++] = (u8)value;
	return n;
}

void pb_varint(struct pb_writer *w, u64 value)
{
	u8 raw[10];

	pb_raw(w, raw, encode_varint(raw, value));
}

void pb_tag(struct pb_writer *w, u32 field, enum pb_wire wire)
{
	pb_varint(w, (u64)field << 3 | (u64)wire);
}

void pb_u64(struct pb_writer *w, u32 field, u64 value)
{
	pb_tag(w, field, PB_VARINT);
	pb_varint(w, value);
}

void pb_s64(struct pb_writer *w, u32 field, s64 value)
{
	pb_u64(w, field, ((u64)value << 1) ^ (u64)(value >> 63));
}

void pb_bytes(struct pb_writer *w, u32 field, const void *data, size_t len)
{
	pb_tag(w, field, PB_BYTES);
	pb_varint(w, len);
	pb_raw(w, data, len);
}

void pb_string(struct pb_writer *w, u32 field, const char *text)
{
	pb_bytes(w, field, text, strlen(text));
}

size_t pb_open(struct pb_writer *w, u32 field)
{
	pb_tag(w, field, PB_BYTES);
	return w->len;
}

/* the length goes in front of what was written since: its size is known only now */
void pb_close(struct pb_writer *w, size_t mark)
{
	u8 raw[10];

	if (w->failed)
		return;
	size_t len = w->len - mark, n = encode_varint(raw, len);

	if (!reserve(w, n))
		return;
	memmove(w->data + mark + n, w->data + mark, len);
	memcpy(w->data + mark, raw, n);
	w->len += n;
}

bool pb_read_varint(struct bytes *b, u64 *ret)
{
	u64 value = 0;
	struct bytes at = *b;
	u8 byte;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (!bytes_u8(&at, &byte))
			return false;
		if (shift == 63 && byte > 1)
			return false;
		value |= (u64)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*b = at;
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool read_body(struct bytes *b, struct pb_field *f)
{
	u64 len;
	u32 word;

	switch (f->wire) {
	case PB_VARINT:
		return pb_read_varint(b, &f->value);
	case PB_FIXED64:
		return bytes_u64(b, &f->value);
	case PB_FIXED32:
		if (!bytes_u32(b, &word))
			return false;
		f->value = word;
		return true;
	case PB_BYTES:
		return pb_read_varint(b, &len) && len <= b->left && bytes_take(b, (size_t)len, &f->body);
	}
	return false;
}

bool pb_next(struct bytes *message, struct pb_field *ret, bool *ret_bad)
{
	u64 tag;
	struct pb_field f = { 0 };

	*ret_bad = false;
	if (!message->left)
		return false;
	*ret_bad = true;
	if (!pb_read_varint(message, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return false;
	f.number = (u32)(tag >> 3);
	f.wire = (enum pb_wire)(tag & 7);
	if (!read_body(message, &f))
		return false;
	*ret_bad = false;
	*ret = f;
	return true;
}

bool pb_text(struct bytes b, char *out, size_t size)
{
	if (b.left >= size || (b.left && memchr(b.at, 0, b.left)))
		return false;
	if (b.left)
		memcpy(out, b.at, b.left);
	out[b.left] = 0;
	return true;
}
