/*
 * A VTL switch: what the TLFS says VTLs share (general registers but RSP, CR2, DR0-3, DR6, x87/SSE) is copied to the
 * other vcpu; the rest stays. VTL2 enters after the VTL-return instruction it left by.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"

#define LEGACY_LEN 512       /* x87 and SSE in the XSAVE area */
#define MXCSR_MASK_OFFSET 28 /* constant of the processor */
#define SW_RESERVED_OFFSET 464
#define XSTATE_BV_OFFSET 512
#define XSTATE_FP_SSE 3ull
#define OUT_LEN 2 /* of the OUT instructions in the hypercall page */

static void copy_general(struct kvm_regs *to, const struct kvm_regs *from)
{
	u64 rip = to->rip, rsp = to->rsp, rflags = to->rflags;

	*to = *from;
	to->rip = rip;
	to->rsp = rsp;
	to->rflags = rflags;
}

/*
 * KVM_GET_XSAVE leaves components that are in their initial state out of XSTATE_BV, but their bytes then hold the
 * initial values. Marking both as present makes a byte copy right.
 */
static void copy_fpu(struct vp *vp, struct vcpu *to, struct vcpu *from)
{
	if (ioctl(from->fd, KVM_GET_XSAVE, from->fpu)) {
		vp_event(vp, PARTITION_FATAL, VTL2, "KVM_GET_XSAVE failed on a VTL switch");
		return;
	}
	u8 *source = (u8 *)from->fpu, *target = (u8 *)to->fpu;

	if (!memcmp(source, target, MXCSR_MASK_OFFSET) &&
	    !memcmp(source + 32, target + 32, SW_RESERVED_OFFSET - 32))
		return;
	memcpy(target, source, MXCSR_MASK_OFFSET);
	memcpy(target + 32, source + 32, SW_RESERVED_OFFSET - 32);
	u64 present;

	memcpy(&present, target + XSTATE_BV_OFFSET, sizeof(present));
	present |= XSTATE_FP_SSE;
	memcpy(target + XSTATE_BV_OFFSET, &present, sizeof(present));
	vp->counters.fpu_copies++;
	if (ioctl(to->fd, KVM_SET_XSAVE, to->fpu))
		vp_event(vp, PARTITION_FATAL, VTL2, "KVM_SET_XSAVE failed on a VTL switch");
}

static void copy_debug(struct vp *vp, struct vcpu *to, struct vcpu *from)
{
	if (ioctl(from->fd, KVM_GET_DEBUGREGS, &from->debug))
		return;
	if (!memcmp(to->debug.db, from->debug.db, sizeof(to->debug.db)) && to->debug.dr6 == from->debug.dr6)
		return;
	memcpy(to->debug.db, from->debug.db, sizeof(to->debug.db));
	to->debug.dr6 = from->debug.dr6;
	if (ioctl(to->fd, KVM_SET_DEBUGREGS, &to->debug))
		vp_event(vp, PARTITION_FATAL, VTL2, "KVM_SET_DEBUGREGS failed on a VTL switch");
}

static void copy_shared(struct vp *vp, struct vcpu *to, struct vcpu *from)
{
	copy_general(&REGS(to), &REGS(from));
	regs_dirty(to);
	if (SREGS(to).cr2 != SREGS(from).cr2) {
		SREGS(to).cr2 = SREGS(from).cr2;
		sregs_dirty(to);
	}
	copy_fpu(vp, to, from);
	copy_debug(vp, to, from);
}

static struct hv_vp_assist_page *assist_page(struct vp *vp)
{
	u64 msr = vp->per[VTL2].assist_page;

	return msr & HV_MSR_PAGE_ENABLE ? partition_memory(vp->partition, msr & HV_MSR_PAGE_GPA, PAGE_SIZE, true) : NULL;
}

static struct hv_register_page *register_page(struct vp *vp)
{
	return vp->register_page & 1
		       ? partition_memory(vp->partition, vp->register_page & HV_MSR_PAGE_GPA, PAGE_SIZE, true)
		       : NULL;
}

