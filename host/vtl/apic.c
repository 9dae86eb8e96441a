/* The embedder's side of lib/apic: where IPIs go, and what time it is. */
#include "host/vtl/vp.h"

static struct vp *vp_of(void *ctx)
{
	return ctx;
}

static void send(struct vp *vp, enum vtl vtl, struct lapic *from, u64 icr)
{
	u32 mode = icr >> 8 & 7;

	if (vtl == VTL2 && (mode == LAPIC_INIT || mode == LAPIC_STARTUP))
		return; /* VTL2's processors are started by HvCallStartVirtualProcessor */
	for (u32 i = 0; i < vp->partition->vp_count; i++) {
		struct vp *target = &vp->partition->vps[i];

		if (!lapic_ipi_matches(from, &target->per[vtl].apic, icr))
			continue;
		if (!lapic_deliver(&target->per[vtl].apic, mode, (u8)icr, false))
			return;
		target->counters.interrupts[vtl]++;
		vp_kick(target);
		if (mode == LAPIC_LOWEST)
			return;
	}
}

static void send_vtl0(void *ctx, struct lapic *from, u64 icr)
{
	send(vp_of(ctx), VTL0, from, icr);
}

static void send_vtl2(void *ctx, struct lapic *from, u64 icr)
{
	send(vp_of(ctx), VTL2, from, icr);
}

static void eoi_vtl0(void *ctx, struct lapic *apic, u8 vector, bool level)
{
	struct vp *vp = vp_of(ctx);

	if (level && intercept_wanted(vp->partition, HV_INTERCEPT_APIC_EOI))
		vp->eoi_vector = vector;
}

static void timer_changed(void *ctx, struct lapic *apic)
{
	clock_arm(vp_of(ctx));
}

static u64 clock_now(void *ctx)
{
	return clock_now_ns(vp_of(ctx)->partition);
}

static u64 clock_tsc(void *ctx)
{
	return guest_tsc(vp_of(ctx)->partition);
}

static u64 tsc_to_ns(void *ctx, u64 tsc)
{
	struct partition *p = vp_of(ctx)->partition;
	u64 now = guest_tsc(p);

	if (tsc <= now)
		return clock_now_ns(p);
	return clock_now_ns(p) + (u64)((unsigned __int128)(tsc - now) * 1000000u / p->tsc_khz);
}

const struct lapic_ops apic_ops[VTL_COUNT] = {
	[VTL0] = { send_vtl0, eoi_vtl0, timer_changed, clock_now, clock_tsc, tsc_to_ns },
	[VTL2] = { send_vtl2, NULL, timer_changed, clock_now, clock_tsc, tsc_to_ns },
};

/* IA32_APIC_BASE is kept by KVM; the mode is taken over whenever it matters */
void apic_sync_mode(struct vp *vp, enum vtl vtl)
{
	vp->per[vtl].apic.x2apic = SREGS(&vp->per[vtl].vcpu).apic_base & LAPIC_BASE_X2APIC;
}

bool apic_mmio(struct vp *vp, enum vtl vtl, u64 gpa, void *data, u32 len, bool write)
{
	struct lapic *apic = &vp->per[vtl].apic;

	apic_sync_mode(vp, vtl);
	if (gpa < LAPIC_BASE || gpa >= LAPIC_BASE + LAPIC_LEN || apic->x2apic)
		return false;
	lapic_mmio(apic, gpa, data, len, write);
	return true;
}
