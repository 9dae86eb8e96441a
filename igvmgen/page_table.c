#include "igvmgen/page_table.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_ACCESSED BIT(5)
#define PTE_DIRTY BIT(6)
#define PTE_LARGE BIT(7)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull
#define ENTRIES 512u

struct builder {
	u64 *pages;
	u32 used, max;
	u64 gpa;
};

static u64 *table_at(struct builder *b, u64 gpa)
{
	return b->pages + (gpa - b->gpa) / sizeof(u64);
}

/* the table that entry points to, made if there is none; NULL when there is no room */
static u64 *descend(struct builder *b, u64 *entry)
{
	if (!(*entry & PTE_PRESENT)) {
		if (b->used == b->max)
			return NULL;
		*entry = (b->gpa + (u64)b->used++ * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
	}
	return table_at(b, *entry & PTE_ADDRESS);
}

u32 page_table_build(u64 base, u64 size, u64 table_gpa, u64 *pages, u32 page_max)
{
	struct builder b = { pages, 1, page_max, table_gpa };

	if (!page_max)
		return 0;
	__builtin_memset(pages, 0, (size_t)page_max * PAGE_SIZE);
	for (u64 at = base; at < base + size; at += 2 * MiB) {
		u64 *table = pages;

		for (int level = 3; level > 1; level--) {
			table = descend(&b, &table[(at >> (12 + 9 * level)) % ENTRIES]);
			if (!table)
				return 0;
		}
		table[(at >> 21) % ENTRIES] = at | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_LARGE;
	}
	return b.used;
}

static u32 tables_for(u64 size, int shift)
{
	/* an unlucky base makes the range touch one table more */
	return (u32)(size >> shift) + 2;
}

u32 page_table_reserve(u64 base, u64 size)
{
	/*
	 * the root, the tables as built, and as many again: a host keeps the old ones when it moves
	 * entries
	 */
	return 1 + 2 * (tables_for(size, 30) + tables_for(size, 39));
}
