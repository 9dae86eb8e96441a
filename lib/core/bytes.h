/*
 * A cursor over bytes that nobody vouches for. Copy them out of shared memory first; then every read here
 * either succeeds inside the range or returns false and leaves the cursor where it was. Little endian.
 */
#pragma once

#include "lib/core/types.h"

struct bytes {
	const u8 *at;
	size_t left;
};

static inline struct bytes bytes_of(const void *p, size_t len)
{
	return (struct bytes){ p, len };
}

/* next len bytes as a sub-range */
static inline bool bytes_take(struct bytes *b, size_t len, struct bytes *ret)
{
	if (len > b->left)
		return false;
	*ret = (struct bytes){ b->at, len };
	b->at += len;
	b->left -= len;
	return true;
}

static inline bool bytes_skip(struct bytes *b, size_t len)
{
	struct bytes ignored;

	return bytes_take(b, len, &ignored);
}

/* copy the next len bytes out */
static inline bool bytes_copy(struct bytes *b, void *to, size_t len)
{
	if (len > b->left)
		return false;
	__builtin_memcpy(to, b->at, len);
	b->at += len;
	b->left -= len;
	return true;
}

static inline bool bytes_u8(struct bytes *b, u8 *ret) { return bytes_copy(b, ret, 1); }
static inline bool bytes_u16(struct bytes *b, u16 *ret) { return bytes_copy(b, ret, 2); }
static inline bool bytes_u32(struct bytes *b, u32 *ret) { return bytes_copy(b, ret, 4); }
static inline bool bytes_u64(struct bytes *b, u64 *ret) { return bytes_copy(b, ret, 8); }
