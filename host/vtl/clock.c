/*
 * One clock: the host's TSC with the partition's offset. A VP has one POSIX timer that interrupts its KVM_RUN. While
 * the partition is paused both this clock and that of deadlines, the host's monotonic one, stand still.
 */
#include <x86intrin.h>

#include "host/vtl/vp.h"
#include "lib/os/file.h"

#define SHORTEST_NS 10000

u64 guest_tsc(struct partition *p)
{
	u64 stopped = atomic_load_explicit(&p->pause.tsc, memory_order_relaxed);

	return (stopped ? stopped : __rdtsc()) + p->tsc_offset;
}

u64 clock_now_ns(struct partition *p)
{
	u64 stopped = atomic_load_explicit(&p->pause.ns, memory_order_relaxed);

	return (stopped ? stopped : now_ns()) - p->pause.lost_ns;
}

void clock_stop(struct partition *p)
{
	atomic_store(&p->pause.ns, now_ns());
	atomic_store(&p->pause.tsc, __rdtsc());
}

int clock_go_on(struct partition *p)
{
	int r = 0;

	p->tsc_offset -= __rdtsc() - p->pause.tsc;
	atomic_store(&p->pause.tsc, 0);
	p->pause.lost_ns += now_ns() - p->pause.ns;
	atomic_store(&p->pause.ns, 0);
	for (u32 i = 0; i < p->vp_count; i++)
		for (int vtl = 0; !r && vtl < VTL_COUNT; vtl++)
			r = kvm_set_tsc_offset(&p->vps[i].per[vtl].vcpu, p->tsc_offset);
	return r;
}

u64 partition_reference_time(struct partition *p)
{
	return (u64)(((unsigned __int128)guest_tsc(p) * p->tsc_scale) >> 64);
}

static u64 deadline_of(struct vp *vp, enum vtl vtl)
{
	u64 reference = synic_timer_deadline(&vp->per[vtl].synic);
	u64 apic_ns = lapic_timer_deadline(&vp->per[vtl].apic);
	u64 stimer_ns = 0;

	if (reference) { /* relative to now: the monotonic clock is steered, the TSC is not */
		u64 now = partition_reference_time(vp->partition);

		stimer_ns = clock_now_ns(vp->partition) + (reference > now ? MIN(reference - now, 36000000000ull) * 100 : 0);
	}

	if (!stimer_ns || (apic_ns && apic_ns < stimer_ns))
		return apic_ns;
	return stimer_ns;
}

void clock_arm(struct vp *vp)
{
	u64 a = deadline_of(vp, VTL0), b = deadline_of(vp, VTL2);
	u64 deadline = !a || (b && b < a) ? b : a;
	struct itimerspec when = { 0 };

	if (deadline) {
		/* ten microseconds at least: a deadline in the past would signal before the entry, again and again */
		u64 now = clock_now_ns(vp->partition), wait = deadline > now + SHORTEST_NS ? deadline - now : SHORTEST_NS;

		when.it_value.tv_sec = (time_t)(wait / 1000000000u);
		when.it_value.tv_nsec = (long)(wait % 1000000000u);
	}
	timer_settime(vp->timer, 0, &when, NULL);
}

void clock_soon(struct vp *vp)
{
	const struct itimerspec soon = { .it_value.tv_nsec = SHORTEST_NS };

	timer_settime(vp->timer, 0, &soon, NULL);
}

void clock_check(struct vp *vp)
{
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		synic_timer_check(&vp->per[vtl].synic);
		lapic_timer_check(&vp->per[vtl].apic);
	}
}
