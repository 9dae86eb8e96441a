/* A disk that fails on purpose. What it did is counted; which request it meets comes from its seed. */
#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

struct fault {
	struct disk disk;
	atomic_uint kind, op_mask, one_in;
	atomic_int error;
	atomic_uint_fast64_t random, hits;
	u32 set_kind, set_mask, set_one_in; /* what inspect reads and writes */
};

static struct fault *of(struct disk *disk)
{
	return container_of(disk, struct fault, disk);
}

/* splitmix64, one step a draw whichever thread draws */
static u64 draw(struct fault *f)
{
	u64 z = atomic_fetch_add_explicit(&f->random, 0x9e3779b97f4a7c15ull, memory_order_relaxed);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool hit(struct fault *f, enum disk_op op)
{
	u32 one_in = atomic_load_explicit(&f->one_in, memory_order_relaxed);

	if (!one_in || !(atomic_load_explicit(&f->op_mask, memory_order_relaxed) & BIT(op)) || draw(f) % one_in)
		return false;
	atomic_fetch_add_explicit(&f->hits, 1, memory_order_relaxed);
	return true;
}

static void corrupted(struct disk_request *r, struct disk_frame *frame, int result)
{
	struct fault *f = of(frame->disk);
	struct disk_cursor c = disk_cursor(r, r->count * f->disk.sector_size);
	struct iovec piece;

	if (!result && disk_cursor_next(&c, SIZE_MAX, &piece))
		((u8 *)piece.iov_base)[draw(f) % piece.iov_len] ^= 1;
	disk_done(r, result);
}

static void misdirected(struct disk_request *r, struct disk_frame *frame, int result)
{
	r->sector = frame->word[0];
	disk_done(r, result);
}

static void fault_submit(struct disk *disk, struct disk_request *r)
{
	struct fault *f = of(disk);
	struct disk_frame *frame;

	if (!hit(f, r->op)) {
		disk_pass(f->disk.below, r);
		return;
	}
	switch (atomic_load_explicit(&f->kind, memory_order_relaxed)) {
	case FAULT_ERROR:
		disk_done(r, atomic_load_explicit(&f->error, memory_order_relaxed));
		return;
	case FAULT_LOSE: /* says that it is done, and did nothing */
		disk_done(r, 0);
		return;
	case FAULT_CORRUPT:
		if (r->op == DISK_READ)
			disk_push(disk, r, corrupted);
		break;
	case FAULT_MISDIRECT:
		frame = r->op == DISK_FLUSH ? NULL : disk_push(disk, r, misdirected);
		if (frame) {
			u64 sectors = disk->sectors; /* it may have become smaller than the request just now */

			frame->word[0] = r->sector;
			r->sector = draw(f) % (MAX(sectors, r->count) - r->count + 1);
		}
		break;
	}
	disk_pass(f->disk.below, r);
}

static void fault_inspect(struct disk *disk, struct inspect *in)
{
	struct fault *f = of(disk);

	inspect_rw_u32(in, "fault", &f->set_kind, FAULT_NONE, FAULT_MISDIRECT);
	inspect_rw_u32(in, "op_mask", &f->set_mask, 0, (1u << DISK_OPS) - 1);
	inspect_rw_u32(in, "one_in", &f->set_one_in, 0, ~0u);
	disk_fault_set(disk, f->set_kind, f->set_mask, f->set_one_in, atomic_load(&f->error));
	inspect_count(in, "hits", atomic_load(&f->hits));
	inspect_child(in, "below", disk_inspect, f->disk.below);
}

static void fault_destroy(struct disk *disk)
{
	disk_destroy(disk->below);
	free(of(disk));
}

static const struct disk_ops ops = { .submit = fault_submit, .inspect = fault_inspect, .destroy = fault_destroy };

void disk_fault_set(struct disk *disk, enum disk_fault_kind kind, u32 op_mask, u32 one_in, int error)
{
	struct fault *f = of(disk);

	f->set_kind = kind;
	f->set_mask = op_mask;
	f->set_one_in = one_in;
	atomic_store(&f->error, error);
	atomic_store(&f->kind, kind);
	atomic_store(&f->op_mask, op_mask);
	atomic_store(&f->one_in, kind == FAULT_NONE ? 0 : one_in);
}

struct disk *disk_fault(struct disk *below, u64 seed)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f) {
		log_err(-ENOMEM, "fault filter");
		disk_destroy(below);
		return NULL;
	}
	disk_like(&f->disk, &ops, "fault", below);
	f->disk.below = below;
	atomic_store(&f->random, seed);
	atomic_store(&f->error, -EIO);
	return &f->disk;
}
