/* The embedder's side of lib/apic: where IPIs go, and what time it is. */
#include <string.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("apic");

#define APIC_BASE_X2APIC BIT(10)
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)

static struct vp *vp_of(void *ctx)
{
	return ctx;
}

static void deliver(struct vp *target, enum vtl vtl, u32 mode, u8 vector)
{
	struct lapic *apic = &target->per[vtl].apic;

	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_request(apic, vector, false, false);
		break;
	case LAPIC_NMI:
		lapic_request_nmi(apic);
		break;
	case LAPIC_INIT:
		if (vtl == VTL2)
			return; /* VTL2's processors are started by HvCallStartVirtualProcessor */
		lapic_request_init(apic);
		break;
	case LAPIC_STARTUP:
		if (vtl == VTL2)
			return;
		lapic_request_sipi(apic, vector);
		break;
	default:
		return;
	}
	target->counters.interrupts[vtl]++;
	vp_kick(target);
}

static bool chosen(struct vp *target, struct lapic *from, enum vtl vtl, u64 icr)
{
	u32 shorthand = icr >> 18 & 3;
	struct lapic *apic = &target->per[vtl].apic;

	if (shorthand)
		return shorthand == 1 ? apic == from : shorthand == 2 || apic != from;
	u32 destination = from->x2apic ? (u32)(icr >> 32) : (u32)(icr >> 56);

	if (!from->x2apic && destination == 0xff)
		destination = ~0u;
	return lapic_matches(apic, destination, icr & ICR_LOGICAL);
}

static void send(struct vp *vp, enum vtl vtl, struct lapic *from, u64 icr)
{
	u32 mode = icr >> 8 & 7;

	if (mode == LAPIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
		return; /* INIT level de-assert does nothing on processors of this century */
	for (u32 i = 0; i < vp->partition->vp_count; i++) {
		struct vp *target = &vp->partition->vps[i];

		if (!chosen(target, from, vtl, icr))
			continue;
		deliver(target, vtl, mode, (u8)icr);
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
	return now_ns();
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
		return now_ns();
	return now_ns() + (u64)((unsigned __int128)(tsc - now) * 1000000u / p->tsc_khz);
}

const struct lapic_ops apic_ops[VTL_COUNT] = {
	[VTL0] = { send_vtl0, eoi_vtl0, timer_changed, clock_now, clock_tsc, tsc_to_ns },
	[VTL2] = { send_vtl2, NULL, timer_changed, clock_now, clock_tsc, tsc_to_ns },
};

/* IA32_APIC_BASE is kept by KVM; the mode is taken over whenever it matters */
void apic_sync_mode(struct vp *vp, enum vtl vtl)
{
	vp->per[vtl].apic.x2apic = SREGS(&vp->per[vtl].vcpu).apic_base & APIC_BASE_X2APIC;
}

bool apic_mmio(struct vp *vp, enum vtl vtl, u64 gpa, void *data, u32 len, bool write)
{
	struct lapic *apic = &vp->per[vtl].apic;
	u32 reg = (u32)(gpa - LAPIC_BASE) >> 4;
	u64 value = 0;

	apic_sync_mode(vp, vtl);
	if (gpa < LAPIC_BASE || gpa >= LAPIC_BASE + LAPIC_LEN || apic->x2apic)
		return false;
	if (write) {
		memcpy(&value, data, MIN(len, 4u));
		if (!(gpa & 0xf) && !lapic_write(apic, reg, value))
			log_guest("VP %u: write of %#lx to APIC register %#x ignored", vp->index, value, reg);
		return true;
	}
	if ((gpa & 0xf) < 4 && !lapic_read(apic, reg, &value))
		value = 0;
	value >>= (gpa & 3) * 8;
	memset(data, 0, len);
	memcpy(data, &value, MIN(len, 4u));
	return true;
}
