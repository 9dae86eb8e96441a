/*
 * Random requests with a shadow of what they wrote. A lane has a range of blocks of its own and one request under way, so
 * that what a read must find is known.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tools/drive.h"

#define LANES 6u             /* an executor's */
#define LANE_BYTES (2 * MiB) /* of the namespace */
#define BYTES_MAX (768 * KiB)

struct lane {
	struct load *load;
	struct disk_request r;
	struct op post;
	struct exec *exec;
	u64 first, sectors;    /* in the disk's sectors */
	u64 random;
	u8 *shadow, *either;   /* either: sectors that were deallocated may read as zeroes too */
	u8 *direct, *plain, *at; /* buffers: seen by the device, not seen, the one in use */
	struct iovec iov[2];
	atomic_bool paused;
};

struct load {
	struct drive *drive;
	struct disk *disk;
	struct lane lanes[EXECS_MAX * LANES];
	u32 lane_count;
	atomic_uint running;
	atomic_bool stop, may_end, hold;
	u32 arena_before;
	bool plain; /* reads, writes and zeroes only */
	atomic_ullong done[DISK_OPS], bytes, gone;
};

static u64 next_random(struct lane *l)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random * 0x2545f4914f6cdd1dull;
}

static void fill(struct lane *l, u8 *at, u64 len)
{
	for (u64 i = 0; i < len; i += 8) {
		u64 word = next_random(l);

		memcpy(at + i, &word, 8);
	}
}

static bool all_zero(const u8 *at, u64 len)
{
	return !at[0] && !memcmp(at, at + 1, len - 1);
}

static void verify(struct lane *l)
{
	u32 size = l->load->disk->sector_size;
	u64 from = l->r.sector - l->first;

	for (u64 i = 0; i < l->r.count; i++) {
		const u8 *got = l->at + i * size, *want = l->shadow + (from + i) * size;

		if (!memcmp(got, want, size) || (l->either[from + i] && all_zero(got, size)))
			continue;
		FAIL("sector %lu of %lu+%lu does not have what was written: %02x %02x instead of %02x %02x", l->r.sector + i,
		     l->r.sector, l->r.count, got[0], got[1], want[0], want[1]);
	}
}

static void keep(struct lane *l)
{
	u32 size = l->load->disk->sector_size;
	u64 from = l->r.sector - l->first;

	switch (l->r.op) {
	case DISK_WRITE: memcpy(l->shadow + from * size, l->at, l->r.count * size); break;
	case DISK_WRITE_ZEROES: memset(l->shadow + from * size, 0, l->r.count * size); break;
	case DISK_UNMAP: memset(l->either + from, 1, l->r.count); return;
	default: return;
	}
	memset(l->either + from, 0, l->r.count);
}

static void next_there(struct op *op, int ignored);

static void done(struct disk_request *r, int result)
{
	struct lane *l = container_of(r, struct lane, r);
	struct load *load = l->load;

	if (result == -ENODEV && load->may_end) {
		atomic_fetch_add(&load->gone, 1);
	} else if (result) {
		FAIL("%s of %lu+%lu ended with %d", r->op == DISK_READ ? "a read" : "a request", r->sector, r->count, result);
	} else {
		if (r->op == DISK_READ)
			verify(l);
		else
			keep(l);
		atomic_fetch_add(&load->done[r->op], 1);
		if (r->op == DISK_READ || r->op == DISK_WRITE)
			atomic_fetch_add(&load->bytes, r->count * load->disk->sector_size);
	}
	if (load->stop || result) {
		atomic_fetch_sub(&load->running, 1);
		return;
	}
	if (load->hold) {
		l->paused = true;
		if (load->hold || !atomic_exchange(&l->paused, false)) /* load_hold() may not have seen it */
			return;
	}
	exec_post(l->exec, &l->post, next_there, 0); /* done() may run within disk_submit() */
}

/* one or two pieces; two thirds of them in memory the device sees, some at odd places */
static void choose_buffer(struct lane *l, u64 len)
{
	u64 kind = next_random(l) % 6, cut = ALIGN_DOWN(len / 2, 512);

	l->at = kind < 4 ? l->direct : l->plain + (kind == 5 ? 8 : 0);
	l->r.iov = l->iov;
	l->r.iov_count = cut && kind & 1 ? 2 : 1;
	l->iov[0] = (struct iovec){ l->at, l->r.iov_count == 2 ? cut : len };
	l->iov[1] = (struct iovec){ l->at + cut, len - cut };
}

