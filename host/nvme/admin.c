/* Admin commands (base, chapter 5). */
#include <string.h>

#include "host/nvme/internal.h"
#include "lib/log/log.h"

LOG_DOMAIN("nvme");

static bool is_io_queue(const struct nvme_target *n, u16 id)
{
	return id && id <= n->config.io_queues;
}

static u16 create_cq(struct nvme_target *n, const struct nvme_command *c)
{
	u16 id = (u16)c->cdw10, vector = (u16)(c->cdw11 >> 16);
	u32 size = (c->cdw10 >> 16) + 1;

	if (!is_io_queue(n, id) || n->cqs[id].live)
		return NVME_SC_INVALID_QID;
	if (size < 2 || size > QUEUE_ENTRIES_MAX)
		return NVME_SC_INVALID_QUEUE_SIZE;
	if (!(c->cdw11 & NVME_QUEUE_CONTIGUOUS) || c->prp1 & (PAGE_SIZE - 1))
		return c->prp1 & (PAGE_SIZE - 1) ? NVME_SC_INVALID_PRP_OFFSET : NVME_SC_INVALID_FIELD;
	if (c->cdw11 & NVME_CQ_INTERRUPTS && vector >= n->function.vector_count)
		return NVME_SC_INVALID_VECTOR;
	n->cqs[id] = (struct cq){ .live = true, .interrupts = c->cdw11 & NVME_CQ_INTERRUPTS, .phase = true, .size = (u16)size,
				  .vector = vector, .base = c->prp1 };
	return NVME_SC_SUCCESS;
}

static u16 create_sq(struct nvme_target *n, const struct nvme_command *c)
{
	u16 id = (u16)c->cdw10, cq = (u16)(c->cdw11 >> 16);
	u32 size = (c->cdw10 >> 16) + 1;

	if (!is_io_queue(n, id) || n->sqs[id].live)
		return NVME_SC_INVALID_QID;
	if (!is_io_queue(n, cq) || !n->cqs[cq].live)
		return NVME_SC_INVALID_CQ;
	if (size < 2 || size > QUEUE_ENTRIES_MAX)
		return NVME_SC_INVALID_QUEUE_SIZE;
	if (!(c->cdw11 & NVME_QUEUE_CONTIGUOUS) || c->prp1 & (PAGE_SIZE - 1))
		return c->prp1 & (PAGE_SIZE - 1) ? NVME_SC_INVALID_PRP_OFFSET : NVME_SC_INVALID_FIELD;
	n->sqs[id] = (struct sq){ .live = true, .cq = cq, .size = (u16)size, .base = c->prp1 };
	n->sqs[id].stalled = fault_stalls(n, id);
	n->cqs[cq].users++;
	return NVME_SC_SUCCESS;
}

static u16 delete_sq(struct nvme_target *n, const struct nvme_command *c)
{
	u16 id = (u16)c->cdw10;

	if (!is_io_queue(n, id) || !n->sqs[id].live)
		return NVME_SC_INVALID_QID;
	list_for_each_safe(node, &n->held_used) {
		struct held *h = container_of(node, struct held, link);

		if (h->sq != id)
			continue;
		queue_complete(n, id, h->cid, 0, NVME_SC_ABORT_SQ_DELETED);
		held_remove(n, h);
	}
	n->cqs[n->sqs[id].cq].users--;
	n->sqs[id].live = false;
	return NVME_SC_SUCCESS;
}

static u16 delete_cq(struct nvme_target *n, const struct nvme_command *c)
{
	u16 id = (u16)c->cdw10;

	if (!is_io_queue(n, id) || !n->cqs[id].live)
		return NVME_SC_INVALID_QID;
	if (n->cqs[id].users)
		return NVME_SC_INVALID_QUEUE_DELETION;
	n->cqs[id].live = false;
	return NVME_SC_SUCCESS;
}

/* dw0 bit 0: not aborted, which is never an error */
static u16 abort_command(struct nvme_target *n, struct execution *x)
{
	u16 sq = (u16)x->command.cdw10, cid = (u16)(x->command.cdw10 >> 16);

	n->counters.aborts++;
	x->dw0 = 1;
	list_for_each_safe(node, &n->held_used) {
		struct held *h = container_of(node, struct held, link);

		if (h->sq != sq || h->cid != cid)
			continue;
		if (h->async_event && h->due_ns == ~0ull)
			n->events_waiting--;
		h->async_event = false;
		h->due_ns = 0;
		h->status = NVME_SC_ABORT_REQUESTED;
		x->dw0 = 0;
		break;
	}
	return NVME_SC_SUCCESS;
}

static u16 async_event(struct nvme_target *n, struct execution *x)
{
	struct held *h = n->events_waiting < ASYNC_EVENTS_MAX ? held_add(n, x->sq, x->command.cid) : NULL;

	if (!h)
		return NVME_SC_AER_LIMIT;
	h->async_event = true;
	x->silent = true;
	n->events_waiting++;
	event_deliver(n);
	return NVME_SC_SUCCESS;
}

/* ---- features */

static bool feature_known(u8 id)
{
	return (id >= NVME_FEATURE_ARBITRATION && id <= NVME_FEATURE_ASYNC_EVENTS && id != 3) && id < FEATURES;
}

