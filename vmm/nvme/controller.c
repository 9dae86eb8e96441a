/* Life of a controller: create, start, time-outs, reset, events, shutdown, requests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/nvme/internal.h"

LOG_DOMAIN("nvme");

#define IO_TIMEOUT_MS 10000u
#define SHUTDOWN_TIMEOUT_NS 10000000000ull

static void begin_removal(struct nvme *n);

/* ---- orders to queues */

static void answer(struct op *op, int ignored)
{
	struct nvme *n = container_of(op, struct nvme_queue, to_home)->controller;
	void (*answered)(struct nvme *) = n->answered;

	if (--n->pending_queues)
		return;
	n->answered = NULL;
	if (answered)
		answered(n);
	if (n->remove_done && !n->pending_queues)
		begin_removal(n);
	else if (n->reset_wanted && n->state == NVME_READY && !n->pending_queues)
		controller_reset(n, "as asked for meanwhile");
}

void queues_order(struct nvme *n, void (*fn)(struct op *, int), int arg, void (*answered)(struct nvme *n))
{
	CHECK(!n->pending_queues);
	n->pending_queues = n->config.exec_count; /* also those without a queue of the device: they hold requests, perhaps */
	n->answered = answered;
	for (u32 i = 0; i < n->config.exec_count; i++)
		exec_post(n->config.execs[i], &n->queues[i]->to_queue, fn, arg);
}

static void tell_home(struct nvme_queue *q)
{
	exec_post(q->controller->config.home, &q->to_home, answer, 0);
}

void order_stop(struct op *op, int ignored)
{
	struct nvme_queue *q = container_of(op, struct nvme_queue, to_queue);

	queue_stop(q);
	tell_home(q);
}

void order_resume(struct op *op, int ignored)
{
	struct nvme_queue *q = container_of(op, struct nvme_queue, to_queue);

	if (q->id <= q->controller->queue_count)
		queue_resume(q);
	else
		queue_fail_all(q, -ENODEV);
	tell_home(q);
}

void order_fail(struct op *op, int result)
{
	struct nvme_queue *q = container_of(op, struct nvme_queue, to_queue);

	queue_fail_all(q, result);
	tell_home(q);
}

/* ---- time-outs and reset */

bool controller_is_gone(struct nvme *n)
{
	return n->transport->ops->read(n->transport, NVME_CSTS) == ~0u;
}

void controller_reset(struct nvme *n, const char *why)
{
	if (n->state != NVME_READY || n->pending_queues) {
		n->reset_wanted = true;
		return;
	}
	n->reset_wanted = false;
	n->resets++;
	log_at(LOG_WARN, "%s: reset: %s", n->config.name, why);
	n->state = NVME_STOPPING;
	queue_stop(&n->admin);
	if (controller_is_gone(n))
		n->resets_in_a_row = RESETS_IN_A_ROW;
	queues_order(n, order_stop, 0, bringup_begin);
}

static void abort_done(struct nvme_io *io, int result, u32 dw0)
{
	struct nvme *n = container_of(io, struct nvme, abort);

	n->abort_busy = false; /* what came of it is seen at the command: it completes, or its time runs out again */
}

void controller_timeout(struct nvme *n, u16 sq, u32 cid)
{
	if (n->state > NVME_STOPPING && n->state < NVME_READY) {
		if (!sq)
			bringup_fail(n, -ETIMEDOUT, "an admin command is not answered");
		return;
	}
	if (n->state != NVME_READY)
		return;
	u32 csts = n->transport->ops->read(n->transport, NVME_CSTS);

	if (cid == ~0u || csts == ~0u) {
		controller_reset(n, sq ? "Abort did not help" : "an admin command is not answered");
		return;
	}
	if (csts & NVME_CSTS_CFS || !(csts & NVME_CSTS_RDY)) { /* nobody is there to abort anything */
		controller_reset(n, csts & NVME_CSTS_CFS ? "fatal status" : "the controller is not ready any more");
		return;
	}
	if (n->abort_busy)
		return;
	n->abort_busy = true;
	n->aborts++;
	n->abort = (struct nvme_io){
		.command = { .opcode = NVME_ADMIN_ABORT, .cdw10 = sq | cid << 16 }, .done = abort_done };
	queue_submit(&n->admin, &n->abort);
}

