/* Synthetic timers (TLFS 12.4), on reference time. VP thread. */
#include "host/vtl/vp.h"

static u8 timer_sint(const struct stimer *t)
{
	return FIELD_GET(HV_STIMER_SINT, t->config);
}

/* a timer that would post to SINT 0 cannot be enabled (TLFS) */
static void enable_if_possible(struct stimer *t)
{
	if (t->config & HV_STIMER_DIRECT ? FIELD_GET(HV_STIMER_VECTOR, t->config) >= 16 : timer_sint(t) != 0)
		t->config |= HV_STIMER_ENABLE;
	else
		t->config &= ~HV_STIMER_ENABLE;
}

bool stimer_write(struct vp *vp, enum vtl vtl, u32 index, bool is_count, u64 value)
{
	struct stimer *t = &vp->per[vtl].stimers[index];

	if (is_count) {
		t->count = value;
		if (!value)
			t->config &= ~HV_STIMER_ENABLE;
		else if (t->config & HV_STIMER_AUTO_ENABLE)
			enable_if_possible(t);
	} else {
		t->config = value;
		if (value & HV_STIMER_ENABLE)
			enable_if_possible(t);
	}
	t->undelivered = false;
	t->next = t->config & HV_STIMER_PERIODIC ? partition_reference_time(vp->partition) + t->count : t->count;
	clock_arm(vp);
	return true;
}

u64 stimer_deadline(struct vp *vp, enum vtl vtl)
{
	u64 best = 0;

	for (int i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer *t = &vp->per[vtl].stimers[i];

		if (t->config & HV_STIMER_ENABLE && t->count && !t->undelivered && (!best || t->next < best))
			best = t->next;
	}
	return best;
}

static void expire(struct vp *vp, enum vtl vtl, int index, u64 now)
{
	struct stimer *t = &vp->per[vtl].stimers[index];

	if (t->config & HV_STIMER_DIRECT) {
		lapic_request(&vp->per[vtl].apic, FIELD_GET(HV_STIMER_VECTOR, t->config), false, false);
	} else {
		struct hv_timer_expired m = { .timer_index = (u32)index, .expiration_time = t->next, .delivery_time = now };

		t->undelivered = !partition_post(vp->partition, vp->index, vtl, timer_sint(t), HVMSG_TIMER_EXPIRED,
						 &m, sizeof(m));
		if (t->undelivered)
			return;
	}
	if (t->config & HV_STIMER_PERIODIC)
		t->next += ((now - t->next) / t->count + 1) * t->count; /* missed periods coalesce */
	else
		t->config &= ~HV_STIMER_ENABLE;
}

void stimer_check(struct vp *vp, enum vtl vtl)
{
	u64 now = 0;

	for (int i = 0; i < HV_STIMER_COUNT; i++) {
		struct stimer *t = &vp->per[vtl].stimers[i];

		if (!(t->config & HV_STIMER_ENABLE) || !t->count)
			continue;
		if (!now)
			now = partition_reference_time(vp->partition);
		if (now >= t->next)
			expire(vp, vtl, i, now);
	}
}
