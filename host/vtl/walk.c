/* Page tables, read without setting accessed or dirty bits: for code bytes and addresses of faulting accesses. */
#include <string.h>

#include "host/vtl/vp.h"

#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define EFER_LMA BIT(10)
#define PTE_PRESENT BIT(0)
#define PTE_LARGE BIT(7)
#define PTE_ADDRESS 0x000ffffffffff000ull

static bool read_table(struct vp *vp, enum vtl vtl, u64 gpa, void *entry, u32 size)
{
	const void *at = vtl == VTL0 ? memory_for_vtl0(vp->partition, gpa, size, HV_MAP_READ) :
				       partition_memory(vp->partition, gpa, size, true);

	if (at)
		memcpy(entry, at, size);
	return at;
}

static bool walk_64(struct vp *vp, enum vtl vtl, u64 linear, u32 levels, u64 table, u64 *ret)
{
	for (int level = (int)levels - 1; level >= 0; level--) {
		u32 shift = 12 + 9 * (u32)level;
		u64 entry;

		if (!read_table(vp, vtl, (table & PTE_ADDRESS) + (linear >> shift & 511) * 8, &entry, 8) ||
		    !(entry & PTE_PRESENT))
			return false;
		table = entry;
		if (level == 0 || (level <= 2 && (entry & PTE_LARGE))) {
			u64 mask = (1ull << shift) - 1;

			*ret = (entry & PTE_ADDRESS & ~mask) | (linear & mask);
			return true;
		}
	}
	return false;
}

static bool walk_pae(struct vp *vp, enum vtl vtl, u64 linear, u64 cr3, u64 *ret)
{
	u64 entry;

	if (!read_table(vp, vtl, (cr3 & ~0x1full) + (linear >> 30 & 3) * 8, &entry, 8) || !(entry & PTE_PRESENT))
		return false;
	return walk_64(vp, vtl, linear & 0x3fffffff, 2, entry, ret);
}

static bool walk_32(struct vp *vp, enum vtl vtl, u64 linear, u64 cr3, bool pse, u64 *ret)
{
	u32 entry;

	if (!read_table(vp, vtl, (cr3 & ~0xfffull) + (linear >> 22 & 1023) * 4, &entry, 4) || !(entry & PTE_PRESENT))
		return false;
	if (pse && (entry & PTE_LARGE)) {
		*ret = (entry & 0xffc00000u) | (linear & 0x3fffff);
		return true;
	}
	if (!read_table(vp, vtl, (entry & ~0xfffu) + (linear >> 12 & 1023) * 4, &entry, 4) || !(entry & PTE_PRESENT))
		return false;
	*ret = (entry & ~0xfffu) | (linear & 0xfff);
	return true;
}

bool walk_linear_of(struct vp *vp, enum vtl vtl, u64 linear, u64 *ret_gpa)
{
	const struct kvm_sregs *s = &SREGS(&vp->per[vtl].vcpu);

	if (!(s->cr0 & CR0_PG)) {
		*ret_gpa = linear & 0xffffffff;
		return true;
	}
	if (s->efer & EFER_LMA)
		return walk_64(vp, vtl, linear, s->cr4 & CR4_LA57 ? 5 : 4, s->cr3, ret_gpa);
	if (s->cr4 & CR4_PAE)
		return walk_pae(vp, vtl, linear & 0xffffffff, s->cr3, ret_gpa);
	return walk_32(vp, vtl, linear & 0xffffffff, s->cr3, s->cr4 & CR4_PSE, ret_gpa);
}

bool walk_linear(struct vp *vp, u64 linear, u64 *ret_gpa)
{
	return walk_linear_of(vp, VTL0, linear, ret_gpa);
}

u32 fetch_code(struct vp *vp, u64 linear, u8 *bytes, u32 len)
{
	u32 got = 0;

	while (got < len) {
		u64 gpa;
		u32 chunk = MIN(len - got, PAGE_SIZE - (u32)((linear + got) & (PAGE_SIZE - 1)));

		if (!walk_linear(vp, linear + got, &gpa))
			break;
		const void *at = memory_for_vtl0(vp->partition, gpa, chunk, HV_MAP_READ);

		if (!at)
			break;
		memcpy(bytes + got, at, chunk);
		got += chunk;
	}
	return got;
}