u64 pending_interruption(struct vp *vp)
{
	const struct kvm_vcpu_events *e = &vp->per[VTL0].vcpu.run->s.regs.events;

	if (vp->pending_interruption || !(e->interrupt.injected || e->exception.injected || e->nmi.injected))
		return vp->pending_interruption;
	if (e->exception.injected)
		return HV_PENDING_INTERRUPTION | FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_EXCEPTION) |
		       (e->exception.has_error_code ? HV_PENDING_HAS_ERROR : 0) |
		       FIELD_PREP(HV_PENDING_VECTOR, e->exception.nr) |
		       FIELD_PREP(HV_PENDING_ERROR_CODE, e->exception.error_code);
	return HV_PENDING_INTERRUPTION |
	       (e->nmi.injected ? FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_NMI) :
				  FIELD_PREP(HV_PENDING_VECTOR, e->interrupt.nr));
}

static void fill_register_page(struct vp *vp, struct hv_register_page *page)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_regs *r = &REGS(v);
	const struct kvm_sregs *s = &SREGS(v);

	page->version = HV_REGISTER_PAGE_VERSION;
	page->valid = 1;
	page->dirty = 0;
	const u64 gpr[HV_GPR_COUNT] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
					r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

	memcpy(page->gpr, gpr, sizeof(gpr));
	page->rip = r->rip;
	page->rflags = r->rflags;
	segment_to_hv(&s->es, &page->es);
	segment_to_hv(&s->cs, &page->cs);
	segment_to_hv(&s->ss, &page->ss);
	segment_to_hv(&s->ds, &page->ds);
	segment_to_hv(&s->fs, &page->fs);
	segment_to_hv(&s->gs, &page->gs);
	page->cr0 = s->cr0;
	page->cr3 = s->cr3;
	page->cr4 = s->cr4;
	page->cr8 = s->cr8;
	page->efer = s->efer;
	page->dr7 = v->debug.dr7;
	page->pending_interruption = pending_interruption(vp);
	page->interrupt_state = v->run->s.regs.events.interrupt.shadow ? 1 : 0;
}

/* what VTL2 changed through the page; only classes it marked */
static void take_register_page(struct vp *vp, struct hv_register_page *page)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	u32 dirty = __atomic_exchange_n(&page->dirty, 0, __ATOMIC_ACQ_REL);

	if (dirty & HV_REGISTER_CLASS_GENERAL)
		REGS(v).rsp = page->gpr[HV_RSP]; /* the other general registers are shared and already there */
	if (dirty & HV_REGISTER_CLASS_IP)
		REGS(v).rip = page->rip;
	if (dirty & HV_REGISTER_CLASS_FLAGS)
		REGS(v).rflags = page->rflags | 2;
	if (dirty & HV_REGISTER_CLASS_SEGMENT) {
		struct kvm_sregs *s = &SREGS(v);

		segment_from_hv(&page->es, &s->es);
		segment_from_hv(&page->cs, &s->cs);
		segment_from_hv(&page->ss, &s->ss);
		segment_from_hv(&page->ds, &s->ds);
		segment_from_hv(&page->fs, &s->fs);
		segment_from_hv(&page->gs, &s->gs);
		sregs_dirty(v);
	}
}

/* VTL2 gets to see VTL0 after the instruction, not in its middle */
static void complete_answered(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	int r;

	do { /* a page-crossing access comes in pieces */
		v->run->immediate_exit = 1;
		r = ioctl(v->fd, KVM_RUN, 0);
		v->run->immediate_exit = 0;
		if (!r && v->run->exit_reason == KVM_EXIT_MMIO)
			stray_mmio(vp);
	} while (!r && v->run->exit_reason == KVM_EXIT_MMIO);
	v->open = ACCESS_NONE;
	vp->trap_pending |= !r && v->run->exit_reason == KVM_EXIT_DEBUG;
}

void switch_to_vtl2(struct vp *vp, u32 reason)
{
	struct vcpu *from = &vp->per[VTL0].vcpu, *to = &vp->per[VTL2].vcpu;
	struct hv_vp_assist_page *assist = assist_page(vp);
	struct hv_register_page *page = register_page(vp);

	if (from->open == ACCESS_ANSWERED)
		complete_answered(vp);
	copy_shared(vp, to, from);
	REGS(to).rip += OUT_LEN;
	if (assist)
		assist->vtl_entry_reason = reason;
	if (page)
		fill_register_page(vp, page);
	atomic_store(&vp->vtl, VTL2);
	vp->counters.vtl_switches++;
}

/*
 * KVM holds back an INS until it is told what the ports gave, and writes that where the instruction began, whatever happened
 * to the registers meanwhile. VTL2 has done it already, all of it or a part: what is in memory now is written once more.
 */
