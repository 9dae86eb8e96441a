/* The embedder's side of lib/synic: its pages, its interrupts, its time; and what devices use */
#include "host/vtl/vp.h"
#include "lib/core/check.h"

static void *page_vtl0(void *ctx, u64 gpa)
{
	return partition_memory(((struct vp *)ctx)->partition, gpa, PAGE_SIZE, false);
}

static void *page_vtl2(void *ctx, u64 gpa)
{
	return partition_memory(((struct vp *)ctx)->partition, gpa, PAGE_SIZE, true);
}

static void interrupt(struct vp *vp, enum vtl vtl, u8 vector, bool auto_eoi)
{
	lapic_request(&vp->per[vtl].apic, vector, false, auto_eoi);
	vp->counters.interrupts[vtl]++;
	vp_kick(vp);
}

static void interrupt_vtl0(void *ctx, u8 vector, bool auto_eoi)
{
	interrupt(ctx, VTL0, vector, auto_eoi);
}

static void interrupt_vtl2(void *ctx, u8 vector, bool auto_eoi)
{
	interrupt(ctx, VTL2, vector, auto_eoi);
}

static u64 reference_time(void *ctx)
{
	return partition_reference_time(((struct vp *)ctx)->partition);
}

static void timers_changed(void *ctx)
{
	clock_arm(ctx);
}

const struct synic_ops synic_ops[VTL_COUNT] = {
	[VTL0] = { page_vtl0, interrupt_vtl0, reference_time, timers_changed },
	[VTL2] = { page_vtl2, interrupt_vtl2, reference_time, timers_changed },
};

bool partition_post(struct partition *p, u32 index, enum vtl vtl, u8 sint, u32 type, const void *payload, u32 len)
{
	CHECK(index < p->vp_count);
	return synic_post(&p->vps[index].per[vtl].synic, sint, type, payload, len);
}

bool partition_signal(struct partition *p, u32 index, enum vtl vtl, u8 sint, u16 flag)
{
	CHECK(index < p->vp_count);
	return synic_signal(&p->vps[index].per[vtl].synic, sint, flag);
}
