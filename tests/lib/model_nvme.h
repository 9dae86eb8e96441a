/*
 * An NVMe controller to drive in virtual time: registers, queues, one namespace, and what goes wrong on purpose. Written for
 * tests; knows nothing of host/nvme.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/nvme/nvme.h"

#define ARENA (8 * MiB)
#define ARENA_ADDRESS 0x100000000ull
#define MODEL_QUEUES 5
#define PENDING_MAX 512
#define BLOCKS 4096u

struct model {
	struct nvme_transport transport;
	struct sim *sim;
	struct exec *exec;
	struct task task;
	struct timer timer;
	u8 *arena, *disk;
	u64 used;
	u32 cc, csts, aqa;
	u64 asq, acq;
	struct { u64 base; u32 size, head, tail, cq; } sq[MODEL_QUEUES];
	struct { u64 base; u32 size, tail; u16 phase; bool live; } cq[MODEL_QUEUES];
	struct task *vectors[MODEL_QUEUES];
	struct { bool used; u32 sq; struct nvme_command c; u64 due; } pending[PENDING_MAX];
	u32 event_cid;
	bool has_event;
	/* what goes wrong: each n-th I/O command, 0 never */
	u32 duplicate_every, drop_every, fail_every, stray_every, no_interrupt_every;
	u16 fail_status;
	bool never_ready, gone, ignore_abort;
	u32 ready_after; /* reads of CSTS */
	u32 io, resets, shutdowns, aborts, flushes, fua;
	u64 namespace_blocks;
	u32 shift;        /* of a block: 9 or 12; before bring-up */
	u32 async_config; /* the driver's wish */
	u32 logs[256];    /* how often each was read */
	u8 critical_warning;
	bool refuse_events, plain, off; /* plain: no command that is optional; off: somebody else disabled it */
	u32 grant;
};

static void *at(struct model *m, u64 address, u64 len)
{
	assert_true(range_within(address, len, ARENA_ADDRESS, ARENA));
	return m->arena + (address - ARENA_ADDRESS);
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	struct model *m = container_of(t, struct model, transport);

	len = ALIGN_UP(len, PAGE_SIZE);
	if (m->used + len > ARENA)
		return NULL;
	*ret_address = ARENA_ADDRESS + m->used;
	m->used += len;
	return m->arena + m->used - len;
}

static int listen_vector(struct nvme_transport *t, u32 vector, struct task *task)
{
	container_of(t, struct model, transport)->vectors[vector] = task;
	return 0;
}

static u32 model_read(struct nvme_transport *t, u32 offset)
{
	struct model *m = container_of(t, struct model, transport);

	if (m->gone)
		return ~0u;
	switch (offset) {
	case NVME_CAP: return 1023 | BIT(16) | 4u << 24; /* 2 s */
	case NVME_CAP + 4: return 1u << 5;
	case NVME_CC: return m->cc;
	case NVME_CSTS:
		if (m->ready_after)
			m->ready_after--;
		else if (m->cc & 1 && !m->never_ready)
			m->csts |= 1;
		return m->csts;
	}
	return 0;
}

static void forget(struct model *m)
{
	memset(m->sq, 0, sizeof(m->sq));
	memset(m->cq, 0, sizeof(m->cq));
	memset(m->pending, 0, sizeof(m->pending));
	m->has_event = false;
	m->csts = 0;
	m->resets++;
}

static void model_write(struct nvme_transport *t, u32 offset, u32 value)
{
	struct model *m = container_of(t, struct model, transport);

	if (m->gone)
		return;
	if (offset >= NVME_DOORBELLS) {
		u32 i = (offset - NVME_DOORBELLS) / 8;

		assert_true(i < MODEL_QUEUES);
		if (!(m->csts & 1) && m->off)
			return; /* the driver does not know yet */
		assert_true(m->csts & 1);
		if (!(offset & 4)) {
			assert_true(value < m->sq[i].size);
			m->sq[i].tail = value;
			task_wake(&m->task);
		}
		return;
	}
	switch (offset) {
	case NVME_AQA: m->aqa = value; return;
	case NVME_ASQ: m->asq = value; return;
	case NVME_ASQ + 4: m->asq |= (u64)value << 32; return;
	case NVME_ACQ: m->acq = value; return;
	case NVME_ACQ + 4: m->acq |= (u64)value << 32; return;
	case NVME_CC:
		if (m->cc & 1 && !(value & 1))
			forget(m);
		if (value & 1 && !(m->cc & 1)) {
			m->off = false;
			m->sq[0].base = m->asq;
			m->sq[0].size = (m->aqa & 0xfff) + 1;
			m->cq[0].base = m->acq;
			m->cq[0].size = (m->aqa >> 16) + 1;
			m->cq[0].phase = 1;
			m->cq[0].live = true;
		}
		if (value >> 14 & 3) {
			m->shutdowns++;
			m->csts |= 2u << 2;
		}
		m->cc = value;
	}
}