/* ---- asynchronous events */

static void event_came(struct nvme_io *io, int result, u32 dw0)
{
	struct nvme *n = container_of(io, struct nvme, event);

	if (result || n->state != NVME_READY)
		return; /* a controller without events, or a life that is over */
	n->events++;
	/* at most some a second: nothing stops a controller from having one after the other */
	log_guest("%s: event %#x", n->config.name, dw0);
	bringup_look(n, dw0 & 7, (u8)(dw0 >> 16));
	event_request(n);
}

void event_request(struct nvme *n)
{
	n->event = (struct nvme_io){ .command = { .opcode = NVME_ADMIN_ASYNC_EVENT }, .done = event_came };
	queue_submit(&n->admin, &n->event);
}

/* ---- requests */

/* can PRPs say it, and is it as long as the blocks are? */
static bool segments_fit(const struct nvme_request *r, u64 len)
{
	u64 sum = 0;

	for (u32 i = 0; i < r->segment_count; i++) {
		const struct nvme_segment *s = &r->segments[i];
		u64 end;

		if (!s->len || (s->address | s->len) & 3 || add_overflow(s->address, s->len, &end) ||
		    (i && s->address & (PAGE_SIZE - 1)) || (i + 1 < r->segment_count && end & (PAGE_SIZE - 1)))
			return false;
		sum += s->len;
	}
	return sum == len && r->segment_count;
}

const struct nvme_namespace *nvme_namespace_of(const struct nvme *n, u32 nsid)
{
	const struct namespaces *t = n->known;

	for (u32 i = 0; i < t->count; i++)
		if (t->list[i].nsid == nsid)
			return &t->list[i];
	return NULL;
}

static void request_done(struct nvme_io *io, int result, u32 dw0)
{
	struct nvme_request *r = container_of(io, struct nvme_request, io);

	r->status = io->status & NVME_STATUS_MASK;
	r->done(r, result);
}

/* 0, or why not */
static int build(struct nvme *n, struct nvme_request *r)
{
	const struct nvme_namespace *s = nvme_namespace_of(n, r->nsid);
	static const u8 opcodes[] = { [NVME_READ] = NVME_IO_READ, [NVME_WRITE] = NVME_IO_WRITE, [NVME_FLUSH] = NVME_IO_FLUSH,
				      [NVME_WRITE_ZEROES] = NVME_IO_WRITE_ZEROES, [NVME_DEALLOCATE] = NVME_IO_DSM };
	struct nvme_command *c = &r->io.command;

	if (!s || !s->block_size || (u32)r->operation >= ARRAY_SIZE(opcodes))
		return -EINVAL;
	r->io = (struct nvme_io){ .command = { .opcode = opcodes[r->operation], .nsid = r->nsid }, .done = request_done };
	if (r->operation == NVME_FLUSH)
		return 0;
	if ((r->operation == NVME_WRITE_ZEROES && !n->has_write_zeroes) || (r->operation == NVME_DEALLOCATE && !n->has_dsm))
		return -EOPNOTSUPP;
	if (!r->blocks || !range_within(r->lba, r->blocks, 0, s->blocks))
		return -EINVAL;
	if (r->operation == NVME_DEALLOCATE) {
		/* the range lies in memory the queue owns: it is put there when there is a slot */
		c->cdw11 = NVME_DSM_DEALLOCATE;
		c->cdw12 = (u32)r->lba;
		c->cdw13 = (u32)(r->lba >> 32);
		c->cdw14 = r->blocks;
		return 0;
	}
	if (r->blocks > NVME_RW_NLB + 1)
		return -EINVAL;
	c->cdw10 = (u32)r->lba;
	c->cdw11 = (u32)(r->lba >> 32);
	c->cdw12 = (r->blocks - 1) | (r->fua && r->operation != NVME_READ ? (u32)NVME_RW_FUA : 0);
	if (r->operation == NVME_WRITE_ZEROES)
		return 0;
	u64 len = (u64)r->blocks * s->block_size;

	r->io.segments = r->segments;
	r->io.segment_count = r->segment_count;
	return len <= n->max_transfer && segments_fit(r, len) ? 0 : -EINVAL;
}

