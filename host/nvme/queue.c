/* Submission and completion queues, commands kept back, asynchronous events. */
#include <string.h>

#include "host/nvme/internal.h"

bool queue_has_room(const struct nvme_target *n, u16 cq)
{
	const struct cq *c = &n->cqs[cq];

	return c->live && (c->tail + 1) % c->size != c->head;
}

bool queue_complete(struct nvme_target *n, u16 sq, u16 cid, u32 dw0, u16 status)
{
	struct cq *c = &n->cqs[n->sqs[sq].cq];

	if (!n->sqs[sq].live || !c->live)
		return true; /* the queue went away meanwhile: nobody waits */
	if (!queue_has_room(n, n->sqs[sq].cq))
		return false;
	struct nvme_completion *at = n->memory.map(n->memory.ctx, c->base + c->tail * sizeof(*at), sizeof(*at));

	if (!at || !pci_is_master(&n->function)) {
		n->counters.dma_errors++;
		controller_fatal(n, "a completion queue is not in memory");
		return true;
	}
	struct nvme_completion e = { dw0, 0, n->sqs[sq].head, sq, cid, (u16)(status << 1 | c->phase) };

	/* the phase bit last: the driver polls for it */
	memcpy(at, &e, offsetof(struct nvme_completion, cid));
	u32 last = e.cid | (u32)e.status << 16;

	__atomic_store_n((u32 *)&at->cid, last, __ATOMIC_RELEASE);
	if (++c->tail == c->size) {
		c->tail = 0;
		c->phase = !c->phase;
	}
	c->completions++;
	if (c->interrupts && !n->mute)
		pci_interrupt(&n->function, c->vector);
	return true;
}

bool queue_fetch(struct nvme_target *n, u16 index, struct nvme_command *ret)
{
	struct sq *s = &n->sqs[index];
	const void *at = n->memory.map(n->memory.ctx, s->base + s->head * sizeof(*ret), sizeof(*ret));

	if (!at || !pci_is_master(&n->function)) {
		n->counters.dma_errors++;
		controller_fatal(n, "a submission queue is not in memory");
		return false;
	}
	memcpy(ret, at, sizeof(*ret));
	s->head = (u16)((s->head + 1) % s->size);
	s->commands++;
	return true;
}

void queues_clear(struct nvme_target *n)
{
	memset(n->sqs, 0, sizeof(n->sqs));
	memset(n->cqs, 0, sizeof(n->cqs));
	memset(n->held, 0, sizeof(n->held));
	list_init(&n->held_free);
	list_init(&n->held_used);
	for (u32 i = 0; i < HELD_MAX; i++)
		list_push(&n->held_free, &n->held[i].link);
	n->events_waiting = 0;
	memset(n->events_masked, 0, sizeof(n->events_masked));
	memset(n->events_pending, 0, sizeof(n->events_pending));
	n->next_sq = 0;
}

/* ---- commands without a completion yet */

struct held *held_add(struct nvme_target *n, u16 sq, u16 cid)
{
	struct list_node *node = list_pop(&n->held_free);

	if (!node)
		return NULL;
	struct held *h = container_of(node, struct held, link);

	*h = (struct held){ .sq = sq, .cid = cid, .due_ns = ~0ull };
	list_push(&n->held_used, &h->link);
	return h;
}

void held_remove(struct nvme_target *n, struct held *h)
{
	list_remove(&h->link);
	list_push(&n->held_free, &h->link);
}

u64 held_run(struct nvme_target *n, u64 now)
{
	u64 next = ~0ull;

	list_for_each_safe(node, &n->held_used) {
		struct held *h = container_of(node, struct held, link);

		if (h->due_ns > now) {
			next = MIN(next, h->due_ns);
		} else if (queue_complete(n, h->sq, h->cid, h->dw0, h->status)) {
			held_remove(n, h);
		}
		/* else the queue is full: the driver's doorbell wakes us */
	}
	return next;
}

/* ---- events */

void event_deliver(struct nvme_target *n)
{
	for (u32 type = 0; type < ARRAY_SIZE(n->events_pending); type++) {
		if (!n->events_pending[type] || n->events_masked[type] || !n->events_waiting)
			continue;
		list_for_each_safe(node, &n->held_used) {
			struct held *h = container_of(node, struct held, link);

			if (!h->async_event || h->due_ns != ~0ull)
				continue;
			h->dw0 = n->events_pending[type];
			h->due_ns = 0;
			n->events_waiting--;
			n->events_masked[type] = true;
			n->events_pending[type] = 0;
			break;
		}
	}
}

void event_raise(struct nvme_target *n, u32 type, u32 information, u32 log)
{
	n->events_pending[type] = NVME_EVENT(type, information, log);
	event_deliver(n);
	pthread_cond_signal(&n->work);
}