static const struct nvme_transport_ops model_ops = { .read = model_read, .write = model_write, .dma_alloc = dma_alloc,
		.listen = listen_vector };

static void post(struct model *m, u32 sq, u16 cid, u32 dw0, u16 status)
{
	u32 cq = m->sq[sq].cq;
	struct nvme_completion *c = at(m, m->cq[cq].base + m->cq[cq].tail * 16, 16);

	*c = (struct nvme_completion){ dw0, 0, (u16)m->sq[sq].head, (u16)sq, cid, (u16)(status << 1 | m->cq[cq].phase) };
	if (++m->cq[cq].tail == m->cq[cq].size) {
		m->cq[cq].tail = 0;
		m->cq[cq].phase ^= 1;
	}
	if (sq && m->no_interrupt_every && m->io % m->no_interrupt_every == 0)
		return;
	task_wake(m->vectors[cq]);
}

static void identify(struct model *m, const struct nvme_command *c)
{
	u8 *page = at(m, c->prp1, 4096);
	u32 one = 1;

	memset(page, 0, 4096);
	if (c->cdw10 == NVME_CNS_CONTROLLER) {
		struct nvme_identify_controller *d = (void *)page;

		memcpy(d->mn, "Model  ", 7);
		d->sqes = 0x66;
		d->cqes = 0x44;
		d->mdts = 6;
		d->vwc = 1;
		d->oaes = NVME_OAES_NAMESPACE;
		d->oncs = m->plain ? 0 : NVME_ONCS_WRITE_ZEROES | NVME_ONCS_DSM;
	} else if (c->cdw10 == NVME_CNS_ACTIVE_NAMESPACES) {
		memcpy(page, &one, 4);
	} else {
		struct nvme_identify_namespace *d = (void *)page;

		d->nsze = m->namespace_blocks;
		d->lbaf[0] = m->shift << 16;
	}
}

static void admin(struct model *m, const struct nvme_command *c)
{
	u32 id = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1, dw0 = 0;

	switch (c->opcode) {
	case NVME_ADMIN_IDENTIFY: identify(m, c); break;
	case NVME_ADMIN_SET_FEATURES:
		dw0 = m->grant | m->grant << 16;
		if ((u8)c->cdw10 == NVME_FEATURE_ASYNC_EVENTS) {
			m->async_config = c->cdw11;
			if (m->refuse_events) {
				post(m, 0, c->cid, 0, NVME_SC_INVALID_FIELD);
				return;
			}
		}
		break;
	case NVME_ADMIN_GET_LOG_PAGE:
		m->logs[(u8)c->cdw10]++;
		if ((u8)c->cdw10 == NVME_LOG_SMART)
			memcpy(at(m, c->prp1, 512), &m->critical_warning, 1);
		break;
	case NVME_ADMIN_CREATE_CQ:
		m->cq[id].base = c->prp1;
		m->cq[id].size = size;
		m->cq[id].phase = 1;
		m->cq[id].live = true;
		break;
	case NVME_ADMIN_CREATE_SQ:
		assert_true(m->cq[c->cdw11 >> 16].live);
		m->sq[id].base = c->prp1;
		m->sq[id].size = size;
		m->sq[id].cq = c->cdw11 >> 16;
		break;
	case NVME_ADMIN_ASYNC_EVENT:
		m->event_cid = c->cid;
		m->has_event = true;
		return;
	case NVME_ADMIN_ABORT:
		m->aborts++;
		dw0 = 1;
		for (u32 i = 0; i < PENDING_MAX && !m->ignore_abort; i++)
			if (m->pending[i].used && m->pending[i].sq == id && m->pending[i].c.cid == c->cdw10 >> 16) {
				m->pending[i].used = false;
				post(m, id, (u16)(c->cdw10 >> 16), 0, NVME_SC_ABORT_REQUESTED);
				dw0 = 0;
			}
		break;
	default: post(m, 0, c->cid, 0, NVME_SC_INVALID_OPCODE); return;
	}
	post(m, 0, c->cid, dw0, 0);
}

