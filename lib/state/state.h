/*
 * Saved state: header {magic u32, version u32, length u32, crc u32}, then records {tag u32, version u16, flags u16,
 * length u32, bytes}. A record may hold records (a device and its parts). Little endian. Unknown records that are marked
 * optional are skipped, unknown mandatory ones are -ENOTSUP: an older build never guesses.
 */
#pragma once

#include "lib/core/bytes.h"

#define STATE_MAGIC 0x54535650u /* "PVST" */
#define STATE_VERSION 1u
#define STATE_OPTIONAL 1u
#define STATE_TAG(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)

struct saver {
	u8 *data;
	size_t len, room;
	int error;         /* sticky: the first -errno */
};

void saver_init(struct saver *s);
void saver_fini(struct saver *s);
/* records nest: mark = saver_open(); puts; saver_close(mark) */
size_t saver_open(struct saver *s, u32 tag, u16 version, u16 flags);
void saver_close(struct saver *s, size_t mark);
void saver_put(struct saver *s, const void *data, size_t len);
void saver_u8(struct saver *s, u8 value);
void saver_u16(struct saver *s, u16 value);
void saver_u32(struct saver *s, u32 value);
void saver_u64(struct saver *s, u64 value);
/* fills in the header; 0 or the first error. The bytes stay the saver's. */
int saver_finish(struct saver *s) __must_check;

struct loader {
	struct bytes left;
};

struct record {
	u32 tag;
	u16 version, flags;
	struct bytes body; /* read it with bytes_*(), or walk its records with loader_within() */
};

/* checks header, length and crc: -EPROTO, -ENOTSUP (version), -EBADMSG (crc) */
int loader_init(struct loader *l, const void *data, size_t len) __must_check;
struct loader loader_within(const struct record *record);
/* 1 and *ret; 0 at the end; -EPROTO when malformed */
int loader_next(struct loader *l, struct record *ret) __must_check;
/*
 * For a record the caller does not know, or whose version is newer than known: 0 when it may be skipped, else -ENOTSUP
 */
int loader_unknown(const struct record *record) __must_check;
/* the one record of that tag, which must be there in a version up to max_version: -ENOENT, -ENOTSUP, -EPROTO */
int loader_find(struct loader l, u32 tag, u16 max_version, struct record *ret) __must_check;
