/*
 * Protobuf wire format (protobuf.dev/programming-guides/encoding), nothing above it: a growing writer and a cursor.
 * Writer: an allocation that fails sets `failed` and all later writes are dropped, so one check at the end is enough.
 * Cursor: every read stays inside the range; false means malformed or truncated. No thread of its own.
 */
#pragma once

#include "lib/core/bytes.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_writer {
	u8 *data;
	size_t len, room;
	bool failed;
};

void pb_init(struct pb_writer *w);
void pb_fini(struct pb_writer *w);
/* raw bytes, without a tag */
void pb_raw(struct pb_writer *w, const void *data, size_t len);
void pb_varint(struct pb_writer *w, u64 value);
void pb_tag(struct pb_writer *w, u32 field, enum pb_wire wire);
void pb_u64(struct pb_writer *w, u32 field, u64 value);
/* sint64: zigzag */
void pb_s64(struct pb_writer *w, u32 field, s64 value);
void pb_bytes(struct pb_writer *w, u32 field, const void *data, size_t len);
void pb_string(struct pb_writer *w, u32 field, const char *text);
/* a sub-message: mark = pb_open(); fields; pb_close(mark). Nests. */
size_t pb_open(struct pb_writer *w, u32 field);
void pb_close(struct pb_writer *w, size_t mark);

struct pb_field {
	u32 number;
	enum pb_wire wire;
	u64 value;         /* varint, fixed32, fixed64 */
	struct bytes body; /* PB_BYTES */
};

/* next field of the message; false at its end or when it is malformed: *ret_bad tells the two apart */
bool pb_next(struct bytes *message, struct pb_field *ret, bool *ret_bad);
/* a string field's bytes as a C string; false: too long for out, or a NUL in it */
bool pb_text(struct bytes b, char *out, size_t size) __must_check;
bool pb_read_varint(struct bytes *b, u64 *ret);
static inline s64 pb_zigzag(u64 v) { return (s64)(v >> 1) ^ -(s64)(v & 1); }
