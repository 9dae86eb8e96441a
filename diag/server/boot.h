/*
 * How long each stage of the boot took, from the shim's first instruction to VTL0's: what `inspect boot` shows. The shim leaves
 * its times in the kernel's device tree, in the partition's reference time (names as OpenHCL's boot shim has them); the host's
 * answer to GET's time request says how that clock relates to this kernel's.
 */
#pragma once

#include "lib/inspect/inspect.h"

enum boot_stage { BOOT_SHIM, BOOT_KERNEL, BOOT_INIT, BOOT_CONTROL, BOOT_HOST, BOOT_WORKER, BOOT_VTL0, BOOT_STAGES };

#define BOOT_INIT_VARIABLE "PARAVANE_INIT_BEGAN_NS" /* set by init for its children: CLOCK_MONOTONIC */

struct boot_times {
	u64 shim_start, shim_end;         /* reference time, 100 ns; 0: the shim did not say */
	u64 began_ns[BOOT_STAGES];        /* CLOCK_MONOTONIC, from BOOT_INIT on; 0: not yet */
	s64 reference_ns;                 /* reference time minus CLOCK_MONOTONIC */
	bool reference_known;
};

/* reads what shim and init have left */
void boot_init(struct boot_times *boot);
/* the stage begins now_ns; the first time counts */
void boot_begins(struct boot_times *boot, enum boot_stage stage, u64 now_ns);
/* the host's reference time, 100 ns, at now_ns */
void boot_reference(struct boot_times *boot, u64 reference_time, u64 now_ns);
void boot_inspect(void *boot, struct inspect *in);