static void transfer(struct model *m, const struct nvme_command *c, bool write)
{
	u64 len = ((c->cdw12 & 0xffff) + 1ull) << m->shift, done = 0, page = c->prp1;
	u8 *disk = m->disk + ((u64)c->cdw10 << m->shift);

	assert_true(((u64)c->cdw10 << m->shift) + len <= BLOCKS * 512);
	for (u32 i = 0; done < len; i++) {
		u64 part = MIN(len - done, PAGE_SIZE - (page & 4095));

		if (write)
			memcpy(disk + done, at(m, page, part), part);
		else
			memcpy(at(m, page, part), disk + done, part);
		done += part;
		if (done == len)
			break;
		if (!i && len - done <= PAGE_SIZE)
			page = c->prp2;
		else
			memcpy(&page, at(m, c->prp2 + 8ull * i, 8), 8);
		assert_true(!(page & 4095));
	}
}

static void finish(struct model *m, u32 i)
{
	struct nvme_command *c = &m->pending[i].c;
	struct nvme_dsm_range range;

	m->pending[i].used = false;
	m->io++;
	if (m->fail_every && m->io % m->fail_every == 0) {
		post(m, m->pending[i].sq, c->cid, 0, m->fail_status);
		return;
	}
	switch (c->opcode) {
	case NVME_IO_READ: transfer(m, c, false); break;
	case NVME_IO_WRITE: transfer(m, c, true); break;
	case NVME_IO_FLUSH: m->flushes++; break;
	case NVME_IO_WRITE_ZEROES:
		memset(m->disk + ((u64)c->cdw10 << m->shift), 0, ((c->cdw12 & 0xffff) + 1ull) << m->shift);
		break;
	case NVME_IO_DSM:
		memcpy(&range, at(m, c->prp1, sizeof(range)), sizeof(range));
		memset(m->disk + (range.lba << m->shift), 0, (u64)range.blocks << m->shift);
		break;
	}
	m->fua += c->opcode == NVME_IO_WRITE && c->cdw12 >> 30 & 1;
	if (m->stray_every && m->io % m->stray_every == 0)
		post(m, m->pending[i].sq, 0x1234, 0, 0);
	post(m, m->pending[i].sq, c->cid, 0, 0);
	if (m->duplicate_every && m->io % m->duplicate_every == 0)
		post(m, m->pending[i].sq, c->cid, 0, 0);
}

static void take(struct model *m, u32 sq, const struct nvme_command *c)
{
	static u32 count;

	for (u32 i = 0; i < PENDING_MAX; i++) {
		if (m->pending[i].used)
			continue;
		m->pending[i].used = true;
		m->pending[i].sq = sq;
		m->pending[i].c = *c;
		m->pending[i].due = sim_now_ns(m->sim) + 1000 + sim_random(m->sim) % 2000000;
		if (m->drop_every && ++count % m->drop_every == 0)
			m->pending[i].due = ~0ull;
		return;
	}
	fail_msg("more commands than queues can hold");
}

static void arm(struct model *m)
{
	u64 next = ~0ull;

	for (u32 i = 0; i < PENDING_MAX; i++)
		if (m->pending[i].used)
			next = MIN(next, m->pending[i].due);
	if (next != ~0ull)
		timer_arm(m->exec, &m->timer, next);
}

static void model_run(struct task *task)
{
	struct model *m = container_of(task, struct model, task);

	for (u32 q = 0; q < MODEL_QUEUES; q++)
		while (m->sq[q].size && m->sq[q].head != m->sq[q].tail) {
			struct nvme_command c = *(struct nvme_command *)at(m, m->sq[q].base + m->sq[q].head * 64, 64);

			m->sq[q].head = (m->sq[q].head + 1) % m->sq[q].size;
			if (q)
				take(m, q, &c);
			else
				admin(m, &c);
		}
	arm(m);
}

static void model_timer(struct timer *timer)
{
	struct model *m = container_of(timer, struct model, timer);

	for (u32 i = 0; i < PENDING_MAX; i++)
		if (m->pending[i].used && m->pending[i].due <= sim_now_ns(m->sim))
			finish(m, i);
	arm(m);
}

/* ready for nvme_create(): 4096 blocks, four queues */
static struct model *model_create(struct sim *sim)
{
	struct model *m = calloc(1, sizeof(*m));

	m->arena = calloc(1, ARENA);
	m->disk = calloc(BLOCKS, 512);
	m->transport = (struct nvme_transport){ .ops = &model_ops, .vector_count = MODEL_QUEUES };
	m->sim = sim;
	m->exec = sim_exec(sim, "device");
	m->timer.fire = model_timer;
	m->namespace_blocks = BLOCKS;
	m->shift = 9;
	m->grant = 3;
	task_init(&m->task, m->exec, "model", model_run);
	return m;
}

static void model_destroy(struct model *m)
{
	free(m->arena);
	free(m->disk);
	free(m);
}
