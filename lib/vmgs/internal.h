/* Between the sources of lib/vmgs. */
#pragma once

#include "lib/core/types.h"
#include "lib/vmgs/vmgs.h"

/* writes v->problem and returns error */
int vmgs_problem(struct vmgs *v, int error, const char *format, ...) __printf(3, 4);
/* which of the two sectors' headers counts, checked; -errno and the problem */
int vmgs_headers_judge(struct vmgs *v, const u8 *sectors, unsigned *ret_active);
void vmgs_header_seal(struct vmgs_header *h);
/* every entry within the device, none over another */
int vmgs_table_judge(struct vmgs *v, const struct vmgs_file_table *table, u32 table_block);
int vmgs_geometry_judge(struct vmgs *v, u64 capacity, u32 sector_size);

static inline u32 block_count(const struct vmgs *v)
{
	return (u32)(v->capacity / VMGS_BLOCK_SIZE);
}

/* blocks in use, as a list that is sorted; the headers' blocks are not in it */
struct extent {
	u32 block, count;
};
struct extents {
	struct extent at[VMGS_FILE_COUNT + 4];
	unsigned count;
};

void vmgs_extents_of(const struct vmgs *v, struct extents *ret);
void vmgs_extents_add(struct extents *e, u32 block, u32 count);
/* smallest hole that takes them; 0: none */
u32 vmgs_extents_hole(const struct extents *e, u32 blocks, u32 end);