static u32 queue_count_value(const struct nvme_target *n)
{
	u32 most = n->config.io_queues - 1;

	return most | most << 16;
}

/* what a feature is after a reset */
static u32 feature_default(u8 id)
{
	return id == NVME_FEATURE_WRITE_CACHE ? 1 : id == NVME_FEATURE_TEMPERATURE ? 343 : 0;
}

void features_reset(struct nvme_target *n)
{
	for (u8 id = 0; id < FEATURES; id++)
		n->features[id] = feature_default(id);
}

static bool has_io_queues(const struct nvme_target *n)
{
	for (u32 i = 1; i <= n->config.io_queues; i++)
		if (n->sqs[i].live || n->cqs[i].live)
			return true;
	return false;
}

static u16 set_features(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;
	u8 id = (u8)c->cdw10;

	if (!feature_known(id))
		return NVME_SC_INVALID_FIELD;
	if (c->cdw10 & NVME_FEATURE_SAVE)
		return NVME_SC_FEATURE_NOT_SAVEABLE;
	switch (id) {
	case NVME_FEATURE_QUEUES:
		if ((c->cdw11 & 0xffff) == 0xffff || c->cdw11 >> 16 == 0xffff)
			return NVME_SC_INVALID_FIELD;
		if (has_io_queues(n))
			return NVME_SC_COMMAND_SEQUENCE;
		x->dw0 = queue_count_value(n); /* may be more than was asked for */
		return NVME_SC_SUCCESS;
	case NVME_FEATURE_WRITE_CACHE:
		if (n->config.ram_size)
			return NVME_SC_INVALID_FIELD;
		break;
	case NVME_FEATURE_POWER:
		if (c->cdw11 & 0x1f)
			return NVME_SC_INVALID_FIELD; /* there is state 0 only */
		break;
	case NVME_FEATURE_VECTOR:
		if ((c->cdw11 & 0xffff) >= n->function.vector_count)
			return NVME_SC_INVALID_FIELD;
		return NVME_SC_SUCCESS; /* nothing is coalesced anyway */
	}
	n->features[id] = c->cdw11;
	return NVME_SC_SUCCESS;
}

static u16 get_features(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;
	u8 id = (u8)c->cdw10, select = (u8)FIELD_GET(NVME_FEATURE_SELECT, c->cdw10);

	if (!feature_known(id) || select > 3)
		return NVME_SC_INVALID_FIELD;
	if (select == 3) { /* supported capabilities: changeable, not saveable */
		x->dw0 = 4;
		return NVME_SC_SUCCESS;
	}
	if (id == NVME_FEATURE_WRITE_CACHE && n->config.ram_size)
		return NVME_SC_INVALID_FIELD;
	if (id == NVME_FEATURE_VECTOR)
		x->dw0 = (c->cdw11 & 0xffff) | 1u << 16;
	else
		/* 0 is the current value; nothing can be saved, so what is saved is the default */
		x->dw0 = id == NVME_FEATURE_QUEUES ? queue_count_value(n) : select ? feature_default(id) : n->features[id];
	return NVME_SC_SUCCESS;
}

/* the seam: one format exists, so formatting to it is erasing */
static u16 format(struct nvme_target *n, const struct nvme_command *c)
{
	u32 lbaf = c->cdw10 & 0xf, erase = c->cdw10 >> 9 & 7;

	if (c->nsid != NSID && c->nsid != NVME_NSID_ALL)
		return NVME_SC_INVALID_NAMESPACE;
	if (n->readonly)
		return NVME_SC_WRITE_PROTECTED;
	if (lbaf || erase > 1 || c->cdw10 & 0x1f0)
		return NVME_SC_INVALID_FORMAT;
	int r = backing_zero(&n->backing, 0, n->blocks << n->block_shift, true, true);

	return r ? NVME_SC_INTERNAL_ERROR : NVME_SC_SUCCESS;
}

u16 admin_run(struct nvme_target *n, struct execution *x)
{
	const struct nvme_command *c = &x->command;

	n->counters.admin++;
	if (c->flags & NVME_COMMAND_FUSED)
		return NVME_SC_INVALID_FIELD;
	switch (c->opcode) {
	case NVME_ADMIN_CREATE_CQ: return create_cq(n, c);
	case NVME_ADMIN_CREATE_SQ: return create_sq(n, c);
	case NVME_ADMIN_DELETE_SQ: return delete_sq(n, c);
	case NVME_ADMIN_DELETE_CQ: return delete_cq(n, c);
	case NVME_ADMIN_IDENTIFY: return identify_run(n, c);
	case NVME_ADMIN_GET_LOG_PAGE: return log_run(n, c);
	case NVME_ADMIN_ABORT: return abort_command(n, x);
	case NVME_ADMIN_SET_FEATURES: return set_features(n, x);
	case NVME_ADMIN_GET_FEATURES: return get_features(n, x);
	case NVME_ADMIN_ASYNC_EVENT: return async_event(n, x);
	case NVME_ADMIN_FORMAT: return format(n, c);
	}
	log_at(LOG_DEBUG, "%s: admin command %#x is not offered", n->function.name, c->opcode);
	return NVME_SC_INVALID_OPCODE;
}
