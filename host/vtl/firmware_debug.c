/*
 * VTL2 under a debugger: KVM's own single step, breakpoints as instructions that exit, and KVM's debug registers. A step holds
 * interrupts back. One that leaves VTL2 (HvCallVtlReturn) is over when VTL2 goes on behind it.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"

#define VECTOR_DB 1u
#define VECTOR_BP 3u
#define EFER_LMA BIT(10)

bool partition_debug_int3(void)
{
	return !debug_emulated_processor();
}

void partition_debug(struct partition *p, const struct partition_debugger *debugger)
{
	p->debugger = debugger;
	if (debugger)
		return;
	p->debugger_hardware = (struct kvm_guest_debug){ 0 };
	for (u32 i = 0; i < p->vp_count; i++)
		partition_debug_run(p, i, &(struct partition_run){ 0 });
}

void partition_debug_run(struct partition *p, u32 index, const struct partition_run *run)
{
	struct vp *vp = &p->vps[index];

	vp->firmware_debug.run = *run;
	atomic_store(&vp->firmware_debug.held, run->hold);
}

int partition_debug_hardware(struct partition *p, const u64 address[4], u64 dr7)
{
	if (dr7 && debug_emulated_processor())
		return -ENOTSUP; /* they would not trap */
	memcpy(p->debugger_hardware.arch.debugreg, address, 4 * sizeof(address[0]));
	p->debugger_hardware.arch.debugreg[7] = dr7;
	return 0;
}

bool partition_debug_translate(struct partition *p, u32 vp, u64 linear, u64 *ret_gpa)
{
	return vp < p->vp_count && walk_linear_of(&p->vps[vp], VTL2, linear, ret_gpa);
}

/* the first 512 bytes of KVM_GET_XSAVE's area are FXSAVE's; which parts count is the 64 bits behind them */
int partition_debug_fx(struct partition *p, u32 index, u8 fx[512], bool write)
{
	struct vcpu *v = &p->vps[index].per[VTL2].vcpu;

	if (ioctl(v->fd, KVM_GET_XSAVE, v->fpu))
		return -EIO;
	if (!write) {
		memcpy(fx, v->fpu, 512);
		return 0;
	}
	memcpy(v->fpu, fx, 512);
	v->fpu->region[128] |= 3; /* x87, SSE */
	return ioctl(v->fd, KVM_SET_XSAVE, v->fpu) ? -EIO : 0;
}

/* ---- the VP's thread */
static void stop(struct vp *vp, enum partition_stop why, u64 value)
{
	const struct partition_debugger *d = vp->partition->debugger;

	vp->firmware_debug.run.step = false;
	atomic_store(&vp->firmware_debug.held, true);
	d->stopped(d->ctx, vp->index, why, value);
}

void firmware_debug_before_run(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL2].vcpu;
	struct partition *p = vp->partition;
	struct kvm_guest_debug wanted = { 0 };
	bool step = firmware_debug_stepping(vp);

	if (!p->debugger && !vp->firmware_debug.set.control)
		return;
	if (p->debugger) {
		wanted = p->debugger_hardware;
		wanted.control = KVM_GUESTDBG_ENABLE | (partition_debug_int3() ? KVM_GUESTDBG_USE_SW_BP : 0) |
				 (wanted.arch.debugreg[7] ? KVM_GUESTDBG_USE_HW_BP : 0) | (step ? KVM_GUESTDBG_SINGLESTEP : 0);
	}
	if (!memcmp(&wanted, &vp->firmware_debug.set, sizeof(wanted)) && !step)
		return;
	/* KVM notes where a step begins as it is told of it: it must know RIP by then */
	if (v->run->kvm_dirty_regs & KVM_SYNC_X86_REGS && !ioctl(v->fd, KVM_SET_REGS, &REGS(v)))
		v->run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_REGS;
	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &wanted))
		vp_event(vp, PARTITION_FATAL, VTL2, "KVM_SET_GUEST_DEBUG: %s", strerror(errno));
	vp->firmware_debug.set = wanted;
}

static bool breakpoint_at_rip(struct vp *vp)
{
	const struct vcpu *v = &vp->per[VTL2].vcpu;
	const struct partition_debugger *d = vp->partition->debugger;
	u64 linear = SREGS(v).efer & EFER_LMA ? REGS(v).rip : SREGS(v).cs.base + REGS(v).rip, gpa;

	return d && walk_linear_of(vp, VTL2, linear, &gpa) && d->breakpoint_at(d->ctx, gpa);
}

bool firmware_debug_port(struct vp *vp)
{
	const struct kvm_run *run = vp->per[VTL2].vcpu.run;

	if (!vp->partition->debugger || partition_debug_int3() || run->io.direction != KVM_EXIT_IO_IN || !breakpoint_at_rip(vp))
		return false;
	finish_access(vp, VTL2); /* of no effect: the registers stay */
	stop(vp, PARTITION_STOP_BREAKPOINT, 0);
	return true;
}

void firmware_debug_exit(struct vp *vp)
{
	const struct kvm_debug_exit_arch *arch = &vp->per[VTL2].vcpu.run->debug.arch;

	if (!vp->partition->debugger)
		return; /* on its way while the debugger left */
	if (arch->exception == VECTOR_BP) {
		if (breakpoint_at_rip(vp))
			stop(vp, PARTITION_STOP_BREAKPOINT, 0);
		else
			vp_inject_exception(vp, VTL2, VECTOR_BP, false, 0); /* the firmware's own */
	} else if (arch->dr6 & 0xf && vp->partition->debugger_hardware.arch.debugreg[7]) {
		stop(vp, PARTITION_STOP_HARDWARE, arch->dr6 & 0xf);
	} else if (!firmware_debug_stepping(vp)) { /* the firmware steps a program of its own */
		const union hv_register_value dr6 = { .u64 = { arch->dr6 } };

		if (!register_set(vp, VTL2, HV_X64_REGISTER_DR6, &dr6))
			vp_inject_exception(vp, VTL2, VECTOR_DB, false, 0);
	}
	/* else a step: firmware_debug_after_exit() */
}

void firmware_debug_after_exit(struct vp *vp)
{
	const struct vcpu *v = &vp->per[VTL2].vcpu;
	struct partition_run *run = &vp->firmware_debug.run;
	u64 rip = REGS(v).rip;

	/* what pvhost answers has no trap of KVM's before it goes on; a HLT has none at all */
	if (v->run->exit_reason != KVM_EXIT_DEBUG && v->run->exit_reason != KVM_EXIT_HLT)
		return;
	vp->vtl2_halted = false;
	if (run->to > run->from && rip - run->from < run->to - run->from)
		return;
	stop(vp, PARTITION_STOP_STEP, 0);
}
