/* A disk that takes its time: each request waits on its executor's timer before it is passed on. */
#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

#define WAITING_MAX 128u /* an executor has room for 256 timers */

struct delay {
	struct disk disk;
	atomic_uint_fast64_t delay_ns;
	u32 set_us; /* what inspect reads and writes */
	atomic_uint waiting;
	atomic_uint_fast64_t delayed, passed;
};

static struct delay *of(struct disk *disk)
{
	return container_of(disk, struct delay, disk);
}

static void back(struct disk_request *r, struct disk_frame *frame, int result)
{
	disk_done(r, result);
}

static void fire(struct timer *timer)
{
	struct disk_request *r = container_of(timer, struct disk_request, timer);
	struct delay *d = of(r->frames[r->depth - 1].disk);

	atomic_fetch_sub_explicit(&d->waiting, 1, memory_order_relaxed);
	disk_pass(d->disk.below, r);
}

static void delay_submit(struct disk *disk, struct disk_request *r)
{
	struct delay *d = of(disk);

	/* the frame only remembers which disk the timer is of */
	if (atomic_fetch_add_explicit(&d->waiting, 1, memory_order_relaxed) >= WAITING_MAX || !disk_push(disk, r, back)) {
		atomic_fetch_sub_explicit(&d->waiting, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&d->passed, 1, memory_order_relaxed);
		disk_pass(d->disk.below, r);
		return;
	}
	atomic_fetch_add_explicit(&d->delayed, 1, memory_order_relaxed);
	r->timer = (struct timer){ .fire = fire };
	timer_arm(r->exec, &r->timer, exec_now_ns(r->exec) + atomic_load_explicit(&d->delay_ns, memory_order_relaxed));
}

static void delay_inspect(struct disk *disk, struct inspect *in)
{
	struct delay *d = of(disk);

	inspect_rw_u32(in, "delay_us", &d->set_us, 0, 60000000);
	if (d->set_us != atomic_load(&d->delay_ns) / 1000)
		atomic_store(&d->delay_ns, d->set_us * 1000ull);
	inspect_u64(in, "waiting", atomic_load(&d->waiting));
	inspect_count(in, "delayed", atomic_load(&d->delayed));
	inspect_count(in, "passed", atomic_load(&d->passed));
	inspect_child(in, "below", disk_inspect, d->disk.below);
}

static void delay_destroy(struct disk *disk)
{
	disk_destroy(disk->below);
	free(of(disk));
}

static const struct disk_ops ops = { .submit = delay_submit, .inspect = delay_inspect, .destroy = delay_destroy };

struct disk *disk_delay(struct disk *below, u64 delay_ns)
{
	struct delay *d = calloc(1, sizeof(*d));

	if (!d) {
		log_err(-ENOMEM, "delay filter");
		disk_destroy(below);
		return NULL;
	}
	disk_like(&d->disk, &ops, "delay", below);
	d->disk.below = below;
	d->set_us = (u32)(delay_ns / 1000);
	atomic_store(&d->delay_ns, delay_ns);
	return &d->disk;
}
