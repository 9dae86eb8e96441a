/* One clock: the host's TSC with the partition's offset. A VP has one POSIX timer that interrupts its KVM_RUN. */
#include <x86intrin.h>

#include "host/vtl/vp.h"
#include "lib/os/file.h"

#define SHORTEST_NS 10000

u64 guest_tsc(struct partition *p)
{
	return __rdtsc() + p->tsc_offset;
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

		stimer_ns = now_ns() + (reference > now ? MIN(reference - now, 36000000000ull) * 100 : 0);
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
		u64 now = now_ns(), wait = deadline > now + SHORTEST_NS ? deadline - now : SHORTEST_NS;

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
