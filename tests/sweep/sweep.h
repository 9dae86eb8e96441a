/*
 * A machine of two VPs, as the worker assembles it but for what needs a host (NVMe, TPM, serial channels), whose VTL0 is a random
 * number generator. One life of it: sweep_create(), sweep_run(), sweep_destroy(); all on one thread.
 */
#pragma once

#include "lib/task/exec_sim.h"
#include "vmm/board/board.h"
#include "vmm/chipset/testdev.h"
#include "vmm/chipset/watchdog.h"
#include "vmm/hcl/fake.h"

#define SWEEP_VPS 2u
#define SWEEP_RAM (4 * MiB)
#define SWEEP_HIGH_RAM (1 * MiB) /* from 4 GiB on */
#define SWEEP_MUTE_PORT 0x9990u /* of a planted device, else nobody's */
#define SWEEP_TABLES 0x1000u     /* PML4, PDPT, then directories of 2 MiB pages: the first 4 GiB, each where it lies */

/* mistakes that the sweep has to notice */
enum sweep_plant {
	PLANT_NONE,
	PLANT_MUTE, /* a device that never answers */
	PLANT_JUMP, /* an instruction that goes on where it should not */
	PLANT_KEEP, /* a device that forgets to save a byte */
};

struct sweep_cpu {
	struct hcl_fake fake;
	struct vp vp;
	u64 exits, injected_before, rip_before;
	u64 waits_since_ns;    /* for a device's answer; 0: it does not */
	u8 length_before;      /* of the instruction that left; 0: not known */
	bool judged;           /* the fields above say something */
};

struct sweep {
	u64 seed;
	enum sweep_plant plant;
	struct sim *sim;
	struct exec *home;
	struct board board;
	struct watchdog watchdog;
	struct testdev testdev;
	struct device planted;
	struct op hold;
	bool held;
	struct sweep_cpu cpus[SWEEP_VPS];
	u64 left;              /* exits still to come */
	u64 power_events, crashes, failures, saves;
	char wrong[200];       /* the first thing that was; empty: none */
};

/* NULL, said: no memory. With an odd seed VTL0's local APICs are the firmware's; with bit 1, MSRs are watched. */
struct sweep *sweep_create(u64 seed, enum sweep_plant plant) __must_check;
void sweep_destroy(struct sweep *s);
/* that many exits; false: s->wrong says what was, and where */
bool sweep_run(struct sweep *s, u64 exits) __must_check;

static inline u64 sweep_random(struct sweep *s)
{
	return sim_random(s->sim);
}
static inline u64 sweep_below(struct sweep *s, u64 n)
{
	return sweep_random(s) % n;
}
/* the first one stays */
void sweep_wrong(struct sweep *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* exits.c: VTL0's state and the message of an exit, at random, into the VP's pages */
void sweep_next_exit(struct sweep *s, struct sweep_cpu *c);
/* page tables, and noise in the rest of the low RAM */
void sweep_fill_memory(struct sweep *s);
