/*
 * VTL0's local APIC played in this process (hosts that offer none): what is pending goes into the pending-event register before
 * an entry; where VTL0 cannot take it yet, the hypervisor is asked to tell when (DeliverabilityNotifications).
 */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("apic");

#define RFLAGS_IF BIT(9)

void interrupt_take_tpr(struct vp *vp)
{
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	struct lapic *a = vapic_lapic(vp->apic);

	if (s && (a->tpr >> 4) != s->cr8)
		a->tpr = (u32)(s->cr8 & 0xf) << 4;
}

int interrupt_give_tpr(struct vp *vp)
{
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	const struct lapic *a = vapic_lapic(vp->apic);

	if (!s)
		return -EIO;
	return s->cr8 == a->tpr >> 4 ? 0 : hcl_set64(&vp->hcl, HV_X64_REGISTER_CR8, a->tpr >> 4);
}

void interrupt_halt(struct vp *vp)
{
	vp->halts++;
	vp->halted = true;
}

/* ---- INIT and start-up */

static int start_up(struct vp *vp, u8 vector)
{
	union hv_register_value cs = { .segment = { .base = (u64)vector << 12, .limit = 0xffff, .selector = (u16)(vector << 8),
						    .attributes = 0x9b } };
	int r = hcl_set(&vp->hcl, HV_X64_REGISTER_CS, &cs);

	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_RIP, 0);
	if (!r)
		r = hcl_set64(&vp->hcl, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	if (!r)
		vp->wait_for_sipi = false;
	return r;
}

static int take_init_and_sipi(struct vp *vp)
{
	struct lapic *a = vapic_lapic(vp->apic);
	int r = 0;

	if (atomic_load_explicit(&a->init_pending, memory_order_relaxed) && atomic_exchange(&a->init_pending, false)) {
		lapic_reset(a);
		r = vp_reset_registers(vp);
		vp->halted = vp->event_queued = false;
		vp->wait_for_sipi = vp->index != 0; /* the first processor starts at the reset vector */
	}
	if (r || atomic_load_explicit(&a->sipi_vector, memory_order_relaxed) < 0)
		return r;
	int vector = atomic_exchange(&a->sipi_vector, -1);

	return vector >= 0 && vp->wait_for_sipi ? start_up(vp, (u8)vector) : 0;
}

/* ---- interrupts */

/* a cancelled run may have entered VTL0 before: only the register says whether the event was taken */
static bool event_waits(struct vp *vp)
{
	u64 event = 0;

	if (!vp->event_queued)
		return false;
	if (!hcl_get64(&vp->hcl, HV_REGISTER_PENDING_EVENT0, &event) && !(event & HV_EVENT_PENDING))
		vp->event_queued = false;
	return vp->event_queued;
}

static bool can_take(struct vp *vp, const struct hv_register_page *s)
{
	/* after HLT no shadow is left, whatever a hypervisor says */
	return s->rflags & RFLAGS_IF && (vp->halted || !(s->interrupt_state & HV_INTERRUPT_SHADOW));
}

static int inject_interrupt(struct vp *vp, u8 vector)
{
	vp->interrupts++;
	vp->halted = false;
	vp->event_queued = true;
	return hcl_set64(&vp->hcl, HV_REGISTER_PENDING_EVENT0,
			 HV_EVENT_PENDING | FIELD_PREP(HV_EVENT_TYPE, HV_EVENT_TYPE_EXTINT) |
				 FIELD_PREP(HV_EVENT_EXTINT_VECTOR, vector));
}

static int inject_nmi(struct vp *vp)
{
	vp->nmis++;
	vp->halted = false;
	return hcl_set64(&vp->hcl, HV_REGISTER_PENDING_INTERRUPTION,
			 HV_PENDING_INTERRUPTION | FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_NMI) |
				 FIELD_PREP(HV_PENDING_VECTOR, 2));
}

static int ask_for_window(struct vp *vp, u64 window)
{
	if (vp->window == window)
		return 0;
	vp->window = window;
	vp->windows += window != 0;
	return hcl_set64(&vp->hcl, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, window);
}

/* the highest vector of the APIC, or with 8259s on LINT0 theirs; -1: none */
static int next_vector(struct vp *vp, bool *ret_extint)
{
	struct lapic *a = vapic_lapic(vp->apic);

	*ret_extint = lapic_extint(a);
	return *ret_extint ? 0 : lapic_pending(a);
}

