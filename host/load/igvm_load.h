/*
 * Puts an IGVM file into a partition's memory, as a host does that runs images for VSM_ISOLATION without
 * isolation. Pure functions over the caller's view of memory; the caller sets the registers. Facts:
 * microsoft/igvm igvm_defs, and microsoft/openvmm vm_loaders/igvm.rs for what the image of OpenHCL
 * expects.
 */
#pragma once

#include "lib/igvm/igvm.h"

/* at() gives len bytes of guest memory at gpa, or NULL when that is not all RAM */
struct load_memory {
	void *(*at)(void *ctx, u64 gpa, u64 len);
	void *ctx;
};

struct load_cpu {
	u32 apic_id;
	u32 numa_node;
};

struct load_range {
	u64 base, size; /* size 0: not there */
	u32 type; /* IGVM_MEMORY_TYPE_*; not used for MMIO */
	u32 numa_node;
};

struct load_request {
	struct load_memory memory;
	const struct load_cpu *cpus; /* in VP order; the first is the boot processor */
	u32 cpu_count;
	const struct load_range *ram; /* VTL0 and VTL2-protectable ranges, sorted, not overlapping */
	u32 ram_count;
	struct load_range vtl2; /* where VTL2 is to lie */
	/*
	 * memory-allocation-mode "vtl2": VTL2 takes vtl2.size bytes out of the RAM, the image's place (vtl2.base) among
	 * them; and vtl2_mmio_size of VTL0's high MMIO when it has no MMIO of its own
	 */
	bool vtl2_allocates;
	u64 vtl2_mmio_size;
	struct load_range vtl0_mmio[2], vtl2_mmio[2];
	u32 vtl0_connection_id, vtl2_connection_id;
	const char *bootargs;
	bool com3;
	const u8 *entropy;
	u32 entropy_len;
};

struct load_register {
	u8 vtl;
	u32 name; /* Hyper-V register name */
	u64 value[2];
};

/*
 * Loads the file: page data (VTL2's region moved to request->vtl2.base, its page tables rebuilt),
 * parameter areas, and the boot processor's registers into ret_regs (room for max). Tables that the
 * request has no data for (MADT, SRAT, SLIT, PPTT) stay zero. 0, or -errno with one line in err; memory
 * is half written then.
 */
int igvm_load(const struct igvm_file *file, const struct load_request *request, struct load_register *ret_regs, u32 max,
	      u32 *ret_count, char *err, size_t err_len) __must_check;

/*
 * what VTL2 needs, for choosing request->vtl2: where it was built for, bytes, and how another base must be aligned.
 * -EINVAL with a line in err.
 */
int igvm_vtl2_needs(const struct igvm_file *file, u64 *ret_base, u64 *ret_size, u64 *ret_align, char *err,
		    size_t err_len) __must_check;
