#include "vmm/nvme_disk/nvme_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("disk");

#define SLOTS_MAX 32u                                /* of a queue */
#define SLOTS_MIN 4u
#define SLOTS_ALL 256u                               /* of all queues, about */
#define BOUNCE_LEN (16 * KiB)                        /* of a slot */
#define BOUNCE_SHARE 32u                             /* of a disk's slots together: at most such a part of memory */
#define SEGMENTS_MAX (NVME_TRANSFER_MAX / PAGE_SIZE + 2)
#define ZEROES_MAX 65536u                            /* blocks of a command */

struct slot {
	struct nvme_request request;
	struct nvme_segment segments[SEGMENTS_MAX];
	struct disk_request *owner;
	struct lane *lane;
	struct slot *next;             /* in the free list */
	u8 *bounce;
	u64 bounce_address, step;      /* step: bytes under way, or sectors where there is no data */
	bool bounced;
};

/* what one queue has, all on its executor; counters are read by anybody */
struct lane {
	struct nvme_disk *disk;
	struct exec *exec;
	u32 index;
	struct slot *free;
	struct disk_request *first, *last; /* waiting for a slot: linked through their frames */
	struct slot slots[SLOTS_MAX];
	atomic_uint_fast64_t direct, bounced, bounced_bytes, waits, steps, borrowed, errors;
};

struct nvme_disk {
	struct disk disk;
	struct nvme *nvme;
	u32 nsid, max_transfer;
	bool deallocates, writes_zeroes;
	bool (*address)(void *ctx, const void *at, size_t len, u64 *ret);
	void *ctx;
	struct exec *execs[NVME_QUEUES_MAX];
	u32 exec_count, lane_count, slot_count;
	struct lane *lanes[NVME_QUEUES_MAX];
};

/* word[] of our frame */
enum { FRAME_NEXT };

static struct nvme_disk *of(struct disk *disk)
{
	return container_of(disk, struct nvme_disk, disk);
}

