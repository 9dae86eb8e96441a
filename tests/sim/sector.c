#include "tests/sim/sector.h"

#include <string.h>

void sector_fill(u8 *to, u64 stamp, u64 number)
{
	u64 word = stamp * 0x9e3779b97f4a7c15ull ^ number * 0xbf58476d1ce4e5b9ull;

	memset(to, 0, 512);
	for (u32 i = 0; stamp && i < 64; i++, word = word * 6364136223846793005ull + 1442695040888963407ull)
		memcpy(to + 8 * i, i ? &word : &stamp, 8);
}

bool sector_may_hold(const struct sector *s, u64 number, const u8 *data, u32 from)
{
	u8 want[512];

	for (u32 i = from; i < s->count; i++) {
		sector_fill(want, s->entries[i].stamp, number);
		if (!memcmp(data, want, sizeof(want)))
			return true;
	}
	return false;
}

u32 sector_last_sure(const struct sector *s)
{
	u32 i = s->count;

	while (i && !s->entries[i - 1].sure)
		i--;
	return i ? i - 1 : 0;
}

bool sector_has_room(const struct sector *s)
{
	return s->count < SECTOR_HISTORY;
}

void sector_note(struct sector *s, u64 stamp)
{
	s->entries[s->count].stamp = stamp;
	s->entries[s->count++].sure = false;
}

void sector_forget_old(struct sector *s)
{
	u32 drop = MIN(s->durable, sector_last_sure(s));

	memmove(s->entries, s->entries + drop, (s->count - drop) * sizeof(s->entries[0]));
	s->count = (u8)(s->count - drop);
	s->durable = (u8)(s->durable - drop);
	s->base += drop;
}
