#include "lib/task/timers.h"

#include "lib/core/check.h"

static void place(struct timers *t, unsigned i, struct timer *timer)
{
	t->heap[i] = timer;
	timer->slot = i + 1;
}

static void sift(struct timers *t, unsigned i)
{
	struct timer *timer = t->heap[i];

	while (i && t->heap[(i - 1) / 2]->deadline_ns > timer->deadline_ns) {
		place(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child + 1 < t->count && t->heap[child + 1]->deadline_ns < t->heap[child]->deadline_ns)
			child++;
		if (child >= t->count || t->heap[child]->deadline_ns >= timer->deadline_ns)
			break;
		place(t, i, t->heap[child]);
		i = child;
	}
	place(t, i, timer);
}

void timers_arm(struct timers *t, struct timer *timer, u64 deadline_ns)
{
	timer->deadline_ns = deadline_ns;
	if (!timer->slot) {
		CHECK(t->count < TIMERS_MAX);
		place(t, t->count++, timer);
	}
	sift(t, timer->slot - 1);
}

void timers_disarm(struct timers *t, struct timer *timer)
{
	unsigned i = timer->slot;

	if (!i--)
		return;
	timer->slot = 0;
	struct timer *last = t->heap[--t->count];

	if (last != timer) {
		place(t, i, last);
		sift(t, i);
	}
}

u64 timers_next(const struct timers *t)
{
	return t->count ? t->heap[0]->deadline_ns : ~0ull;
}

struct timer *timers_due(struct timers *t, u64 now)
{
	struct timer *timer = t->count ? t->heap[0] : NULL;

	if (!timer || timer->deadline_ns > now)
		return NULL;
	timers_disarm(t, timer);
	return timer;
}
