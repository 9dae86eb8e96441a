/* What VTL2's memory becomes: host's tree + image layout → e820 and the ranges of /openhcl. Pure. */
#pragma once

#include "boot/host_tree.h"
#include "spec/bootparam.h"
#include "spec/shim.h"

#define PLAN_RANGE_MAX (HOST_MEMORY_MAX + 2 * HOST_MMIO_MAX + 4)
#define PLAN_NO_TYPE 0xFFFFFFFFu

struct plan_range {
	u64 base, size;
	u32 memory_type; /* OPENHCL_MEMORY_* */
	u32 igvm_type; /* PLAN_NO_TYPE for MMIO */
	u32 numa_node;
};

struct plan {
	u64 base; /* of VTL2's region as loaded */
	u32 e820_count;
	struct e820_entry e820[E820_TABLE_MAX]; /* VTL2's memory only */
	u32 range_count;
	struct plan_range ranges[PLAN_RANGE_MAX]; /* the whole partition, sorted within each kind */
	struct host_range log;
};

/* checks what igvmgen wrote: magic, version, every range inside the image; false with a line in err */
bool plan_check_params(const struct shim_params *p, char *err) __must_check;
/*
 * false with a line in err (HOST_ERROR_MAX bytes) when the image does not lie in VTL2's memory or there
 * is too much of it
 */
bool plan_make(const struct host_tree *tree, const struct shim_params *p, u64 base, struct plan *ret, char *err)
	__must_check;
