/* A queue pair: submission, completions, tries and time-outs. One executor owns it. */
#include <errno.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/nvme/internal.h"

LOG_DOMAIN("nvme");

_Static_assert(!(NVME_QUEUE_DEPTH & CID_SLOT), "slots are a power of two");
_Static_assert((LIST_ENTRIES + 1) * 8 <= LIST_BYTES && LISTS_PER_PAGE * LIST_BYTES <= PAGE_SIZE, "PRP lists cross no page");

static void ring(struct nvme_queue *q, bool completion, u32 value)
{
	struct nvme *n = q->controller;

	q->doorbells++;
	n->transport->ops->write(n->transport, NVME_DOORBELLS + (2 * q->id + completion) * n->doorbell_stride, value);
}

static u64 list_address(const struct nvme_queue *q, u32 cid, u64 **ret_entries)
{
	u32 page = cid / LISTS_PER_PAGE, offset = cid % LISTS_PER_PAGE * LIST_BYTES;

	*ret_entries = (u64 *)(void *)(q->lists[page] + offset);
	return q->list_addresses[page] + offset;
}

/* the segments were checked by nvme_submit(): page by page they are what PRPs can say */
static void put_prps(struct nvme_queue *q, u32 cid, struct nvme_io *io)
{
	u64 *entries, list = list_address(q, cid, &entries);
	u32 count = 0;

	for (u32 i = 0; i < io->segment_count; i++) {
		u64 at = io->segments[i].address, end = at + io->segments[i].len;

		for (; at < end; at = ALIGN_DOWN(at, (u64)PAGE_SIZE) + PAGE_SIZE, count++) {
			if (!count)
				io->command.prp1 = at;
			else
				entries[count - 1] = at;
		}
	}
	io->command.prp2 = count < 2 ? 0 : count == 2 ? entries[0] : list;
}

static void put_range(struct nvme_queue *q, u32 cid, struct nvme_io *io)
{
	u64 *entries;

	io->command.prp1 = list_address(q, cid, &entries);
	/* cdw12 to 14 hold the range until there is a slot; the command itself does not use them */
	struct nvme_dsm_range range = { 0, io->command.cdw14, (u64)io->command.cdw13 << 32 | io->command.cdw12 };

	memcpy(entries, &range, sizeof(range));
}

static u16 cid_of(const struct nvme_queue *q, u32 slot)
{
	return (u16)(q->slots[slot].uses * NVME_QUEUE_DEPTH + slot);
}

static void give_to_device(struct nvme_queue *q, struct nvme_io *io)
{
	u32 slot = q->free[--q->free_count];
	u64 now = exec_now_ns(q->exec);
	struct slot *s = &q->slots[slot];

	s->uses = (u16)((s->uses + 1) % CID_USES);
	io->command.cid = cid_of(q, slot);
	if (io->segment_count)
		put_prps(q, slot, io);
	else if (q->id && io->command.opcode == NVME_IO_DSM)
		put_range(q, slot, io);
	*s = (struct slot){ .io = io, .uses = s->uses };
	s->deadline_ns = now + (q->id ? q->controller->timeout_ms * 1000000ull : ADMIN_TIMEOUT_NS);
	/* the device keeps event requests for as long as it likes */
	if (!q->id && io->command.opcode == NVME_ADMIN_ASYNC_EVENT)
		s->deadline_ns = ~0ull;
	q->untimed += s->deadline_ns == ~0ull;
	q->started_ns[slot] = now;
	q->in_flight++;
	q->commands++;
	q->sq[q->sq_tail] = io->command;
	if (q->id && io->command.opcode == NVME_IO_DSM)
		q->sq[q->sq_tail].cdw12 = q->sq[q->sq_tail].cdw13 = q->sq[q->sq_tail].cdw14 = 0;
	q->sq_tail = (q->sq_tail + 1) % NVME_QUEUE_DEPTH;
	/* what else is submitted in this turn goes with it: a doorbell is an exit to the host */
	task_wake(&q->doorbell);
	if (!q->tick.slot && q->in_flight > q->untimed)
		timer_arm(q->exec, &q->tick, now + TICK_NS);
}

