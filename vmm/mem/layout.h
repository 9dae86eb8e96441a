/*
 * What the shim says of the partition: /sys/firmware/fdt (facts B3, openhcl_boot/src/dt.rs). Parsed once, then constant.
 * Used by the worker and by the control process.
 */
#pragma once

#include "spec/loader_defs.h"

#define LAYOUT_RANGES_MAX 256
#define LAYOUT_VPS_MAX 256
#define LAYOUT_NODES_MAX 64

struct layout_range {
	u64 base, len;
	u32 type;      /* OPENHCL_MEMORY_* */
	u32 igvm_type; /* 0: the tree does not say */
	u32 node;
};

struct partition_layout {
	struct layout_range ranges[LAYOUT_RANGES_MAX]; /* by base, no two overlap */
	unsigned range_count;
	u32 apic_ids[LAYOUT_VPS_MAX];                  /* by VP index */
	u32 vp_nodes[LAYOUT_VPS_MAX];                  /* NUMA nodes, likewise */
	unsigned vp_count;
	bool isolated;
	bool host_allocated;                           /* memory-allocation-mode "host" */
	u64 vtl0_ram_top;                              /* end of the highest VTL0 RAM range */
	unsigned node_count;                           /* NUMA nodes that VTL0's RAM and the VPs are in: the highest and one */
};

/* -EPROTO for a tree that is malformed or contradicts itself (said), -E2BIG past the limits above */
int layout_parse(const void *fdt, size_t len, struct partition_layout *ret) __must_check;
/* reads /sys/firmware/fdt */
int layout_load(struct partition_layout *ret) __must_check;
/* does any VP have an APIC id that only x2APIC mode can address? The guest then starts in that mode. */
bool layout_needs_x2apic(const struct partition_layout *layout);
static inline bool layout_is_vtl2(u32 type)
{
	return type != OPENHCL_MEMORY_VTL0 && type != OPENHCL_MEMORY_VTL0_MMIO && type != OPENHCL_MEMORY_VTL2_MMIO;
}
/*
 * Control process, once per VTL2 life: MSHV_ADD_VTL0_MEMORY for every VTL0 RAM range, cut so that as much as possible is
 * aligned to 1 GiB (8 KiB of page structures a compound page then). vtl_fd from MSHV_CREATE_VTL. -errno, said.
 */
int layout_add_vtl0_memory(const struct partition_layout *layout, int vtl_fd) __must_check;
/* the next piece of [base, end) of those; for the above and for tests */
u64 layout_piece(u64 base, u64 end);
