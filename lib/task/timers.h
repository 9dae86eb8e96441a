/* Binary heap of timers by deadline; timers with equal deadlines fire in no promised order. One owner thread. */
#pragma once

#include "lib/task/exec.h"

#define TIMERS_MAX 256

struct timers {
	struct timer *heap[TIMERS_MAX];
	unsigned count;
};

void timers_arm(struct timers *t, struct timer *timer, u64 deadline_ns);
void timers_disarm(struct timers *t, struct timer *timer);
/* the earliest deadline, ~0 when there is none */
u64 timers_next(const struct timers *t);
/* the earliest timer whose deadline is not after now, disarmed; NULL when none is due */
struct timer *timers_due(struct timers *t, u64 now);