void nvme_submit(struct nvme_queue *q, struct nvme_request *r)
{
	r->status = 0;
	int refusal = build(q->controller, r);

	if (!refusal) {
		queue_submit(q, &r->io);
		return;
	}
	r->io = (struct nvme_io){ .done = request_done, .refusal = refusal };
	list_push(&q->failing, &r->io.link);
	task_wake(&q->task);
}

/* ---- life */

static int allocate(struct nvme *n)
{
	struct nvme_transport *t = n->transport;

	n->page = t->ops->dma_alloc(t, NVME_IDENTIFY_SIZE, &n->page_address);
	if (!n->page)
		return log_err(-ENOMEM, "%s: memory for identify data", n->config.name);
	if (t->vector_count < 2)
		return log_err(-ENOSPC, "%s: %u interrupts; two are the least", n->config.name, t->vector_count);
	int r = queue_init(&n->admin, n, n->config.home, 0);

	for (u32 i = 0; !r && i < n->config.exec_count; i++) {
		n->queues[i] = calloc(1, sizeof(*n->queues[i]));
		r = n->queues[i] ? queue_init(n->queues[i], n, n->config.execs[i], (u16)(i + 1))
				 : log_err(-ENOMEM, "%s: queue %u", n->config.name, i + 1);
	}
	return r;
}

int nvme_create(struct nvme_transport *t, const struct nvme_config *config, struct nvme **ret)
{
	struct nvme *n = calloc(1, sizeof(*n));

	if (!n)
		return log_err(-ENOMEM, "%s", config->name);
	CHECK(config->exec_count && config->exec_count <= NVME_QUEUES_MAX);
	n->transport = t;
	n->config = *config;
	n->config.exec_count = MIN(config->exec_count, MAX(t->vector_count, 2u) - 1);
	n->known = &n->tables[0];
	n->timer.fire = bringup_timer;
	n->timeout_ms = IO_TIMEOUT_MS;
	n->max_transfer = NVME_TRANSFER_MAX;
	int r = allocate(n);

	if (r) {
		nvme_destroy(n);
		return r;
	}
	*ret = n;
	return 0;
}

void nvme_destroy(struct nvme *n)
{
	if (!n)
		return;
	for (u32 i = 0; i < n->config.exec_count; i++)
		free(n->queues[i]);
	free(n);
}

void nvme_start(struct nvme *n)
{
	CHECK(n->state == NVME_OFF);
	bringup_begin(n);
}

static void queues_stopped(struct nvme *n)
{
	struct nvme_transport *t = n->transport;
	u64 now = exec_now_ns(n->config.home);

	n->state = NVME_SHUTDOWN;
	t->ops->write(t, NVME_CC, (t->ops->read(t, NVME_CC) & ~NVME_CC_SHN) | (u32)FIELD_PREP(NVME_CC_SHN, NVME_CC_SHN_NORMAL));
	n->deadline_ns = now + SHUTDOWN_TIMEOUT_NS;
	timer_arm(n->config.home, &n->timer, now);
}

void nvme_shutdown(struct nvme *n, struct op *done)
{
	if (n->state != NVME_READY || n->pending_queues) { /* nothing of ours is written and not flushed then, or all is lost */
		exec_post(n->config.home, done, done->done, n->state == NVME_READY ? -EBUSY : 0);
		return;
	}
	n->state = NVME_SHUTDOWN_QUEUES;
	n->shutdown_done = done;
	queues_order(n, order_stop, 0, queues_stopped);
}

static void removed(struct nvme *n)
{
	struct op *done = n->remove_done;

	n->remove_done = NULL;
	done->done(done, 0);
}