static void tell_device(struct task *task)
{
	struct nvme_queue *q = container_of(task, struct nvme_queue, doorbell);

	if (!q->up || q->told == q->sq_tail)
		return;
	q->told = q->sq_tail;
	ring(q, false, q->sq_tail);
}

static void run_waiting(struct nvme_queue *q)
{
	struct list_node *node;

	/* one slot stays empty: a full ring would look like an empty one */
	while (q->up && !q->broken && q->free_count > 1 && (node = list_pop(&q->waiting)))
		give_to_device(q, container_of(node, struct nvme_io, link));
}

void queue_submit(struct nvme_queue *q, struct nvme_io *io)
{
	if (!q->up || q->broken || q->free_count <= 1 || !list_empty(&q->waiting)) {
		q->waits++;
		list_push(&q->waiting, &io->link);
		if (q->controller->state >= NVME_SHUT_DOWN)
			task_wake(&q->task); /* nobody comes any more: it fails in a later turn */
		return;
	}
	give_to_device(q, io);
}

static bool worth_another_try(const struct nvme_io *io)
{
	u16 status = io->status & NVME_STATUS_MASK;

	if (io->status & NVME_STATUS_DNR || io->tries + 1 >= (u8)TRIES_MAX)
		return false;
	return status < NVME_STATUS(1, 0) || status >= NVME_STATUS(2, 0);
}

static int result_of(u16 status)
{
	switch (status & NVME_STATUS_MASK) {
	case NVME_SC_SUCCESS: return 0;
	case NVME_SC_ABORT_REQUESTED: return -ETIMEDOUT; /* we asked for it */
	case NVME_SC_LBA_OUT_OF_RANGE: return -EINVAL;
	case NVME_SC_WRITE_PROTECTED: return -EROFS;
	}
	return -EIO;
}

static void count_latency(struct nvme_queue *q, u32 cid)
{
	u64 us = (exec_now_ns(q->exec) - q->started_ns[cid]) / 1000;

	q->latency[us ? MIN(64 - (u32)__builtin_clzll(us), (u32)ARRAY_SIZE(q->latency) - 1) : 0]++;
}

static struct nvme_io *take_back(struct nvme_queue *q, u32 cid)
{
	struct nvme_io *io = q->slots[cid].io;

	q->untimed -= q->slots[cid].deadline_ns == ~0ull;
	q->slots[cid] = (struct slot){ .uses = q->slots[cid].uses };
	q->free[q->free_count++] = cid;
	q->in_flight--;
	return io;
}

static void finish(struct nvme_queue *q, const struct nvme_completion *c)
{
	u32 slot = c->cid & CID_SLOT;

	q->sq_head = c->sq_head;
	if (!q->slots[slot].io || cid_of(q, slot) != c->cid) {
		q->strays++;
		log_guest("%s: queue %u: a completion for command %u, which is not under way",
			q->controller->config.name, q->id, c->cid);
		return;
	}
	count_latency(q, slot);
	q->completions++;
	struct nvme_io *io = take_back(q, slot);

	io->status = c->status >> 1;
	if (io->status & NVME_STATUS_MASK) {
		q->errors++;
		if (q->id && worth_another_try(io)) {
			io->tries++;
			q->retries++;
			list_push(&q->waiting, &io->link);
			return;
		}
	}
	io->done(io, result_of(io->status), c->dw0);
}