static void next(struct lane *l)
{
	static const enum disk_op ops[] = { DISK_READ, DISK_READ, DISK_READ, DISK_WRITE, DISK_WRITE, DISK_WRITE,
					    DISK_WRITE_ZEROES, DISK_READ, DISK_WRITE, DISK_READ, DISK_FLUSH, DISK_UNMAP };
	u32 size = l->load->disk->sector_size;
	u64 most = MIN(l->sectors, (u64)(next_random(l) % 4 ? 16 * KiB : BYTES_MAX) / size);

	l->r = (struct disk_request){ .exec = l->exec, .done = done };
	l->r.op = ops[next_random(l) % (ARRAY_SIZE(ops) - (l->load->plain ? 2 : 0))];
	if (l->r.op != DISK_FLUSH) {
		l->r.count = 1 + next_random(l) % most;
		l->r.sector = l->first + next_random(l) % (l->sectors - l->r.count + 1);
	}
	if (l->r.op == DISK_READ || l->r.op == DISK_WRITE)
		choose_buffer(l, l->r.count * size);
	if (l->r.op == DISK_WRITE) {
		fill(l, l->at, l->r.count * size);
		l->r.flags = next_random(l) % 8 ? 0 : DISK_FUA;
	} else if (l->r.op == DISK_READ) {
		memset(l->at, 0xa5, l->r.count * size);
	}
	disk_submit(l->load->disk, &l->r);
}

static void next_there(struct op *op, int ignored)
{
	next(container_of(op, struct lane, post));
}

static void start_lane(struct load *load, struct lane *l, u32 index, u64 seed)
{
	struct drive *d = load->drive;
	u32 size = load->disk->sector_size;
	u64 share = load->disk->sectors / load->lane_count;

	l->load = load;
	l->exec = d->execs[index % d->exec_count];
	l->sectors = MIN(share, (u64)LANE_BYTES / size);
	l->first = index * share;
	l->random = (seed + 1) * 0x9e3779b97f4a7c15ull + index;
	l->direct = drive_memory(d, BYTES_MAX);
	l->plain = calloc(1, BYTES_MAX + 16);
	l->shadow = malloc(l->sectors * size);
	l->either = calloc(1, l->sectors);
	if (!l->plain || !l->shadow || !l->either)
		FAIL("no memory for a lane");
	/* what is there now is what the first reads must find */
	for (u64 at = 0, n; at < l->sectors; at += n) {
		n = MIN(l->sectors - at, (u64)BYTES_MAX / size);
		int r = drive_request(d, load->disk, index % d->exec_count, DISK_READ, l->first + at, n, l->direct);

		if (r)
			FAIL("the first read of a lane: %d", r);
		memcpy(l->shadow + at * size, l->direct, n * size);
	}
}

struct load *load_start(struct drive *d, u32 nsid, u64 seed, bool plain)
{
	struct load *load = calloc(1, sizeof(*load));

	if (!load)
		FAIL("no memory");
	load->drive = d;
	load->plain = plain;
	load->disk = drive_disk(d, nsid);
	load->lane_count = d->exec_count * LANES;
	load->arena_before = d->arena_used;
	for (u32 i = 0; i < load->lane_count; i++)
		start_lane(load, &load->lanes[i], i, seed);
	load->running = load->lane_count;
	for (u32 i = 0; i < load->lane_count; i++)
		exec_post(load->lanes[i].exec, &load->lanes[i].post, next_there, 0);
	return load;
}

void load_may_end(struct load *load)
{
	load->may_end = true;
}

void load_hold(struct load *load, bool hold)
{
	load->hold = hold;
	for (u32 i = 0; !hold && i < load->lane_count; i++)
		if (atomic_exchange(&load->lanes[i].paused, false))
			exec_post(load->lanes[i].exec, &load->lanes[i].post, next_there, 0);
}

void load_stop(struct load *load)
{
	load->stop = true;
	for (u32 i = 0; load->running; i++) {
		if (i == 1200)
			FAIL("%u requests are never answered", load->running);
		usleep(50000);
	}
	load->drive->arena_used = load->arena_before;
	for (u32 i = 0; i < load->lane_count; i++) {
		free(load->lanes[i].plain);
		free(load->lanes[i].shadow);
		free(load->lanes[i].either);
	}
	printf("load: reads %llu writes %llu flushes %llu unmaps %llu zeroes %llu bytes %llu gone %llu\n",
	       (unsigned long long)load->done[DISK_READ], (unsigned long long)load->done[DISK_WRITE],
	       (unsigned long long)load->done[DISK_FLUSH], (unsigned long long)load->done[DISK_UNMAP],
	       (unsigned long long)load->done[DISK_WRITE_ZEROES], (unsigned long long)load->bytes,
	       (unsigned long long)load->gone);
}

u64 load_requests(struct load *load)
{
	u64 sum = 0;

	for (u32 i = 0; i < DISK_OPS; i++)
		sum += load->done[i];
	return sum;
}
