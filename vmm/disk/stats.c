/* Counts requests, bytes, errors, and how long requests took: bucket n holds those of up to 2^n microseconds. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

#define BUCKETS 24u

struct stats {
	struct disk disk;
	atomic_uint under_way;
	struct per_op {
		atomic_uint_fast64_t count, bytes, errors, fua, latency[BUCKETS];
	} per_op[DISK_OPS];
};

static struct stats *of(struct disk *disk)
{
	return container_of(disk, struct stats, disk);
}

static void add(atomic_uint_fast64_t *counter, u64 n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void back(struct disk_request *r, struct disk_frame *frame, int result)
{
	struct stats *s = of(frame->disk);
	struct per_op *p = &s->per_op[r->op];
	u64 us = (exec_now_ns(r->exec) - frame->word[0]) / 1000;
	unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

	add(&p->latency[MIN(bucket, BUCKETS - 1)], 1);
	if (result)
		add(&p->errors, 1);
	atomic_fetch_sub_explicit(&s->under_way, 1, memory_order_relaxed);
	disk_done(r, result);
}

static void stats_submit(struct disk *disk, struct disk_request *r)
{
	struct stats *s = of(disk);
	struct per_op *p = &s->per_op[r->op];
	struct disk_frame *frame = disk_push(disk, r, back);

	if (frame) {
		add(&p->count, 1);
		add(&p->bytes, r->count * disk->sector_size);
		if (r->flags & DISK_FUA)
			add(&p->fua, 1);
		frame->word[0] = exec_now_ns(r->exec);
		atomic_fetch_add_explicit(&s->under_way, 1, memory_order_relaxed);
	}
	disk_pass(s->disk.below, r);
}

static void op_inspect(void *object, struct inspect *in)
{
	struct per_op *p = object;
	char name[24];

	inspect_count(in, "count", atomic_load(&p->count));
	inspect_count(in, "bytes", atomic_load(&p->bytes));
	inspect_count(in, "errors", atomic_load(&p->errors));
	inspect_count(in, "fua", atomic_load(&p->fua));
	for (unsigned i = 0; i < BUCKETS; i++) {
		u64 n = atomic_load(&p->latency[i]);

		snprintf(name, sizeof(name), "under_%uus", 1u << i);
		if (n)
			inspect_count(in, name, n);
	}
}

static void stats_inspect(struct disk *disk, struct inspect *in)
{
	struct stats *s = of(disk);

	inspect_u64(in, "under_way", atomic_load(&s->under_way));
	for (unsigned i = 0; i < DISK_OPS; i++)
		inspect_child(in, disk_op_name(i), op_inspect, &s->per_op[i]);
	inspect_child(in, "below", disk_inspect, s->disk.below);
}

static void stats_destroy(struct disk *disk)
{
	disk_destroy(disk->below);
	free(of(disk));
}

static const struct disk_ops ops = { .submit = stats_submit, .inspect = stats_inspect, .destroy = stats_destroy };

struct disk *disk_stats(struct disk *below)
{
	struct stats *s = calloc(1, sizeof(*s));

	if (!s) {
		log_err(-ENOMEM, "stats filter");
		disk_destroy(below);
		return NULL;
	}
	disk_like(&s->disk, &ops, "stats", below);
	s->disk.below = below;
	return &s->disk;
}
