/*
 * MSRs of VTL0 whose writes are watched: the hypervisor leaves each to VTL2, which counts it, tells of it, and makes it. For
 * people who want to know who changes where system calls go. Source: TLFS 15, "Secure Register Intercepts".
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/log/log.h"
#include "spec/hv.h"

#define WATCH_REGISTERS 7u

/* of a VP, and its thread's */
struct watch {
	struct watch_register {
		u64 writes, refused;
		u64 last, last_rip; /* of those that were made */
		struct log_limit limit; /* a register that is written all the time hides no other */
	} all[WATCH_REGISTERS];
};

struct vp;

/*
 * Names with commas between them ("lstar,sysenter_eip"), or "all", into the control bits (HV_CR_INTERCEPT_*). -EINVAL with the
 * reason in why.
 */
int watch_parse(const char *text, u64 *ret_control, char *why, size_t size) __must_check;
/* on the VP's thread, after vp_open() and before VTL0 runs on it: asks the hypervisor for machine->watch. -errno, said. */
int watch_open(struct vp *vp) __must_check;
/*
 * A write of VTL0's was left to VTL2. 0: it is not one that is watched. 1: it is, and is made, or *ret_fault is set: the register
 * takes no such value. -errno: the hypervisor did not do what must work.
 */
int watch_write(struct vp *vp, u32 msr, u64 value, u64 rip, bool *ret_fault) __must_check;
/* a node a register that is watched */
void watch_inspect(void *vp, struct inspect *in);
