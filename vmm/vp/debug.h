/*
 * A VP under a debugger: held still, its registers read and written, stepped by RFLAGS.TF, stopped by breakpoints. Nothing of it
 * costs an exit while no debugger is attached. Functions run on the VP's thread, unless said otherwise.
 */
#pragma once

#include "lib/gdb/registers.h"

struct vp;
struct hcl;
struct machine;

enum vp_debug_stop {
	VP_STOP_STEP,
	VP_STOP_BREAKPOINT, /* RIP is that of the breakpoint */
	VP_STOP_HARDWARE,   /* value: DR6 bits 0-3 */
};

struct vp_debug_ops {
	/* the VP has met something and is held; its thread */
	void (*stopped)(struct machine *, unsigned vp, enum vp_debug_stop why, u64 value);
	/* the registers of a VP that is held are others now: a device has answered; its thread */
	void (*changed)(struct machine *, unsigned vp);
	/* is there a software breakpoint at this GPA? Any thread */
	bool (*breakpoint_at)(struct machine *, u64 gpa);
};

struct vp_hardware {
	u64 address[4];
	u64 dr7;            /* 0: none is wanted */
};

struct vp_debug {
	bool held;          /* by the debugger: VTL0 is not entered */
	bool stepping, armed;
	bool guest_tf;      /* RFLAGS.TF, or what the instruction will make of it, is the guest's own */
	bool hardware;      /* the debug registers are the debugger's */
	enum { STEP_PLAIN, STEP_PUSHF, STEP_LOADS_FLAGS, STEP_SYSCALL, STEP_SYSRET } kind;
	u64 event;          /* an interrupt that was about to be delivered, held back by the step */
	u64 rip, from, to;  /* of the instruction that is stepped; of the range */
	struct vp_hardware wanted;
	u64 own_dr[4], own_dr7; /* the guest's, while hardware */
	u64 holds, steps, breakpoints, traps;
};

/*
 * Intercepts of #DB and #BP; any thread. *ret_soft: #BP is intercepted too; where it cannot be, an IN instruction makes a
 * breakpoint as well, for code of CPL 0 (debug.c). -errno, said.
 */
int vp_debug_intercept(struct hcl *hcl, bool on, bool *ret_soft) __must_check;

/* VTL0 does not run any more; a step that is under way is given up */
void vp_hold(struct vp *vp);
/* it runs on; with step, until it has executed one instruction and RIP is outside of [from, to) */
void vp_release(struct vp *vp, bool step, u64 from, u64 to);
/* while held: *ret gets these classes (GDB_CORE, GDB_SYSTEM). -errno */
int vp_debug_read(struct vp *vp, unsigned classes, struct gdb_registers *ret) __must_check;
/* while held: what is marked as changed is set, and the marks go. -errno: something was refused */
int vp_debug_write(struct vp *vp, struct gdb_registers *regs) __must_check;
/* while held, before vp_release(): these breakpoints in the debug registers, or the guest's own registers back. -errno */
int vp_debug_hardware(struct vp *vp, const struct vp_hardware *wanted) __must_check;
