#include "lib/core/check.h"
#include "lib/vmgs/internal.h"

void vmgs_extents_add(struct extents *e, u32 block, u32 count)
{
	unsigned i = e->count++;

	CHECK(i < ARRAY_SIZE(e->at));
	for (; i && e->at[i - 1].block > block; i--)
		e->at[i] = e->at[i - 1];
	e->at[i] = (struct extent){ block, count };
}

/*
 * The table's place is the header's word. Entry 0 should say the same; where another's does not, its blocks are left alone as
 * well, which costs a block and can hurt nobody.
 */
void vmgs_extents_of(const struct vmgs *v, struct extents *ret)
{
	ret->count = 0;
	vmgs_extents_add(ret, v->header.file_table_offset, VMGS_FILE_TABLE_BLOCKS);
	for (u32 i = 0; i < VMGS_FILE_COUNT; i++) {
		const struct vmgs_file_entry *f = &v->table.entries[i];

		if (f->allocation_size && range_within(f->offset, f->allocation_size, VMGS_MIN_FILE_BLOCK,
						       block_count(v) - VMGS_MIN_FILE_BLOCK))
			vmgs_extents_add(ret, f->offset, f->allocation_size);
	}
}

/* each hole between what is used, in order; false: no more. Start with *at and *i 0. */
static bool next_hole(const struct extents *e, u32 end, unsigned *i, u32 *at, struct extent *ret)
{
	*at = MAX(*at, VMGS_MIN_FILE_BLOCK);
	for (; *i <= e->count; (*i)++) {
		u32 upto = *i < e->count ? e->at[*i].block : end;
		u32 from = *at;

		if (*i < e->count)
			*at = MAX(*at, e->at[*i].block + e->at[*i].count);
		if (upto > from) {
			*ret = (struct extent){ from, upto - from };
			(*i)++;
			return true;
		}
	}
	return false;
}

u32 vmgs_extents_hole(const struct extents *e, u32 blocks, u32 end)
{
	struct extent hole, best = { 0, UINT32_MAX };
	unsigned i = 0;
	u32 at = 0;

	while (next_hole(e, end, &i, &at, &hole))
		if (hole.count >= blocks && hole.count < best.count)
			best = hole;
	return best.block;
}

void vmgs_free_blocks(const struct vmgs *v, u32 *ret_free, u32 *ret_largest)
{
	struct extents used;
	struct extent hole;
	unsigned i = 0;
	u32 at = 0;

	*ret_free = *ret_largest = 0;
	vmgs_extents_of(v, &used);
	while (next_hole(&used, block_count(v), &i, &at, &hole)) {
		*ret_free += hole.count;
		*ret_largest = MAX(*ret_largest, hole.count);
	}
}
