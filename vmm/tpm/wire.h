/*
 * What TPM commands and responses are made of: big endian numbers, and byte strings with a 16-bit length in front (TPM2B).
 * A writer that has no room left notes it and writes no more, so that only the end has to be looked at.
 */
#pragma once

#include "lib/core/bytes.h"

struct wire {
	u8 *bytes; /* the caller's */
	size_t len, room;
	bool full;
};

static inline struct wire wire_of(void *bytes, size_t room)
{
	return (struct wire){ bytes, 0, room, false };
}

static inline void wire_put(struct wire *w, const void *from, size_t len)
{
	if (w->full || len > w->room - w->len) {
		w->full = true;
		return;
	}
	if (len)
		__builtin_memcpy(w->bytes + w->len, from, len);
	w->len += len;
}

static inline void wire_u8(struct wire *w, u8 value)
{
	wire_put(w, &value, 1);
}

static inline void wire_u16(struct wire *w, u16 value)
{
	u16 big = __builtin_bswap16(value);

	wire_put(w, &big, sizeof(big));
}

static inline void wire_u32(struct wire *w, u32 value)
{
	u32 big = __builtin_bswap32(value);

	wire_put(w, &big, sizeof(big));
}

static inline void wire_sized(struct wire *w, const void *from, u16 len)
{
	wire_u16(w, len);
	wire_put(w, from, len);
}

/* a size that is known only when what it counts is written: mark = wire_open(); puts; wire_close(mark) */
static inline size_t wire_open(struct wire *w)
{
	wire_u16(w, 0);
	return w->len;
}

static inline void wire_close(struct wire *w, size_t mark)
{
	size_t len = w->len - mark;

	if (w->full)
		return;
	w->bytes[mark - 2] = (u8)(len >> 8);
	w->bytes[mark - 1] = (u8)len;
}

static inline bool wire_get_u16(struct bytes *b, u16 *ret)
{
	u16 big;

	if (!bytes_u16(b, &big))
		return false;
	*ret = __builtin_bswap16(big);
	return true;
}

static inline bool wire_get_u32(struct bytes *b, u32 *ret)
{
	u32 big;

	if (!bytes_u32(b, &big))
		return false;
	*ret = __builtin_bswap32(big);
	return true;
}

/* a TPM2B: what is in it */
static inline bool wire_get_sized(struct bytes *b, struct bytes *ret)
{
	struct bytes at = *b;
	u16 len;

	if (!wire_get_u16(&at, &len) || !bytes_take(&at, len, ret))
		return false;
	*b = at;
	return true;
}
