/* The shape of the machine, out of its options */
#pragma once

#include "host/load/igvm_load.h"
#include "host/pvhost/machine.h"

#define LOW_MMIO_BASE 0xf8000000ull
#define LOW_MMIO_VTL2_SIZE 0x1f00000ull /* a gap behind it: Linux counts a range's end one too far */
#define LOW_MMIO_VTL0_BASE 0xfa000000ull
#define LOW_MMIO_VTL0_SIZE 0x4000000ull
#define HIGH_MMIO_BASE 0xfe0000000ull
#define HIGH_MMIO_ROOM 0x10000000ull
#define HIGH_MMIO_SIZE (HIGH_MMIO_ROOM - MiB) /* a gap, as above */

/* m->config.ram, VTL2's place, the MMIO above: VTL0's RAM from 0, around the low MMIO gap, VTL2's where it was asked for */
void plan_memory(struct machine *m, u64 vtl2_size, u64 image_base);
/* m->config.apic_ids and what their bits mean */
void plan_cpus(struct machine *m);
/* the partition's RAM, the guest's cut into nodes; the firmware's belongs to the first. ret: PARTITION_MAX_RAM + NUMA_MAX. */
u32 plan_list_ram(const struct machine *m, struct load_range *ret);
