#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/load/loader.h"
#include "spec/hv_regs.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_ACCESSED BIT(5)
#define PTE_LARGE BIT(7)
#define PTE_ADDRESS 0x000FFFFFFFFFF000ull
#define CR4_LA57 BIT(12)
#define ENTRIES 512u

static int find_regions(struct loader *l)
{
	struct igvm_cursor c = igvm_headers(l->file);
	struct igvm_header h;

	while (igvm_next(&c, &h)) {
		if (!(h.compatibility_mask & l->mask))
			continue;
		if (h.type == IGVM_RELOCATABLE_REGION) {
			if (l->relocatable)
				return load_bad(l, "header %u: a second relocatable region; only one can be moved", h.index);
			l->relocatable = true;
			l->region = h.body.relocatable;
		} else if (h.type == IGVM_PAGE_TABLE_RELOCATION_REGION) {
			if (l->has_tables)
				return load_bad(l, "header %u: a second page table region", h.index);
			l->has_tables = true;
			l->tables = h.body.page_table;
		}
	}
	return 0;
}

static int check_target(struct loader *l, u64 base)
{
	const struct igvm_relocatable_region *r = &l->region;

	if (!(r->flags & IGVM_RELOCATABLE_IS_VTL2) || r->vtl != 2 || r->vp_index)
		return load_bad(l, "the relocatable region is not that of VTL2's boot processor; load the file unmoved");
	if (!l->has_tables || l->tables.vtl != 2 || l->tables.vp_index)
		return load_bad(l, "a relocatable region without page table region for VTL2 cannot be moved");
	if (ranges_overlap(r->relocation_region_gpa, r->relocation_region_size, l->tables.gpa, l->tables.size))
		return load_bad(l, "the page table region at 0x%lx lies in the relocatable region", l->tables.gpa);
	if (!IS_ALIGNED(base, r->relocation_alignment))
		return load_bad(l, "VTL2 base 0x%lx is not aligned to 0x%lx as the file demands", base,
				r->relocation_alignment);
	if (base < r->minimum_relocation_gpa || base > r->maximum_relocation_gpa ||
	    r->relocation_region_size > r->maximum_relocation_gpa - base)
		return load_bad(l, "VTL2 base 0x%lx is outside the file's window 0x%lx to 0x%lx", base,
				r->minimum_relocation_gpa, r->maximum_relocation_gpa);
	if (l->tables.size > LOAD_TABLES_SIZE_MAX)
		return load_bad(l, "page table region of 0x%lx bytes is unreasonably large", l->tables.size);
	return 0;
}

int relocate_prepare(struct loader *l)
{
	u64 base = l->request->vtl2.base;
	int r = find_regions(l);

	/* a file that cannot be moved must want to be where VTL2 is; REQUIRED_MEMORY tells, later */
	if (r || !l->relocatable || l->region.relocation_region_gpa == base)
		return r;
	r = check_target(l, base);
	if (r)
		return r;
	l->moving = true;
	l->delta = base - l->region.relocation_region_gpa;
	l->table_bytes = calloc(1, l->tables.size);
	return l->table_bytes ? 0 : load_bad(l, "no memory for page tables");
}

static bool in_region(const struct loader *l, u64 gpa)
{
	return range_within(gpa, 1, l->region.relocation_region_gpa, l->region.relocation_region_size);
}

bool relocate_is_table(const struct loader *l, u64 gpa)
{
	return l->moving && range_within(gpa, 1, l->tables.gpa, l->tables.size);
}

u64 relocate_gpa(const struct loader *l, u64 gpa)
{
	return l->moving && (in_region(l, gpa) || relocate_is_table(l, gpa)) ? gpa + l->delta : gpa;
}

struct igvm_register relocate_register(const struct loader *l, struct igvm_register r)
{
	if (!l->moving || r.vtl != 2)
		return r;
	if (r.name == HV_X64_REGISTER_RIP && l->region.flags & IGVM_RELOCATABLE_APPLY_RIP)
		r.value[0] = relocate_gpa(l, r.value[0]);
	/* HV_X64_TABLE_REGISTER: the base is the upper half */
	if (r.name == HV_X64_REGISTER_GDTR && l->region.flags & IGVM_RELOCATABLE_APPLY_GDTR)
		r.value[1] = relocate_gpa(l, r.value[1]);
	if (r.name == HV_X64_REGISTER_CR3)
		r.value[0] += l->delta;
	return r;
}

struct moved_entry {
	u64 va, entry;
	int level;
};

struct rebuild {
	struct loader *l;
	u32 table_count, tables_used, tables_seen;
	struct moved_entry *moved;
	u32 moved_count;
};