static void begin_removal(struct nvme *n)
{
	if (n->state == NVME_GONE) { /* as far as that the queues have ended already */
		removed(n);
		return;
	}
	n->state = NVME_GONE;
	timer_disarm(n->config.home, &n->timer);
	queue_fail_all(&n->admin, -ENODEV);
	if (n->shutdown_done)
		n->shutdown_done->done(n->shutdown_done, -ENODEV);
	n->shutdown_done = NULL;
	queues_order(n, order_fail, -ENODEV, removed);
}

void nvme_remove(struct nvme *n, struct op *done)
{
	n->remove_done = done;
	if (!n->pending_queues)
		begin_removal(n);
}

void nvme_reset(struct nvme *n)
{
	controller_reset(n, "asked for");
}

void *nvme_context(struct nvme *n)
{
	return n->config.ctx;
}

enum nvme_state nvme_state(const struct nvme *n)
{
	return n->state;
}

struct nvme_queue *nvme_queue_of(struct nvme *n, u32 i)
{
	return i < n->queue_count ? n->queues[i] : NULL;
}

u32 nvme_namespace_count(const struct nvme *n)
{
	return ((const struct namespaces *)n->known)->count;
}

const struct nvme_namespace *nvme_namespace_at(const struct nvme *n, u32 i)
{
	const struct namespaces *t = n->known;

	return i < t->count ? &t->list[i] : NULL;
}

u32 nvme_max_transfer(const struct nvme *n)
{
	return n->max_transfer;
}

bool nvme_has_write_cache(const struct nvme *n)
{
	return n->write_cache;
}

bool nvme_has_write_zeroes(const struct nvme *n)
{
	return n->has_write_zeroes;
}

bool nvme_has_deallocate(const struct nvme *n)
{
	return n->has_dsm;
}

bool nvme_is_translated(const struct nvme *n)
{
	return n->transport->translated;
}

void *nvme_dma_alloc(struct nvme *n, u32 len, u64 *ret_address)
{
	return n->transport->ops->dma_alloc(n->transport, len, ret_address);
}

void nvme_dma_free(struct nvme *n, void *at, u32 len, u64 address)
{
	if (n->transport->ops->dma_free)
		n->transport->ops->dma_free(n->transport, at, len, address);
}

/* ---- inspect */

static void namespace_inspect(void *object, struct inspect *in)
{
	struct nvme_namespace *s = object;

	inspect_u64(in, "nsid", s->nsid);
	inspect_u64(in, "blocks", s->blocks);
	inspect_u64(in, "block_size", s->block_size);
	inspect_bool(in, "readonly", s->readonly);
	inspect_bytes(in, "nguid", s->nguid, sizeof(s->nguid));
}

static void namespaces_inspect(void *object, struct inspect *in)
{
	struct nvme *n = object;
	struct namespaces *t = n->known;

	for (u32 i = 0; i < t->count; i++)
		inspect_child_index(in, t->list[i].nsid, namespace_inspect, &t->list[i]);
}

static void queues_inspect(void *object, struct inspect *in)
{
	struct nvme *n = object;
	char name[12];

	inspect_child(in, "admin", queue_inspect, &n->admin);
	for (u32 i = 0; i < n->queue_count; i++) {
		snprintf(name, sizeof(name), "%u", i + 1);
		inspect_defer(in, name, n->config.execs[i], queue_inspect, n->queues[i]);
	}
}

void nvme_inspect(void *object, struct inspect *in)
{
	struct nvme *n = object;

	inspect_str(in, "state", bringup_state_name(n->state));
	inspect_str(in, "model", n->model);
	inspect_str(in, "serial", n->serial);
	inspect_str(in, "firmware", n->firmware);
	inspect_bool(in, "write_cache", n->write_cache);
	inspect_u64(in, "max_transfer", n->max_transfer);
	inspect_rw_u32(in, "timeout_ms", &n->timeout_ms, 100, 600000);
	inspect_count(in, "resets", n->resets);
	inspect_count(in, "aborts", n->aborts);
	inspect_count(in, "events", n->events);
	inspect_count(in, "rescans", n->rescans);
	inspect_hex(in, "critical_warning", n->critical_warning);
	inspect_hex(in, "last_status", n->last_status);
	inspect_child(in, "namespaces", namespaces_inspect, n);
	inspect_child(in, "queues", queues_inspect, n);
}
