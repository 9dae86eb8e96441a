#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"
#include "spec/msr.h"

LOG_DOMAIN("register");

void segment_to_hv(const struct kvm_segment *from, struct hv_segment *to)
{
	*to = (struct hv_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.attributes = (u16)(from->type | from->s << 4 | from->dpl << 5 | from->present << 7 | from->avl << 12 |
				    from->l << 13 | from->db << 14 | from->g << 15),
	};
}

void segment_from_hv(const struct hv_segment *from, struct kvm_segment *to)
{
	u16 a = from->attributes;

	*to = (struct kvm_segment){
		.base = from->base,
		.limit = from->limit,
		.selector = from->selector,
		.type = a & 0xf,
		.s = a >> 4 & 1,
		.dpl = a >> 5 & 3,
		.present = a >> 7 & 1,
		.avl = a >> 12 & 1,
		.l = a >> 13 & 1,
		.db = a >> 14 & 1,
		.g = a >> 15 & 1,
		.unusable = !(a >> 7 & 1),
	};
}

/* Hyper-V's order (RAX RCX RDX RBX RSP RBP RSI RDI R8..) into struct kvm_regs */
static u64 *general(struct kvm_regs *r, u32 index)
{
	__u64 *low[8] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi };

	return (u64 *)(index < 8 ? low[index] : &r->r8 + (index - 8));
}

static struct kvm_segment *segment(struct kvm_sregs *s, u32 name)
{
	struct kvm_segment *all[8] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs, &s->ldt, &s->tr };

	return all[name & 7];
}

/* registers that are MSRs to KVM; 0: not one */
static u32 msr_of(u32 name)
{
	switch (name) {
	case HV_X64_REGISTER_TSC: return 0x10;
	case HV_X64_REGISTER_KERNEL_GS_BASE: return MSR_KERNEL_GS_BASE;
	case HV_X64_REGISTER_PAT: return MSR_PAT;
	case HV_X64_REGISTER_SYSENTER_CS: return MSR_SYSENTER_CS;
	case HV_X64_REGISTER_SYSENTER_EIP: return MSR_SYSENTER_EIP;
	case HV_X64_REGISTER_SYSENTER_ESP: return MSR_SYSENTER_ESP;
	case HV_X64_REGISTER_STAR: return MSR_STAR;
	case HV_X64_REGISTER_LSTAR: return MSR_LSTAR;
	case HV_X64_REGISTER_CSTAR: return MSR_CSTAR;
	case HV_X64_REGISTER_SFMASK: return MSR_SFMASK;
	case HV_X64_REGISTER_TSC_AUX: return MSR_TSC_AUX;
	case HV_X64_REGISTER_MTRR_CAP: return 0xfe;
	case HV_X64_REGISTER_MTRR_DEF_TYPE: return 0x2ff;
	case 0x00080010 ... 0x0008001f: return 0x200 + 2 * (name & 0xf);
	case 0x00080040 ... 0x0008004f: return 0x201 + 2 * (name & 0xf);
	case 0x00080070: return 0x250;
	case 0x00080071 ... 0x00080072: return 0x258 + (name - 0x80071);
	case 0x00080073 ... 0x0008007a: return 0x268 + (name - 0x80073);
	}
	return 0;
}

/* where a plain 64-bit register lives, and which part of kvm_run it makes dirty */
static u64 *place_of(struct vp *vp, enum vtl vtl, u32 name, u64 *ret_dirty)
{
	struct vcpu *v = &vp->per[vtl].vcpu;

	*ret_dirty = KVM_SYNC_X86_REGS;
	if (name >= HV_X64_REGISTER_RAX && name <= HV_X64_REGISTER_R15)
		return general(&REGS(v), name - HV_X64_REGISTER_RAX);
	if (name == HV_X64_REGISTER_RIP)
		return (u64 *)&REGS(v).rip;
	if (name == HV_X64_REGISTER_RFLAGS)
		return (u64 *)&REGS(v).rflags;
	*ret_dirty = KVM_SYNC_X86_SREGS;
	switch (name) {
	case HV_X64_REGISTER_CR0: return (u64 *)&SREGS(v).cr0;
	case HV_X64_REGISTER_CR2: return (u64 *)&SREGS(v).cr2;
	case HV_X64_REGISTER_CR3: return (u64 *)&SREGS(v).cr3;
	case HV_X64_REGISTER_CR4: return (u64 *)&SREGS(v).cr4;
	case HV_X64_REGISTER_EFER: return (u64 *)&SREGS(v).efer;
	case HV_X64_REGISTER_APIC_BASE: return (u64 *)&SREGS(v).apic_base;
	}
	*ret_dirty = 0;
	switch (name) {
	/*
	 * Not by SREGS: kvm_run.cr8 takes it along. And QEMU's TCG, after these were written once, refuses ports to user space
	 * that the TSS allows: it takes a busy TSS (type Bh, as KVM writes it) for none.
	 */
	case HV_X64_REGISTER_CR8: return (u64 *)&SREGS(v).cr8;
	case HV_REGISTER_PENDING_INTERRUPTION: return vtl == VTL0 ? &vp->pending_interruption : NULL;
	case HV_REGISTER_PENDING_EVENT0: return vtl == VTL0 ? &vp->pending_event : NULL;
	case HV_REGISTER_DELIVERABILITY_NOTIFICATIONS: return vtl == VTL0 ? &vp->deliverability : NULL;
	case HV_REGISTER_INSTRUCTION_EMULATION_HINTS: return vtl == VTL0 ? &vp->emulation_hints : NULL;
	case HV_REGISTER_VP_ASSIST_PAGE: return &vp->per[vtl].assist_page;
	case HV_REGISTER_REG_PAGE: return vtl == VTL2 ? &vp->register_page : NULL;
	case HV_X64_REGISTER_CR_INTERCEPT_CONTROL: return vtl == VTL2 ? &vp->cr_intercepts : NULL;
	case HV_X64_REGISTER_DR0 ... HV_X64_REGISTER_DR3:
		return (u64 *)&v->debug.db[name - HV_X64_REGISTER_DR0];
	case HV_X64_REGISTER_DR6: return (u64 *)&v->debug.dr6;
	case HV_X64_REGISTER_DR7: return (u64 *)&v->debug.dr7;
	}
	return NULL;
}

