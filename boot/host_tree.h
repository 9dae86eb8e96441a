/*
 * The device tree that the host hands to VTL2, checked and copied out. Source of the format:
 * openhcl-facts B2 (microsoft/openvmm, openhcl/host_fdt_parser). Pure: no machine access, no allocation.
 */
#pragma once

#include "lib/core/types.h"
#include "spec/loader_defs.h"

#define HOST_CPU_MAX 2048u
#define HOST_MEMORY_MAX 512u
#define HOST_MMIO_MAX 2u
#define HOST_BOOTARGS_MAX 2048u
#define HOST_ENTROPY_MAX 256u
#define HOST_ERROR_MAX 256u

struct host_cpu {
	u32 apic_id;
	u32 numa_node;
};

struct host_memory {
	u64 base, size;
	u32 igvm_type; /* IGVM_MEMORY_TYPE_* */
	u32 numa_node;
	bool vtl2; /* VTL2's own: given as VTL2 protectable, or taken (allocate.h) */
};

struct host_range {
	u64 base, size;
};

struct host_vmbus {
	bool present;
	u32 connection_id;
	u32 mmio_count;
	struct host_range mmio[HOST_MMIO_MAX]; /* sorted */
};

struct host_tree {
	u32 cpu_count;
	struct host_cpu cpus[HOST_CPU_MAX]; /* in the order of the tree, which is VP order */
	u32 boot_apic_id;
	u32 memory_count;
	struct host_memory memory[HOST_MEMORY_MAX]; /* sorted, not overlapping */
	struct host_vmbus vmbus_vtl0, vmbus_vtl2;
	bool com3;
	bool vtl2_allocates; /* memory-allocation-mode "vtl2": */
	u64 vtl2_memory_size, vtl2_mmio_size; /* 0: not said */
	bool has_alias_map;
	u64 alias_map;
	u32 entropy_len;
	u8 entropy[HOST_ENTROPY_MAX];
	char bootargs[HOST_BOOTARGS_MAX];
};

/*
 * Checks the tree in data and fills *ret. False: err (HOST_ERROR_MAX bytes) says which node and property
 * is wrong, and *ret is half filled. ret->com3 is set as soon as it is known, so that an error can be
 * printed there.
 */
bool host_tree_read(const void *data, size_t len, struct host_tree *ret, char *err) __must_check;