static int inject(struct vp *vp)
{
	struct lapic *a = vapic_lapic(vp->apic);

	lapic_settle(a);
	bool nmi = atomic_load_explicit(&a->nmi_pending, memory_order_relaxed), extint;
	int vector = next_vector(vp, &extint), r = 0;

	if (!nmi && vector < 0 && lapic_awaited(a) < 0)
		return ask_for_window(vp, 0);
	const struct hv_register_page *s = hcl_state(&vp->hcl);

	if (!s)
		return -EIO;
	bool busy = s->pending_interruption & HV_PENDING_INTERRUPTION || event_waits(vp);

	if (nmi && !busy && !(s->interrupt_state & HV_NMI_MASKED) && atomic_exchange(&a->nmi_pending, false)) {
		r = inject_nmi(vp);
		busy = true;
		nmi = false;
	}
	if (!r && vector >= 0 && !busy && can_take(vp, s)) {
		if (extint)
			vector = pic_acknowledge(vp->machine->pic);
		else
			lapic_accept(a, (u8)vector);
		r = inject_interrupt(vp, (u8)vector);
		vector = next_vector(vp, &extint);
	}
	if (r || vp->halted)
		return r;
	/* also for what the task priority holds back: the guest lowers CR8 without an exit */
	int awaited = extint ? LAPIC_NO_VECTOR : lapic_awaited(a);

	return ask_for_window(vp, (nmi ? HV_DELIVERABILITY_NMI : 0) |
					  (extint || awaited >= 0 ? HV_DELIVERABILITY_INTERRUPT : 0) |
					  (awaited < 0 ? 0 : FIELD_PREP(HV_DELIVERABILITY_PRIORITY, awaited >> 4)));
}

int interrupt_enter(struct vp *vp)
{
	int r = take_init_and_sipi(vp);

	if (!r && !vp->wait_for_sipi) {
		interrupt_take_tpr(vp);
		r = vp->debug.stepping ? 0 : inject(vp);
	}
	return r ? r : !vp->halted && !vp->wait_for_sipi;
}

/* ---- message slots */
void interrupt_look_at_slots(struct vp *vp)
{
	u32 wanted = atomic_load(&vp->wanted_sints);
	u16 free_slots = wanted ? synic_free_slots(vapic_synic(vp->apic), (u16)wanted) : 0;

	if (!free_slots)
		return;
	atomic_fetch_and(&vp->wanted_sints, ~(u32)free_slots);
	if (vp->machine->sint_deliverable)
		vp->machine->sint_deliverable(vp->machine, vp->index, free_slots);
}

/* ---- wiring */
static void look(struct task *task)
{
	struct vp *vp = container_of(task, struct vp, look);

	if (!vp->running && vp_may_run(vp))
		vp_unpark(vp);
}

static void kick(void *ctx, unsigned index)
{
	struct machine *m = ctx;
	struct vp *vp = m->vp(m, index);

	if (vp != vp_here || !vp->running) /* else it looks anyhow before it enters */
		task_wake(&vp->look);
}

static bool reference_counter(void *ctx, unsigned index, u64 *ret)
{
	struct machine *m = ctx;

	return !hcl_get64(&m->vp(m, index)->hcl, HV_REGISTER_TIME_REF_COUNT, ret);
}

static void end_of_interrupt(void *ctx, u8 vector)
{
	struct machine *m = ctx;

	ioapic_eoi(m->ioapic, vector);
}

int vp_create_apics(struct machine *m, unsigned count, const u32 *ids)
{
	static const struct vapics_ops ops = { .kick = kick, .reference_counter = reference_counter, .eoi = end_of_interrupt };

	m->apics = vapics_create(count, ids, m->guest, &ops, m);
	return m->apics ? 0 : log_err(-ENOMEM, "%u local APICs", count);
}

void interrupt_open(struct vp *vp)
{
	vp->apic = vapics_get(vp->machine->apics, vp->index);
	vp->wait_for_sipi = vp->index != 0;
	vapic_open(vp->apic, vp->exec);
	task_init(&vp->look, vp->exec, "interrupt", look);
}