static bool is_debug_register(u32 name)
{
	return name >= HV_X64_REGISTER_DR0 && name <= HV_X64_REGISTER_DR7;
}

static u64 activity_state(const struct vp *vp)
{
	return (vp->wait_for_sipi ? HV_ACTIVITY_STARTUP_SUSPEND : 0) | (vp->halted ? HV_ACTIVITY_HALT_SUSPEND : 0);
}

/* registers that only VTL2 may ask for, and that nobody may set */
static bool read_special(struct vp *vp, u32 name, u64 *ret)
{
	switch (name) {
	case HV_REGISTER_VSM_CODE_PAGE_OFFSETS:
		*ret = VTL_CALL_OFFSET | VTL_RETURN_OFFSET << 12;
		return true;
	case HV_REGISTER_VSM_VP_STATUS:
		*ret = 2 | BIT(16) | BIT(18);
		return true;
	case HV_REGISTER_VSM_CAPABILITIES:
		*ret = HV_VSM_CAP_DR6_SHARED | HV_VSM_CAP_INTERCEPT_PAGE | HV_VSM_CAP_RETURN_ACTION;
		return true;
	case HV_REGISTER_VSM_PARTITION_CONFIG:
		*ret = vp->partition->vsm_config;
		return true;
	case HV_REGISTER_GUEST_VSM_PARTITION_CONFIG:
		*ret = 0;
		return true;
	case HV_REGISTER_INTERNAL_ACTIVITY_STATE:
		*ret = activity_state(vp);
		return true;
	case HV_REGISTER_VP_INDEX:
		*ret = vp->index;
		return true;
	case HV_REGISTER_TIME_REF_COUNT:
		*ret = partition_reference_time(vp->partition);
		return true;
	case HV_REGISTER_INTERRUPT_STATE:
		*ret = vp->per[VTL0].vcpu.run->s.regs.events.interrupt.shadow ? 1 : 0;
		return true;
	}
	return false;
}

u16 register_get(struct vp *vp, enum vtl vtl, u32 name, union hv_register_value *ret)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	u32 msr = msr_of(name);
	u64 dirty;

	memset(ret, 0, sizeof(*ret));
	if (msr)
		return kvm_get_msr(v, msr, &ret->u64[0]) ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
	if (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR) {
		segment_to_hv(segment(&SREGS(v), name), &ret->segment);
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_X64_REGISTER_IDTR || name == HV_X64_REGISTER_GDTR) {
		const struct kvm_dtable *t = name == HV_X64_REGISTER_GDTR ? &SREGS(v).gdt : &SREGS(v).idt;

		ret->table = (struct hv_table){ .limit = t->limit, .base = t->base };
		return HV_STATUS_SUCCESS;
	}
	if (is_debug_register(name) && ioctl(v->fd, KVM_GET_DEBUGREGS, &v->debug))
		return HV_STATUS_INVALID_VP_STATE;
	if (name == HV_REGISTER_PENDING_INTERRUPTION && vtl == VTL0) {
		ret->u64[0] = pending_interruption(vp);
		return HV_STATUS_SUCCESS;
	}
	u64 *place = place_of(vp, vtl, name, &dirty);

	if (place) {
		ret->u64[0] = *place;
		return HV_STATUS_SUCCESS;
	}
	if (read_special(vp, name, &ret->u64[0]))
		return HV_STATUS_SUCCESS;
	log_guest("VP %u: register %#x is not known here", vp->index, name);
	return HV_STATUS_INVALID_PARAMETER;
}

