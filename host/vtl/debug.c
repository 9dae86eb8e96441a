/*
 * Exceptions of VTL0 that VTL2 intercepts: #DB and #BP, by KVM_SET_GUEST_DEBUG. Nothing of it is set while VTL2 intercepts none.
 *
 * VTL2 steps by RFLAGS.TF. KVM queues the trap of an instruction that it emulates itself (CPUID, an MSR) for the guest, unless it
 * knows that somebody steps: so it is told, and then hides TF in what it reports; the bit is put back where it must still be set.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"

#define VECTOR_DB 1u
#define VECTOR_BP 3u
#define RFLAGS_TF BIT(8)
#define DR6_FIXED 0xffff0ff0u
#define DR6_BS BIT(14)

/*
 * QEMU's TCG does not intercept the exception of an INT3 instruction (it counts as a software interrupt), and takes note of
 * breakpoints in DR7 only when a MOV writes it, not when VMRUN loads it.
 */
bool debug_emulated_processor(void)
{
	u32 a, b, c, d;
	char name[13] = { 0 };

	__cpuid(0x40000000, a, b, c, d);
	memcpy(name, &b, 4);
	memcpy(name + 4, &c, 4);
	memcpy(name + 8, &d, 4);
	return !strcmp(name, "TCGTCGTCGTCG");
}

u16 debug_install(struct partition *p, u64 vector, bool on)
{
	if (vector != VECTOR_DB && vector != VECTOR_BP)
		return HV_STATUS_INVALID_PARAMETER;
	if (vector == VECTOR_BP && debug_emulated_processor())
		return HV_STATUS_OPERATION_DENIED;
	if (on)
		__atomic_fetch_or(&p->exceptions, 1u << vector, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&p->exceptions, ~(1u << vector), __ATOMIC_SEQ_CST);
	return HV_STATUS_SUCCESS;
}

bool debug_wanted(const struct vp *vp)
{
	return __atomic_load_n(&vp->partition->exceptions, __ATOMIC_RELAXED) & 1u << VECTOR_DB;
}

bool debug_stepping(struct vp *vp)
{
	return debug_wanted(vp) && REGS(&vp->per[VTL0].vcpu).rflags & RFLAGS_TF;
}

void debug_before_run(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	u32 exceptions = __atomic_load_n(&vp->partition->exceptions, __ATOMIC_RELAXED);
	struct kvm_guest_debug wanted = { 0 };

	if (!exceptions && !vp->guest_debug.control)
		return;
	if (exceptions & 1u << VECTOR_BP)
		wanted.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
	if (exceptions & 1u << VECTOR_DB) {
		/* with its own registers: what they do is as before, but the exception comes here */
		wanted.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		memcpy(wanted.arch.debugreg, v->debug.db, sizeof(v->debug.db));
		wanted.arch.debugreg[7] = v->debug.dr7;
		if (REGS(v).rflags & RFLAGS_TF) {
			wanted.control |= KVM_GUESTDBG_SINGLESTEP;
			regs_dirty(v);
		}
	}
	vp->stepped_rip = REGS(v).rip;
	/* KVM remembers where a step begins as it is told of it */
	if (!memcmp(&wanted, &vp->guest_debug, sizeof(wanted)) && !(wanted.control & KVM_GUESTDBG_SINGLESTEP))
		return;
	if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &wanted))
		vp_event(vp, PARTITION_FATAL, VTL0, "KVM_SET_GUEST_DEBUG: %s", strerror(errno));
	vp->guest_debug = wanted;
}

void debug_after_run(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;

	if (vp->guest_debug.control & KVM_GUESTDBG_SINGLESTEP &&
	    (REGS(v).rip == vp->stepped_rip || v->run->exit_reason == KVM_EXIT_DEBUG || v->run->exit_reason == KVM_EXIT_HLT))
		REGS(v).rflags |= RFLAGS_TF;
}

void debug_exit(struct vp *vp)
{
	const struct kvm_debug_exit_arch *d = &vp->per[VTL0].vcpu.run->debug.arch;

	if (d->exception == VECTOR_BP)
		intercept_exception(vp, VECTOR_BP, 0, 1);
	else
		intercept_exception(vp, VECTOR_DB, d->dr6, 0);
}

void debug_trap(struct vp *vp)
{
	vp->trap_pending = false;
	intercept_exception(vp, VECTOR_DB, DR6_FIXED | DR6_BS, 0);
}