/* at most a ring's worth a turn, so that a device that floods us does not keep the executor */
static void take_completions(struct nvme_queue *q)
{
	u32 taken = 0;

	for (; q->up && taken < NVME_QUEUE_DEPTH; taken++) {
		volatile struct nvme_completion *at = &q->cq[q->cq_head];
		u16 status = __atomic_load_n((u16 *)&at->status, __ATOMIC_ACQUIRE);

		if ((status & NVME_PHASE) != q->phase)
			break;
		struct nvme_completion c = { at->dw0, 0, at->sq_head, q->id, at->cid, status };

		if (++q->cq_head == NVME_QUEUE_DEPTH) {
			q->cq_head = 0;
			q->phase ^= NVME_PHASE;
		}
		finish(q, &c);
	}
	if (taken && q->up)
		ring(q, true, q->cq_head);
	if (taken == NVME_QUEUE_DEPTH)
		task_wake(&q->task);
}

static void run(struct task *task)
{
	struct nvme_queue *q = container_of(task, struct nvme_queue, task);
	struct list_node *node;

	q->interrupts++;
	take_completions(q);
	while ((node = list_pop(&q->failing))) {
		struct nvme_io *io = container_of(node, struct nvme_io, link);

		io->done(io, io->refusal, 0);
	}
	if (q->controller->state >= NVME_SHUT_DOWN)
		queue_fail_all(q, -ENODEV);
	run_waiting(q);
}

/* ---- time-outs */

static void tell_home(struct op *op, int cid)
{
	struct nvme_queue *q = container_of(op, struct nvme_queue, abort_op);

	/* in this order: what finds this post under way has said `hopeless` before */
	atomic_store(&q->abort_posted, false);
	controller_timeout(q->controller, q->id, atomic_load(&q->hopeless) ? ~0u : (u32)cid);
}

static void late(struct nvme_queue *q, u32 cid, u64 now)
{
	struct slot *s = &q->slots[cid];
	bool hopeless = s->aborting || !q->id;

	q->timeouts++;
	log_at(LOG_WARN, "%s: queue %u: command %u (opcode %#x) is not answered%s", q->controller->config.name, q->id, cid,
	       s->io->command.opcode, hopeless ? ": reset" : ": abort");
	s->deadline_ns = now + q->controller->timeout_ms * 1000000ull;
	if (hopeless) {
		q->broken = true;
		atomic_store(&q->hopeless, true);
	}
	if (atomic_exchange(&q->abort_posted, true))
		return; /* a reset is heard of all the same; an abort's turn comes with the next deadline */
	s->aborting = true;
	exec_post(q->controller->config.home, &q->abort_op, tell_home, hopeless ? -1 : cid_of(q, cid));
}

static void tick(struct timer *timer)
{
	struct nvme_queue *q = container_of(timer, struct nvme_queue, tick);
	u64 now = exec_now_ns(q->exec);

	if (!q->up)
		return;
	take_completions(q); /* an interrupt may have been lost */
	for (u32 i = 0; i < NVME_QUEUE_DEPTH && q->up && !q->broken; i++)
		if (q->slots[i].io && q->slots[i].deadline_ns <= now)
			late(q, i, now);
	run_waiting(q);
	if (q->in_flight > q->untimed)
		timer_arm(q->exec, &q->tick, now + TICK_NS);
}

/* ---- life */

int queue_init(struct nvme_queue *q, struct nvme *n, struct exec *exec, u16 id)
{
	struct nvme_transport *t = n->transport;

	q->controller = n;
	q->exec = exec;
	q->id = id;
	q->tick.fire = tick;
	list_init(&q->waiting);
	list_init(&q->failing);
	task_init(&q->task, exec, "nvme", run);
	task_init(&q->doorbell, exec, "nvme doorbell", tell_device);
	q->sq = t->ops->dma_alloc(t, NVME_QUEUE_DEPTH * sizeof(*q->sq), &q->sq_address);
	q->cq = t->ops->dma_alloc(t, NVME_QUEUE_DEPTH * sizeof(*q->cq), &q->cq_address);
	bool good = q->sq && q->cq;

	for (u32 i = 0; good && i < ARRAY_SIZE(q->lists); i++) {
		q->lists[i] = t->ops->dma_alloc(t, PAGE_SIZE, &q->list_addresses[i]);
		good = q->lists[i];
	}
	if (!good)
		return log_err(-ENOMEM, "%s: memory for queue %u", n->config.name, id);
	queue_clear(q);
	return id < t->vector_count ? t->ops->listen(t, id, &q->task)
				    : log_err(-ENOSPC, "%s: %u interrupts, queue %u has none", n->config.name,
					t->vector_count, id);
}