static void count(atomic_uint_fast64_t *counter, u64 n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static struct disk_frame *frame_of(struct disk_request *r)
{
	return &r->frames[r->depth - 1];
}

static bool has_data(const struct disk_request *r)
{
	return r->op == DISK_READ || r->op == DISK_WRITE;
}

/* ---- the end of a request */

static void done_there(struct op *op, int result)
{
	disk_done(container_of(op, struct disk_request, io), result);
}

static void finish(struct lane *lane, struct disk_request *r, int result)
{
	if (result)
		count(&lane->errors, 1);
	r->depth--;
	if (r->exec == lane->exec)
		disk_done(r, result);
	else
		exec_post(r->exec, &r->io, done_there, result);
}

/* ---- steps */

/* what is left of the buffer; len: bytes left */
static struct disk_cursor rest(struct disk_request *r, u64 len)
{
	r->skip += (size_t)r->progress;
	struct disk_cursor c = disk_cursor(r, len);

	r->skip -= (size_t)r->progress;
	return c;
}

/* as much of the buffer's beginning as the device can take at once, in whole sectors; segments are cut to it */
static u64 fill_direct(struct slot *s, u64 len, u32 *ret_segments)
{
	struct nvme_disk *d = s->lane->disk;
	struct disk_cursor c = rest(s->owner, len);
	struct iovec piece;
	u64 sum = 0, good;
	u32 n = 0;

	while (n < SEGMENTS_MAX && disk_cursor_next(&c, SIZE_MAX, &piece)) {
		struct nvme_segment *g = &s->segments[n];

		if (!d->address || !d->address(d->ctx, piece.iov_base, piece.iov_len, &g->address) ||
		    (g->address | piece.iov_len) & 3 || (n && g->address & (PAGE_SIZE - 1)))
			break;
		g->len = (u32)piece.iov_len;
		sum += g->len;
		n++;
		if ((g->address + g->len) & (PAGE_SIZE - 1))
			break; /* only the last may end within a page */
	}
	good = sum - sum % d->disk.sector_size;
	while (n && sum - s->segments[n - 1].len >= good)
		sum -= s->segments[--n].len;
	if (n)
		s->segments[n - 1].len -= (u32)(sum - good);
	*ret_segments = n;
	return good;
}

static void copy(struct slot *s, bool to_bounce)
{
	struct disk_cursor c = rest(s->owner, s->step);
	struct iovec piece;
	u8 *at = s->bounce;

	for (; disk_cursor_next(&c, SIZE_MAX, &piece); at += piece.iov_len)
		if (to_bounce)
			memcpy(at, piece.iov_base, piece.iov_len);
		else
			memcpy(piece.iov_base, at, piece.iov_len);
}

/* a direct transfer that is only a part, and a smaller one than a copy would be, is not worth a command */
static void prepare_data(struct slot *s)
{
	struct disk_request *r = s->owner;
	struct nvme_disk *d = s->lane->disk;
	u64 left = r->count * d->disk.sector_size - r->progress, len = MIN(left, (u64)d->max_transfer);
	u32 n;
	u64 direct = fill_direct(s, len, &n);

	s->bounced = direct < MIN(len, (u64)BOUNCE_LEN);
	s->step = s->bounced ? MIN(len, (u64)BOUNCE_LEN) : direct;
	if (s->bounced) {
		s->segments[0] = (struct nvme_segment){ s->bounce_address, (u32)s->step };
		n = 1;
		if (r->op == DISK_WRITE)
			copy(s, true);
		count(&s->lane->bounced, 1);
		count(&s->lane->bounced_bytes, s->step);
	} else {
		count(&s->lane->direct, 1);
	}
	s->request.operation = r->op == DISK_WRITE ? NVME_WRITE : NVME_READ;
	s->request.lba = r->sector + r->progress / d->disk.sector_size;
	s->request.blocks = (u32)(s->step / d->disk.sector_size);
	s->request.segment_count = n;
}

/* a device that cannot write zeroes by itself gets them from the bounce buffer */
static void prepare_zeroes(struct slot *s)
{
	struct disk_request *r = s->owner;
	u32 size = s->lane->disk->disk.sector_size;

	s->step = MIN(r->count - r->progress, (u64)BOUNCE_LEN / size);
	memset(s->bounce, 0, s->step * size);
	s->segments[0] = (struct nvme_segment){ s->bounce_address, (u32)s->step * size };
	s->request.segment_count = 1;
	s->request.operation = NVME_WRITE;
	s->request.lba = r->sector + r->progress;
	s->request.blocks = (u32)s->step;
}

static void prepare_range(struct slot *s)
{
	struct disk_request *r = s->owner;
	u64 most = r->op == DISK_UNMAP ? ~0u : ZEROES_MAX;

	s->step = MIN(r->count - r->progress, most);
	s->request.operation = r->op == DISK_UNMAP ? NVME_DEALLOCATE : NVME_WRITE_ZEROES;
	s->request.lba = r->sector + r->progress;
	s->request.blocks = (u32)s->step;
}

static void step_done(struct nvme_request *request, int result);
static void give_slot(struct slot *s);

/* r->progress: what has been done, in bytes of data, or in sectors where there is none */
static void step(struct slot *s)
{
	struct nvme_disk *d = s->lane->disk;
	struct disk_request *r = s->owner;
	struct nvme_queue *q = nvme_queue_of(d->nvme, s->lane->index);

	s->request = (struct nvme_request){ .nsid = d->nsid, .fua = r->flags & DISK_FUA, .segments = s->segments,
					    .done = step_done };
	if (!q) { /* a reset gave fewer queues than there were */
		give_slot(s);
		finish(s->lane, r, -ENODEV);
		return;
	}
	if (r->op == DISK_FLUSH)
		s->request.operation = NVME_FLUSH;
	else if (has_data(r))
		prepare_data(s);
	else if (r->op == DISK_WRITE_ZEROES && !d->writes_zeroes)
		prepare_zeroes(s);
	else
		prepare_range(s);
	count(&s->lane->steps, 1);
	nvme_submit(q, &s->request);
}

/* ---- slots */

static void give_slot(struct slot *s)
{
	s->owner = NULL;
	s->next = s->lane->free;
	s->lane->free = s;
}

static void run_waiting(struct lane *lane)
{
	while (lane->first && lane->free) {
		struct slot *s = lane->free;

		lane->free = s->next;
		s->owner = lane->first;
		lane->first = (struct disk_request *)(uintptr_t)frame_of(s->owner)->word[FRAME_NEXT];
		step(s);
	}
}

static void step_done(struct nvme_request *request, int result)
{
	struct slot *s = container_of(request, struct slot, request);
	struct disk_request *r = s->owner;
	struct lane *lane = s->lane;

	if (!result && r->op == DISK_READ && s->bounced)
		copy(s, false);
	if (!result && r->op != DISK_FLUSH) {
		r->progress += s->step;
		if (r->progress < (has_data(r) ? r->count * lane->disk->disk.sector_size : r->count)) {
			step(s);
			return;
		}
	}
	give_slot(s);
	finish(lane, r, result);
	run_waiting(lane);
}

/* on the lane's executor; in order behind those that wait */
static void enter(struct lane *lane, struct disk_request *r)
{
	frame_of(r)->word[FRAME_NEXT] = 0;
	if (lane->first)
		frame_of(lane->last)->word[FRAME_NEXT] = (uintptr_t)r;
	else
		lane->first = r;
	lane->last = r;
	if (!lane->free)
		count(&lane->waits, 1);
	run_waiting(lane);
}

static void enter_there(struct op *op, int ignored)
{
	struct disk_request *r = container_of(op, struct disk_request, io);
	struct lane *lane = of(frame_of(r)->disk)->lanes[0];

	count(&lane->borrowed, 1);
	enter(lane, r);
}

/* ---- the disk */

static void nvme_disk_submit(struct disk *disk, struct disk_request *r)
{
	struct nvme_disk *d = of(disk);

	if (r->op == DISK_UNMAP && !d->deallocates) {
		disk_done(r, 0); /* it is advice */
		return;
	}
	if (!disk_push(disk, r, NULL)) {
		disk_done(r, -EINVAL);
		return;
	}
	r->progress = 0;
	for (u32 i = 0; i < d->lane_count; i++)
		if (d->lanes[i]->exec == r->exec) {
			enter(d->lanes[i], r);
			return;
		}
	exec_post(d->lanes[0]->exec, &r->io, enter_there, 0);
}

static void lane_inspect(void *object, struct inspect *in)
{
	struct lane *lane = object;

	inspect_count(in, "steps", atomic_load(&lane->steps));
	inspect_count(in, "direct", atomic_load(&lane->direct));
	inspect_count(in, "bounced", atomic_load(&lane->bounced));
	inspect_count(in, "bounced_bytes", atomic_load(&lane->bounced_bytes));
	inspect_count(in, "waits", atomic_load(&lane->waits));
	inspect_count(in, "borrowed", atomic_load(&lane->borrowed));
	inspect_count(in, "errors", atomic_load(&lane->errors));
}

static void lanes_inspect(void *object, struct inspect *in)
{
	struct nvme_disk *d = object;

	for (u32 i = 0; i < d->lane_count; i++)
		inspect_child_index(in, i, lane_inspect, d->lanes[i]);
}

static void nvme_disk_inspect(struct disk *disk, struct inspect *in)
{
	struct nvme_disk *d = of(disk);

	inspect_u64(in, "nsid", d->nsid);
	inspect_u64(in, "slots", d->slot_count);
	inspect_child(in, "queues", lanes_inspect, d);
}

static void nvme_disk_destroy(struct disk *disk)
{
	struct nvme_disk *d = of(disk);

	for (u32 i = 0; i < d->lane_count; i++) {
		for (u32 k = 0; k < d->slot_count; k++) {
			struct slot *s = &d->lanes[i]->slots[k];

			if (s->bounce)
				nvme_dma_free(d->nvme, s->bounce, BOUNCE_LEN, s->bounce_address);
		}
		free(d->lanes[i]);
	}
	free(d);
}

/* with blocks of another size it is no disk of ours any more: then it stays what it was, and the device refuses */
static u64 nvme_disk_measure(struct disk *disk)
{
	const struct nvme_namespace *s = nvme_namespace_of(of(disk)->nvme, of(disk)->nsid);

	return s && s->block_size == disk->sector_size ? s->blocks : 0;
}

static const struct disk_ops ops = {
	.submit = nvme_disk_submit, .inspect = nvme_disk_inspect, .destroy = nvme_disk_destroy, .measure = nvme_disk_measure,
};

/* of a VTL2 of 32 MiB some 20 MiB are left for all it does */
static u32 slots_of_all(void)
{
	u64 memory = (u64)sysconf(_SC_PHYS_PAGES) * PAGE_SIZE;

	return (u32)MIN((u64)SLOTS_ALL, memory / BOUNCE_SHARE / BOUNCE_LEN);
}

static int add_lane(struct nvme_disk *d, u32 index)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return -ENOMEM;
	*lane = (struct lane){ .disk = d, .exec = d->execs[index], .index = index };
	d->lanes[d->lane_count++] = lane;
	for (u32 i = 0; i < d->slot_count; i++) {
		struct slot *s = &lane->slots[i];

		s->lane = lane;
		s->bounce = nvme_dma_alloc(d->nvme, BOUNCE_LEN, &s->bounce_address);
		if (!s->bounce)
			return -ENOMEM;
		give_slot(s);
	}
	return 0;
}