static u64 mapping_size(int level)
{
	return 1ull << (12 + 9 * level);
}

static u64 *table_at(struct rebuild *b, u32 index)
{
	return (u64 *)(b->l->table_bytes + (size_t)index * PAGE_SIZE);
}

/* the table's number within the region that starts at base; -1 outside */
static int table_index(struct rebuild *b, u64 base, u64 gpa)
{
	return range_within(gpa, PAGE_SIZE, base, b->l->tables.size) ? (int)((gpa - base) / PAGE_SIZE) : -1;
}

/* a leaf that maps moved memory is taken out here and put back at its new address by insert() */
static int take_leaf(struct rebuild *b, u64 *entry, u64 va, int level)
{
	struct loader *l = b->l;
	u64 size = mapping_size(level), distance = (s64)l->delta < 0 ? -l->delta : l->delta;

	if (!ranges_overlap(va, size, l->region.relocation_region_gpa, l->region.relocation_region_size) ||
	    distance < size)
		return 0;
	if (!IS_ALIGNED(va + l->delta, size))
		return load_bad(l, "page table entry for 0x%lx maps 0x%lx bytes and cannot move by 0x%lx", va, size, l->delta);
	b->moved[b->moved_count++] = (struct moved_entry){
		va + l->delta, (*entry & ~PTE_ADDRESS) | (va + l->delta), level
	};
	*entry = 0;
	return 0;
}

static int walk(struct rebuild *b, u32 index, int level, u64 base)
{
	int r = 0;

	/* each table is reached once in a tree; more visits than tables mean a loop */
	if (b->tables_seen++ == b->table_count)
		return load_bad(b->l, "page tables form a loop");
	for (u32 i = 0; !r && i < ENTRIES; i++) {
		u64 *entry = &table_at(b, index)[i];
		u64 va = base + i * mapping_size(level);
		int child;

		if (!(*entry & PTE_PRESENT))
			continue;
		if (!level || (level < 3 && *entry & PTE_LARGE)) {
			r = take_leaf(b, entry, va, level);
			continue;
		}
		child = table_index(b, b->l->tables.gpa, *entry & PTE_ADDRESS);
		if (child < 0)
			continue;
		*entry += b->l->delta;
		r = walk(b, (u32)child, level - 1, va);
	}
	return r;
}

static int insert(struct rebuild *b, const struct moved_entry *m)
{
	u64 new_base = b->l->tables.gpa + b->l->delta;
	int index = table_index(b, new_base, (b->l->cr3 & PTE_ADDRESS) + b->l->delta);

	for (int level = 3; index >= 0; level--) {
		u64 *entry = &table_at(b, (u32)index)[(m->va >> (12 + 9 * level)) % ENTRIES];

		if (level == m->level) {
			if (*entry & PTE_PRESENT && *entry != m->entry)
				return load_bad(b->l, "0x%lx is mapped already where VTL2 is moved to", m->va);
			*entry = m->entry;
			return 0;
		}
		if (*entry & PTE_PRESENT && level < 3 && *entry & PTE_LARGE)
			return load_bad(b->l, "0x%lx is mapped already where VTL2 is moved to", m->va);
		if (!(*entry & PTE_PRESENT)) {
			if (b->tables_used == b->table_count)
				return load_bad(b->l, "page table region has no room for moving VTL2 to 0x%lx",
						b->l->request->vtl2.base);
			*entry = (new_base + (u64)b->tables_used++ * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
		}
		index = table_index(b, new_base, *entry & PTE_ADDRESS);
	}
	return load_bad(b->l, "page tables lead outside their region");
}

int relocate_tables(struct loader *l)
{
	struct rebuild b = { .l = l, .table_count = (u32)(l->tables.size / PAGE_SIZE),
			     .tables_used = (u32)(l->tables.used_size / PAGE_SIZE) };
	int root = table_index(&b, l->tables.gpa, l->cr3 & PTE_ADDRESS), r;

	if (root < 0)
		return load_bad(l, "VTL2's CR3 0x%lx lies outside the page table region at 0x%lx", l->cr3, l->tables.gpa);
	if (l->cr4 & CR4_LA57)
		return load_bad(l, "VTL2 starts with five-level paging, which cannot be moved");
	b.moved = calloc((size_t)b.table_count * ENTRIES, sizeof(*b.moved));
	if (!b.moved)
		return load_bad(l, "no memory for page tables");
	r = walk(&b, (u32)root, 3, 0);
	for (u32 i = 0; !r && i < b.moved_count; i++)
		r = insert(&b, &b.moved[i]);
	free(b.moved);
	return r;
}
