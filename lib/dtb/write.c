#include "lib/dtb/dtb.h"
#include "lib/dtb/format.h"

static u32 text_len(const char *text)
{
	u32 n = 0;

	while (text[n])
		n++;
	return n;
}

/* len bytes more at the end, zeroed; NULL when they do not fit */
static u8 *grow(struct dtb_writer *w, u32 len)
{
	u8 *at = w->buffer + w->used;

	if (w->failed || len > w->size - w->used) {
		w->failed = true;
		return NULL;
	}
	w->used += len;
	for (u32 i = 0; i < len; i++)
		at[i] = 0;
	return at;
}

static void put32(struct dtb_writer *w, u32 value)
{
	u8 *at = grow(w, 4);

	if (at)
		dtb_store32(at, value);
}

static void put64(struct dtb_writer *w, u64 value)
{
	put32(w, (u32)(value >> 32));
	put32(w, (u32)value);
}

static void put_bytes(struct dtb_writer *w, const void *data, u32 len)
{
	u8 *at = grow(w, ALIGN_UP(len, 4));

	for (u32 i = 0; at && i < len; i++)
		at[i] = ((const u8 *)data)[i];
}

void dtb_begin(struct dtb_writer *w, void *buffer, u32 size)
{
	w->buffer = buffer;
	w->size = size;
	w->used = w->depth = w->strings_len = w->structure = 0;
	w->reserving = true;
	w->failed = false;
	grow(w, sizeof(struct dtb_header));
}

void dtb_reserve(struct dtb_writer *w, u64 address, u64 size)
{
	if (!w->reserving)
		w->failed = true;
	put64(w, address);
	put64(w, size);
}

void dtb_node(struct dtb_writer *w, const char *name)
{
	if (w->reserving) {
		put64(w, 0);
		put64(w, 0);
		w->reserving = false;
		w->structure = w->used;
	}
	w->depth++;
	put32(w, DTB_BEGIN_NODE);
	put_bytes(w, name, text_len(name) + 1);
}

void dtb_node_at(struct dtb_writer *w, const char *name, u64 unit)
{
	char full[64];
	u32 n = 0;
	int shift = 60;

	while (name[n] && n < 40) {
		full[n] = name[n];
		n++;
	}
	full[n++] = '@';
	while (shift && !(unit >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4) {
		u32 digit = unit >> shift & 15;

		full[n++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
	}
	full[n] = 0;
	dtb_node(w, full);
}

void dtb_end_node(struct dtb_writer *w)
{
	if (!w->depth--)
		w->failed = true;
	put32(w, DTB_END_NODE);
}

/* offset of name in the strings, added if it is new */
static u32 string_offset(struct dtb_writer *w, const char *name)
{
	u32 len = text_len(name) + 1, at = 0;

	while (at < w->strings_len) {
		if (dtb_name_is(w->strings + at, name))
			return at;
		at += text_len(w->strings + at) + 1;
	}
	if (len > DTB_STRINGS_MAX - at) {
		w->failed = true;
		return 0;
	}
	for (u32 i = 0; i < len; i++)
		w->strings[at + i] = name[i];
	w->strings_len += len;
	return at;
}

static void put_property(struct dtb_writer *w, const char *name, u32 len)
{
	put32(w, DTB_PROP);
	put32(w, len);
	put32(w, string_offset(w, name));
}

void dtb_bytes(struct dtb_writer *w, const char *name, const void *data, u32 len)
{
	put_property(w, name, len);
	put_bytes(w, data, len);
}

void dtb_empty(struct dtb_writer *w, const char *name)
{
	put_property(w, name, 0);
}

void dtb_text(struct dtb_writer *w, const char *name, const char *text)
{
	dtb_bytes(w, name, text, text_len(text) + 1);
}

void dtb_u32(struct dtb_writer *w, const char *name, u32 value)
{
	put_property(w, name, 4);
	put32(w, value);
}

void dtb_u64(struct dtb_writer *w, const char *name, u64 value)
{
	dtb_u64s(w, name, &value, 1);
}

void dtb_u64s(struct dtb_writer *w, const char *name, const u64 *values, u32 count)
{
	put_property(w, name, count * 8);
	for (u32 i = 0; i < count; i++)
		put64(w, values[i]);
}

u32 dtb_finish(struct dtb_writer *w, u32 boot_cpuid_phys)
{
	u32 strings, fields[10];

	put32(w, DTB_END);
	strings = w->used;
	put_bytes(w, w->strings, w->strings_len);
	if (w->failed || w->depth || w->reserving)
		return 0;
	fields[0] = DTB_MAGIC;
	fields[1] = w->used;
	fields[2] = w->structure;
	fields[3] = strings;
	fields[4] = sizeof(struct dtb_header);
	fields[5] = DTB_VERSION;
	fields[6] = DTB_COMPATIBLE_VERSION;
	fields[7] = boot_cpuid_phys;
	fields[8] = w->strings_len;
	fields[9] = strings - w->structure;
	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		dtb_store32(w->buffer + 4 * i, fields[i]);
	return w->used;
}