static bool all_zero(const u8 *at, size_t len)
{
	while (len && !at[len - 1])
		len--;
	return !len;
}

/* the namespace's own name, or one made of its controller's and its number */
static struct guid id_of(const struct nvme_namespace *s, const struct guid *controller)
{
	struct guid id = *controller;

	if (!all_zero(s->nguid, sizeof(s->nguid))) {
		memcpy(&id, s->nguid, sizeof(id));
	} else if (!all_zero(s->eui64, sizeof(s->eui64))) {
		id = GUID(0x6575692e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* "eui." */
		memcpy(id.data4, s->eui64, sizeof(id.data4));
	} else {
		id.data1 ^= s->nsid;
	}
	return id;
}

static int fill(struct nvme_disk *d, const struct nvme_disk_config *config, const struct nvme_namespace *s)
{
	bool deallocates = s->deallocates && nvme_has_deallocate(config->nvme);
	u32 queues = 0;
	int r = 0;

	*d = (struct nvme_disk){ .nvme = config->nvme, .nsid = s->nsid, .deallocates = deallocates,
				 .writes_zeroes = nvme_has_write_zeroes(config->nvme),
				 .address = config->address, .ctx = config->ctx };
	d->disk = (struct disk){ .ops = &ops, .kind = "nvme", .sector_size = s->block_size, .sectors = s->blocks,
				 .physical_size = MAX(PAGE_SIZE, s->block_size),
				 .unmap_granularity = deallocates ? PAGE_SIZE / s->block_size : 0,
				 .read_only = s->readonly, .id = id_of(s, &config->id) };
	d->max_transfer = ALIGN_DOWN(nvme_max_transfer(config->nvme), s->block_size);
	d->exec_count = MIN(config->exec_count, NVME_QUEUES_MAX);
	for (u32 i = 0; i < d->exec_count; i++) {
		d->execs[i] = config->execs[i];
		queues += nvme_queue_of(config->nvme, i) != NULL;
	}
	d->slot_count = MIN(SLOTS_MAX, MAX(SLOTS_MIN, slots_of_all() / MAX(queues, 1u)));
	for (u32 i = 0; !r && i < queues; i++)
		r = add_lane(d, i);
	return r ? r : queues ? 0 : -ENODEV;
}

struct disk *nvme_disk_create(const struct nvme_disk_config *config)
{
	const struct nvme_namespace *s = nvme_namespace_of(config->nvme, config->nsid);
	struct nvme_disk *d;
	int r;

	if (!s || !s->blocks || (s->block_size != 512 && s->block_size != 4096)) {
		log_err(-ENODEV, "NVMe namespace %u is none, or has no blocks of 512 or 4096 bytes", config->nsid);
		return NULL;
	}
	d = calloc(1, sizeof(*d));
	r = d ? fill(d, config, s) : -ENOMEM;
	if (!r)
		return &d->disk;
	log_err(r, "disk over NVMe namespace %u", config->nsid);
	if (d)
		nvme_disk_destroy(&d->disk);
	return NULL;
}
