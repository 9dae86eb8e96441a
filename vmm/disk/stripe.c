/*
 * Chunks of one disk spread over several, round robin. A request that crosses a chunk's end goes to its columns one after
 * the other: nothing is allocated for it then, and the common request lies in one chunk.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

struct stripe {
	struct disk disk;
	struct disk *columns[DISK_COLUMNS_MAX];
	unsigned count;
	u32 chunk;
	atomic_uint_fast64_t pieces;
};

enum { WORD_SECTOR, WORD_COUNT, WORD_AT, WORD_SKIP };

static struct stripe *of(struct disk *disk)
{
	return container_of(disk, struct stripe, disk);
}

/* is a piece's result here before its submit has returned? Then the loop below takes it, and no stack grows. */
enum { PIECE_SUBMITTING, PIECE_WAITING, PIECE_DONE };

static void submit_piece(struct stripe *s, struct disk_request *r, struct disk_frame *frame)
{
	if (r->op == DISK_FLUSH) {
		disk_pass(s->columns[frame->word[WORD_AT]], r);
		return;
	}
	u64 sector = frame->word[WORD_SECTOR] + frame->word[WORD_AT], chunk = sector / s->chunk, within = sector % s->chunk;

	r->sector = chunk / s->count * s->chunk + within;
	r->count = MIN(frame->word[WORD_COUNT] - frame->word[WORD_AT], s->chunk - within);
	r->skip = frame->word[WORD_SKIP] + (r->iov ? frame->word[WORD_AT] * s->disk.sector_size : 0);
	disk_pass(s->columns[chunk % s->count], r);
}

static void proceed(struct stripe *s, struct disk_request *r, struct disk_frame *frame)
{
	u64 total = r->op == DISK_FLUSH ? s->count : frame->word[WORD_COUNT];

	while (!frame->result && frame->word[WORD_AT] < total) {
		frame->state = PIECE_SUBMITTING;
		submit_piece(s, r, frame);
		if (frame->state == PIECE_SUBMITTING) {
			frame->state = PIECE_WAITING;
			return;
		}
	}
	r->sector = frame->word[WORD_SECTOR];
	r->count = frame->word[WORD_COUNT];
	r->skip = frame->word[WORD_SKIP];
	r->depth--;
	disk_done(r, frame->result);
}

static void piece_done(struct disk_request *r, struct disk_frame *frame, int result)
{
	struct stripe *s = of(frame->disk);
	bool waiting = frame->state == PIECE_WAITING;

	r->depth++; /* disk_done() took the frame off; the request stays here until its last piece */
	frame->word[WORD_AT] += r->op == DISK_FLUSH ? 1 : r->count;
	frame->result = result;
	frame->state = PIECE_DONE;
	if (r->op != DISK_FLUSH && r->count < frame->word[WORD_COUNT])
		atomic_fetch_add_explicit(&s->pieces, 1, memory_order_relaxed);
	if (waiting)
		proceed(s, r, frame);
}

static void stripe_submit(struct disk *disk, struct disk_request *r)
{
	struct disk_frame *frame = disk_push(disk, r, piece_done);

	if (!frame) {
		disk_done(r, -EINVAL);
		return;
	}
	frame->word[WORD_SECTOR] = r->sector;
	frame->word[WORD_COUNT] = r->count;
	frame->word[WORD_SKIP] = r->skip;
	proceed(of(disk), r, frame);
}

static void stripe_inspect(struct disk *disk, struct inspect *in)
{
	struct stripe *s = of(disk);

	inspect_u64(in, "chunk", s->chunk);
	inspect_count(in, "pieces", atomic_load(&s->pieces));
	for (unsigned i = 0; i < s->count; i++)
		inspect_child_index(in, i, disk_inspect, s->columns[i]);
}

static void stripe_destroy(struct disk *disk)
{
	for (unsigned i = 0; i < of(disk)->count; i++)
		disk_destroy(of(disk)->columns[i]);
	free(of(disk));
}

static u64 stripe_measure(struct disk *disk)
{
	struct stripe *s = of(disk);
	u64 smallest = ~0ull;

	for (unsigned i = 0; i < s->count; i++) {
		u64 sectors = disk_measured(s->columns[i]);

		smallest = MIN(smallest, sectors);
	}
	return smallest / s->chunk * s->chunk * s->count;
}

static const struct disk_ops ops = {
	.submit = stripe_submit, .inspect = stripe_inspect, .destroy = stripe_destroy, .measure = stripe_measure,
};

struct disk *disk_stripe(struct disk **columns, unsigned count, u32 chunk, const struct guid *id)
{
	struct stripe *s = calloc(1, sizeof(*s));
	bool fits = count && count <= DISK_COLUMNS_MAX && chunk;
	u64 smallest = ~0ull;

	for (unsigned i = 0; fits && i < count; i++) {
		smallest = MIN(smallest, columns[i]->sectors);
		fits = columns[i]->sector_size == columns[0]->sector_size;
	}
	if (!s || !fits || smallest < chunk) {
		log_err(s ? -EINVAL : -ENOMEM, "striped disk of %u columns, chunks of %u sectors", count, chunk);
		for (unsigned i = 0; i < count; i++)
			disk_destroy(columns[i]);
		free(s);
		return NULL;
	}
	disk_like(&s->disk, &ops, "stripe", columns[0]);
	s->disk.id = *id;
	s->disk.sectors = smallest / chunk * chunk * count;
	s->disk.unmap_granularity = MAX(s->disk.unmap_granularity, chunk);
	for (unsigned i = 0; i < count; i++) {
		s->columns[i] = columns[i];
		s->disk.read_only |= columns[i]->read_only;
		s->disk.unmap_zeroes &= columns[i]->unmap_zeroes;
		if (!columns[i]->unmap_granularity)
			s->disk.unmap_granularity = 0;
	}
	s->count = count;
	s->chunk = chunk;
	return &s->disk;
}
