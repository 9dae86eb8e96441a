/* Between the files of vmm/apic */
#pragma once

#include "vmm/apic/vapic.h"

/*
 * The reference counter as of one moment, and the executor's clock then: both run at the TSC's rate, but each has its own idea
 * of its frequency, so the pair is taken anew every second of use.
 */
struct reference {
	u64 ns, ticks;
	bool valid;
};

struct vapic {
	struct vapics *all;
	struct exec *exec;
	struct timer timer;
	struct lapic lapic;
	struct reference reference;
	unsigned index;
	u64 assist_page;
	u64 ipis, timer_interrupts;
	struct synic synic; /* last: its queues are large, and hardly ever touched */
};

/* the timer, for the next expiry of both kinds */
void vapic_arm(struct vapic *v);
void vapic_set_assist_page(struct vapic *v, u64 value);