void queue_clear(struct nvme_queue *q)
{
	CHECK(!q->in_flight);
	q->sq_tail = q->sq_head = q->cq_head = q->told = 0;
	q->phase = NVME_PHASE;
	q->free_count = NVME_QUEUE_DEPTH;
	for (u32 i = 0; i < NVME_QUEUE_DEPTH; i++)
		q->free[i] = i;
	memset(q->cq, 0, NVME_QUEUE_DEPTH * sizeof(*q->cq));
	q->broken = false;
	atomic_store(&q->hopeless, false);
}

void queue_stop(struct nvme_queue *q)
{
	/* what the device finished before it was stopped is finished */
	if (q->up)
		take_completions(q);
	q->up = false;
	timer_disarm(q->exec, &q->tick);
	/* the others keep their slot: until the device is disabled it may still write to their memory */
}

static void requeue(struct nvme_queue *q)
{
	for (u32 i = NVME_QUEUE_DEPTH; i-- > 0;) {
		if (!q->slots[i].io)
			continue;
		struct nvme_io *io = take_back(q, i);

		if (!q->id || io->tries + 1 >= (int)TRIES_MAX) {
			io->status = 0;
			io->done(io, -ETIMEDOUT, 0);
			continue;
		}
		io->tries++;
		q->retries++;
		/* before what came later */
		io->link.next = q->waiting.next;
		io->link.prev = &q->waiting;
		q->waiting.next->prev = &io->link;
		q->waiting.next = &io->link;
	}
}

void queue_resume(struct nvme_queue *q)
{
	requeue(q);
	queue_clear(q);
	q->up = true;
	run_waiting(q);
}

void queue_fail_all(struct nvme_queue *q, int result)
{
	struct list_node *node;

	q->up = false;
	timer_disarm(q->exec, &q->tick);
	for (u32 i = 0; i < NVME_QUEUE_DEPTH; i++)
		if (q->slots[i].io) {
			struct nvme_io *io = take_back(q, i);

			io->done(io, result, 0);
		}
	/* what done() submits is for the next turn, or this would not end */
	struct list_node *last = q->waiting.prev;

	while ((node = list_pop(&q->waiting))) {
		struct nvme_io *io = container_of(node, struct nvme_io, link);
		bool end = node == last;

		io->done(io, result, 0);
		if (end)
			break;
	}
}

void queue_inspect(void *object, struct inspect *in)
{
	struct nvme_queue *q = object;

	inspect_bool(in, "up", q->up);
	inspect_u64(in, "in_flight", q->in_flight);
	inspect_u64(in, "sq_tail", q->sq_tail);
	inspect_u64(in, "sq_head", q->sq_head);
	inspect_u64(in, "cq_head", q->cq_head);
	inspect_count(in, "commands", q->commands);
	inspect_count(in, "completions", q->completions);
	inspect_count(in, "turns", q->interrupts);
	inspect_count(in, "doorbells", q->doorbells);
	inspect_count(in, "waits", q->waits);
	inspect_count(in, "retries", q->retries);
	inspect_count(in, "timeouts", q->timeouts);
	inspect_count(in, "errors", q->errors);
	inspect_count(in, "strays", q->strays);
	for (u32 i = 0; i < ARRAY_SIZE(q->latency); i++) {
		char name[24] = "latency_us_below_2^";

		if (!q->latency[i])
			continue;
		name[19] = (char)('0' + i / 10);
		name[20] = (char)('0' + i % 10);
		name[21] = 0;
		inspect_count(in, name, q->latency[i]);
	}
}
