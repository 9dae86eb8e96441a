#include "vmm/mem/walk.h"

#define CR0_WP BIT(16)
#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_USER BIT(2)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_FETCH 16u

struct shape {
	unsigned levels, index_bits, entry_len;
	bool rights_at_top; /* PAE's four top entries carry no rights */
};

static struct shape shape_of(const struct walk_state *s)
{
	if (s->efer & EFER_LMA)
		return (struct shape){ s->cr4 & CR4_LA57 ? 5 : 4, 9, 8, true };
	if (s->cr4 & CR4_PAE)
		return (struct shape){ 3, 9, 8, false };
	return (struct shape){ 2, 10, 4, true };
}

/* a fetch is told only where pages can forbid one (SDM 3A 4.7) */
static u32 error_code(const struct walk_state *s, unsigned access, bool present)
{
	bool tells_fetch = s->cr4 & CR4_SMEP || (s->cr4 & CR4_PAE && s->efer & EFER_NXE);

	return (present ? PF_PRESENT : 0) | (access & WALK_WRITE ? PF_WRITE : 0) | (access & WALK_USER ? PF_USER : 0) |
	       (access & WALK_FETCH && tells_fetch ? PF_FETCH : 0);
}

static bool allowed(const struct walk_state *s, u64 rights, bool nx, unsigned access)
{
	bool user = access & WALK_USER, user_page = rights & PTE_USER;

	if (user && !user_page)
		return false;
	if ((access & WALK_WRITE) && !(rights & PTE_WRITE) && (user || (s->cr0 & CR0_WP)))
		return false;
	if ((access & WALK_FETCH) && (nx || (!user && user_page && (s->cr4 & CR4_SMEP))))
		return false;
	return user || !user_page || (access & WALK_FETCH) || !(s->cr4 & CR4_SMAP) || s->smap_override;
}

/* where the page starts and how large it is, for an entry that ends the walk at `level` (1: a 4 KiB page) */
static u64 page_of(const struct shape *sh, unsigned level, u64 entry, u64 *ret_mask)
{
	unsigned shift = PAGE_SHIFT + (level - 1) * sh->index_bits;

	*ret_mask = (1ull << shift) - 1;
	if (sh->entry_len == 4 && level == 2) /* PSE-36: bits 13-20 are address bits 32-39 */
		return (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32;
	return entry & PTE_ADDRESS & ~*ret_mask;
}

static bool is_leaf(const struct walk_state *s, const struct shape *sh, unsigned level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE))
		return false;
	return sh->entry_len == 4 ? (s->cr4 & CR4_PSE) != 0 : level == 2 || (level == 3 && sh->levels >= 4);
}

enum walk_result walk(struct guest *guest, const struct walk_state *s, u64 linear, unsigned access, u64 *ret_gpa,
		      u32 *ret_error)
{
	struct shape sh = shape_of(s);
	u64 table, rights = PTE_WRITE | PTE_USER, mask;
	bool nx = false;

	*ret_error = 0;
	if (!(s->cr0 & CR0_PG)) {
		*ret_gpa = linear & 0xffffffffu;
		return WALK_OK;
	}
	if (sh.levels < 4)
		linear &= 0xffffffffu;
	table = sh.levels == 3 ? s->cr3 & 0xffffffe0u : s->cr3 & PTE_ADDRESS;
	if (sh.levels == 2)
		table &= 0xfffff000u;
	for (unsigned level = sh.levels; level; level--) {
		unsigned shift = PAGE_SHIFT + (level - 1) * sh.index_bits;
		u64 index = linear >> shift & ((1u << sh.index_bits) - 1), entry = 0;

		if (guest_read(guest, table + index * sh.entry_len, &entry, sh.entry_len))
			return WALK_NO_MEMORY;
		if (!(entry & PTE_PRESENT)) {
			*ret_error = error_code(s, access, false);
			return WALK_FAULT;
		}
		if (level != sh.levels || sh.rights_at_top) {
			rights &= entry;
			nx |= sh.entry_len == 8 && (entry & PTE_NX) && (s->efer & EFER_NXE);
		}
		if (is_leaf(s, &sh, level, entry)) {
			if (!allowed(s, rights, nx, access)) {
				*ret_error = error_code(s, access, true);
				return WALK_FAULT;
			}
			u64 base = page_of(&sh, level, entry, &mask);

			*ret_gpa = base | (linear & mask);
			return WALK_OK;
		}
		table = sh.entry_len == 4 ? entry & 0xfffff000u : entry & PTE_ADDRESS;
	}
	return WALK_NO_MEMORY;
}
