/*
 * What a VTL is interrupted by at its next entry. KVM takes events in two ways: by ioctl at once, and with the struct in kvm_run,
 * which replaces all of them, when it is marked. So nothing may be queued by ioctl while a struct waits to be taken: it would
 * be lost, and for an interrupt that the APIC counts as in service that is the end of all others below it.
 */
#include <sys/ioctl.h>

#include "host/vtl/vp.h"

#define RFLAGS_IF BIT(9)

static bool events_wait(const struct vcpu *v)
{
	return v->run->kvm_dirty_regs & KVM_SYNC_X86_EVENTS;
}

static void queue_interrupt(struct vp *vp, struct vcpu *v, u8 vector)
{
	struct kvm_interrupt k = { vector };

	vp->queued_vector = vector;
	if (events_wait(v)) {
		v->run->s.regs.events.interrupt.injected = 1;
		v->run->s.regs.events.interrupt.nr = vector;
		v->run->s.regs.events.interrupt.soft = 0;
	} else {
		ioctl(v->fd, KVM_INTERRUPT, &k);
	}
}

static void queue_nmi(struct vcpu *v)
{
	if (events_wait(v)) {
		v->run->s.regs.events.nmi.pending = 1;
		v->run->s.regs.events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	} else {
		ioctl(v->fd, KVM_NMI, 0);
	}
}

bool inject_for_vtl2(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	u64 event = vp->pending_event, interruption = vp->pending_interruption;

	/* one at a time: what is in the other register waits for the next entry */
	vp->pending_event = 0;
	if (event & HV_EVENT_PENDING && FIELD_GET(HV_EVENT_TYPE, event) == HV_EVENT_TYPE_EXTINT) {
		queue_interrupt(vp, v, (u8)FIELD_GET(HV_EVENT_EXTINT_VECTOR, event));
		return true;
	}
	if (event & HV_EVENT_PENDING && FIELD_GET(HV_EVENT_TYPE, event) == HV_EVENT_TYPE_EXCEPTION) {
		vp_inject_exception(vp, VTL0, (u8)FIELD_GET(HV_EVENT_VECTOR, event), event & HV_EVENT_DELIVER_ERROR,
				    (u32)FIELD_GET(HV_EVENT_ERROR_CODE, event));
		return true;
	}
	vp->pending_interruption = 0;
	if (!(interruption & HV_PENDING_INTERRUPTION))
		return false;
	u8 vector = (u8)FIELD_GET(HV_PENDING_VECTOR, interruption);

	switch (FIELD_GET(HV_PENDING_TYPE, interruption)) {
	case HV_PENDING_TYPE_NMI:
		queue_nmi(v);
		return true;
	case HV_PENDING_TYPE_EXCEPTION:
	case HV_PENDING_TYPE_SOFTWARE_EXCEPTION: /* INT3: RIP is its own, KVM knows its length */
		vp_inject_exception(vp, VTL0, vector, interruption & HV_PENDING_HAS_ERROR,
				    (u32)FIELD_GET(HV_PENDING_ERROR_CODE, interruption));
		return true;
	default:
		queue_interrupt(vp, v, vector);
		return true;
	}
}

void inject_from_apic(struct vp *vp, enum vtl vtl, bool busy)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	struct lapic *apic = &vp->per[vtl].apic;

	v->run->request_interrupt_window = 0;
	if (events_wait(v)) {
		busy = true;
		if (atomic_load_explicit(&apic->nmi_pending, memory_order_relaxed))
			clock_soon(vp);
	} else if (atomic_load_explicit(&apic->nmi_pending, memory_order_relaxed) && atomic_exchange(&apic->nmi_pending, false)) {
		ioctl(v->fd, KVM_NMI, 0);
	}
	lapic_settle(apic);
	int vector = lapic_pending(apic);

	if (vector < 0)
		return;
	if (!busy && v->run->ready_for_interrupt_injection && REGS(v).rflags & RFLAGS_IF) {
		struct kvm_interrupt k = { (u32)vector };

		if (ioctl(v->fd, KVM_INTERRUPT, &k))
			return;
		vp->queued_vector = vector;
		lapic_accept(apic, (u8)vector);
		v->run->ready_for_interrupt_injection = 0;
		vector = lapic_pending(apic);
	}
	v->run->request_interrupt_window = vector >= 0;
}

/* the priority is that of the interrupt that waits; 0: not told */
bool interruption_awaited(struct vp *vp)
{
	u64 priority = FIELD_GET(HV_DELIVERABILITY_PRIORITY, vp->deliverability);

	return vp->deliverability & HV_DELIVERABILITY_INTERRUPT && (!priority || priority > vp->per[VTL0].apic.tpr >> 4);
}

bool interruption_deliverable(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;

	return interruption_awaited(vp) && v->run->ready_for_interrupt_injection && REGS(v).rflags & RFLAGS_IF;
}