static u16 set_activity(struct vp *vp, u64 value)
{
	vp->halted = value & HV_ACTIVITY_HALT_SUSPEND;
	vp->wait_for_sipi = value & HV_ACTIVITY_STARTUP_SUSPEND;
	return HV_STATUS_SUCCESS;
}

u16 register_set(struct vp *vp, enum vtl vtl, u32 name, const union hv_register_value *value)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	u32 msr = msr_of(name);
	u64 dirty;

	if (msr)
		return kvm_set_msr(v, msr, value->u64[0]) ? HV_STATUS_INVALID_REGISTER_VALUE : HV_STATUS_SUCCESS;
	if (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR) {
		segment_from_hv(&value->segment, segment(&SREGS(v), name));
		sregs_dirty(v);
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_X64_REGISTER_IDTR || name == HV_X64_REGISTER_GDTR) {
		struct kvm_dtable *t = name == HV_X64_REGISTER_GDTR ? &SREGS(v).gdt : &SREGS(v).idt;

		t->base = value->table.base;
		t->limit = value->table.limit;
		sregs_dirty(v);
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_REGISTER_VSM_PARTITION_CONFIG) {
		vp->partition->vsm_config = value->u64[0];
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_X64_REGISTER_CR_INTERCEPT_CONTROL && vtl == VTL2)
		return msr_set_cr_intercepts(vp, value->u64[0]);
	if (name == HV_REGISTER_INTERNAL_ACTIVITY_STATE && vtl == VTL0)
		return set_activity(vp, value->u64[0]);
	if (name == HV_REGISTER_VP_ASSIST_PAGE)
		return msr_write(vp, vtl, HV_MSR_VP_ASSIST_PAGE, value->u64[0]) ? HV_STATUS_SUCCESS :
										   HV_STATUS_INVALID_REGISTER_VALUE;
	if (name == HV_X64_REGISTER_CR8) /* the task priority is the APIC's; KVM is told at each entry */
		vp->per[vtl].apic.tpr = (u32)(value->u64[0] & 0xf) << 4;
	if (name == HV_REGISTER_INTERRUPT_STATE && vtl == VTL0) {
		v->run->s.regs.events.interrupt.shadow = value->u64[0] & HV_INTERRUPT_SHADOW ? KVM_X86_SHADOW_INT_STI : 0;
		v->run->s.regs.events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
		v->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
		vp->shadow = value->u64[0] & HV_INTERRUPT_SHADOW;
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_X64_REGISTER_DR7 && value->u64[0] & 0xff && debug_emulated_processor())
		return HV_STATUS_INVALID_REGISTER_VALUE; /* they would not trap */
	u64 *place = place_of(vp, vtl, name, &dirty);

	if (!place) {
		log_guest("VP %u: register %#x cannot be set here", vp->index, name);
		return HV_STATUS_INVALID_PARAMETER;
	}
	*place = value->u64[0];
	v->run->kvm_dirty_regs |= dirty;
	if (is_debug_register(name) && ioctl(v->fd, KVM_SET_DEBUGREGS, &v->debug))
		return HV_STATUS_INVALID_REGISTER_VALUE;
	return HV_STATUS_SUCCESS;
}

void load_start_context(struct vp *vp, const struct hv_init_vp_context *c)
{
	struct vcpu *v = &vp->per[VTL2].vcpu;
	struct kvm_sregs *s = &SREGS(v);
	struct kvm_segment *to[8] = { &s->cs, &s->ds, &s->es, &s->fs, &s->gs, &s->ss, &s->tr, &s->ldt };
	const struct hv_segment *from[8] = { &c->cs, &c->ds, &c->es, &c->fs, &c->gs, &c->ss, &c->tr, &c->ldtr };

	memset(&REGS(v), 0, sizeof(REGS(v)));
	REGS(v).rip = c->rip;
	REGS(v).rsp = c->rsp;
	REGS(v).rflags = c->rflags | 2;
	for (int i = 0; i < 8; i++)
		segment_from_hv(from[i], to[i]);
	s->idt = (struct kvm_dtable){ .base = c->idtr.base, .limit = c->idtr.limit };
	s->gdt = (struct kvm_dtable){ .base = c->gdtr.base, .limit = c->gdtr.limit };
	s->efer = c->efer;
	s->cr0 = c->cr0;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	if (kvm_set_msr(v, MSR_PAT, c->pat))
		log_at(LOG_WARN, "VP %u: PAT %#lx was not accepted", vp->index, c->pat);
	regs_dirty(v);
	sregs_dirty(v);
}