static void repeat_string_input(struct vp *vp, u64 linear)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	u8 *data = (u8 *)v->run + v->run->io.data_offset;
	u32 size = v->run->io.size;
	u64 step = REGS(v).rflags & BIT(10) ? (u64)-(s64)size : size;

	for (u32 i = 0; i < v->run->io.count; i++, linear += step)
		fetch_code(vp, linear, data + i * size, size); /* where nothing is, KVM writes nothing */
}

/* the rest that KVM asks for by itself */
static void repeat_more(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	struct decoded d;

	if (v->run->exit_reason != KVM_EXIT_IO || v->run->io.direction != KVM_EXIT_IO_IN)
		return;
	decode_at_rip(vp, &d);
	if (decoded_string_io(&d))
		repeat_string_input(vp, d.linear);
}

/*
 * KVM finishes an access at the next KVM_RUN: it skips the instruction and loads RAX (and RDX), for ports if RIP is still
 * where it was, for MSRs and string input always. VTL2 has answered already: let KVM finish without entering, then put the
 * registers back.
 */
void finish_access(struct vp *vp, enum vtl vtl)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	struct kvm_regs keep = REGS(v);
	struct kvm_sregs keep_sregs = SREGS(v);
	struct kvm_vcpu_events keep_events = v->run->s.regs.events;
	u64 dirty = v->run->kvm_dirty_regs;

	if (v->open == ACCESS_STRING_INPUT)
		repeat_string_input(vp, v->open_linear);
	v->open = ACCESS_NONE;
	v->run->kvm_dirty_regs = 0;
	for (int i = 0; i < 4; i++) { /* page-crossing and string accesses come in pieces */
		v->run->immediate_exit = 1;
		int r = ioctl(v->fd, KVM_RUN, 0);

		v->run->immediate_exit = 0;
		if (r < 0 || (v->run->exit_reason != KVM_EXIT_MMIO && v->run->exit_reason != KVM_EXIT_IO))
			break;
		repeat_more(vp);
	}
	REGS(v) = keep;
	SREGS(v) = keep_sregs;
	v->run->s.regs.events = keep_events;
	v->run->kvm_dirty_regs = dirty | KVM_SYNC_X86_REGS;
}

/* what VTL2 left to be done now; its bytes are copied, then read */
static void perform_actions(struct vp *vp, struct hv_vp_assist_page *assist)
{
	struct hv_vtl_return_signal_event actions[sizeof(assist->vtl_ret_actions) / sizeof(struct hv_vtl_return_signal_event)];

	if (!*(volatile u8 *)assist->vtl_ret_actions)
		return;
	memcpy(actions, assist->vtl_ret_actions, sizeof(actions));
	memset(assist->vtl_ret_actions, 0, sizeof(assist->vtl_ret_actions));
	for (u32 i = 0; i < ARRAY_SIZE(actions) && actions[i].action_type == HV_VTL_RETURN_SIGNAL_EVENT; i++) {
		const struct hv_vtl_return_signal_event *a = &actions[i];

		vp->counters.return_actions++;
		if (a->vp_index < vp->partition->vp_count && !a->vtl && a->sint < HV_SINT_COUNT && a->flag < SYNIC_EVENT_FLAGS)
			partition_signal(vp->partition, a->vp_index, VTL0, a->sint, a->flag);
	}
}

void switch_to_vtl0(struct vp *vp)
{
	struct vcpu *from = &vp->per[VTL2].vcpu, *to = &vp->per[VTL0].vcpu;
	struct hv_vp_assist_page *assist = assist_page(vp);
	struct hv_register_page *page = register_page(vp);

	copy_shared(vp, to, from);
	if (assist) { /* a normal return: RAX and RCX come from the page */
		REGS(to).rax = assist->vtl_ret_rax;
		REGS(to).rcx = assist->vtl_ret_rcx;
	}
	if (page && page->valid)
		take_register_page(vp, page);
	if (to->open == ACCESS_MSR || to->open == ACCESS_STRING_INPUT ||
	    (to->open == ACCESS_PORT && REGS(to).rip == to->open_rip))
		finish_access(vp, VTL0);
	to->open = ACCESS_NONE;
	if (!atomic_load_explicit(&vp->partition->vtl0_ran, memory_order_relaxed)) {
		atomic_store(&vp->partition->vtl0_ran, true);
		atomic_store(&vp->partition->boot_vtl0, partition_reference_time(vp->partition));
	}
	atomic_store(&vp->vtl, VTL0);
	vp->counters.vtl_switches++;
	if (assist)
		perform_actions(vp, assist);
}
