/* What a sector of a disk may hold, by what was written and what was acknowledged. Plain values; no thread. */
#pragma once

#include "lib/core/types.h"

#define SECTOR_HISTORY 24u

/* entries in the order of writing: from the last sure one on each is possible, from `durable` on after a power cut */
struct sector {
	struct { u64 stamp; bool sure; } entries[SECTOR_HISTORY];
	u8 count, durable;
	bool busy;           /* a request is under way here */
	u32 base;            /* entries forgotten so far */
};

/* 512 bytes: a stamp and the sector's own number decide each; stamp 0 is zeroes */
void sector_fill(u8 *to, u64 stamp, u64 number);
/* is it one of the entries from `from` on? */
bool sector_may_hold(const struct sector *s, u64 number, const u8 *data, u32 from);
/* the entry that was acknowledged last */
u32 sector_last_sure(const struct sector *s);
bool sector_has_room(const struct sector *s);
/* a write is sent; there must be room */
void sector_note(struct sector *s, u64 stamp);
/* entries before the durable one can come back no more */
void sector_forget_old(struct sector *s);
