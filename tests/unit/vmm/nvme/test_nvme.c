/*
 * The driver against a model of a controller, in virtual time: bring-up, data, time-outs, resets, removal. The model is
 * written for these tests and knows nothing of host/nvme.
 */
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
#define SECONDS 1000000000ull

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
	u32 drop_every, fail_every, stray_every, no_interrupt_every;
	u16 fail_status;
	bool never_ready, gone, ignore_abort;
	u32 ready_after; /* reads of CSTS */
	u32 io, resets, shutdowns, aborts, flushes, fua;
	u64 namespace_blocks;
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

		assert_true(i < MODEL_QUEUES && m->csts & 1);
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

static const struct nvme_transport_ops ops = { model_read, model_write, dma_alloc, listen_vector };

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
	} else if (c->cdw10 == NVME_CNS_ACTIVE_NAMESPACES) {
		memcpy(page, &one, 4);
	} else {
		struct nvme_identify_namespace *d = (void *)page;

		d->nsze = m->namespace_blocks;
		d->lbaf[0] = 9 << 16;
	}
}

static void admin(struct model *m, const struct nvme_command *c)
{
	u32 id = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1, dw0 = 0;

	switch (c->opcode) {
	case NVME_ADMIN_IDENTIFY: identify(m, c); break;
	case NVME_ADMIN_SET_FEATURES: dw0 = m->grant | m->grant << 16; break;
	case NVME_ADMIN_GET_LOG_PAGE: break;
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
	u64 len = ((c->cdw12 & 0xffff) + 1) * 512ull, done = 0, page = c->prp1;
	u8 *disk = m->disk + c->cdw10 * 512ull;

	assert_true(c->cdw10 + len / 512 <= BLOCKS);
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
	case NVME_IO_WRITE_ZEROES: memset(m->disk + c->cdw10 * 512ull, 0, ((c->cdw12 & 0xffff) + 1) * 512ull); break;
	case NVME_IO_DSM:
		memcpy(&range, at(m, c->prp1, sizeof(range)), sizeof(range));
		memset(m->disk + range.lba * 512, 0, range.blocks * 512ull);
		break;
	}
	m->fua += c->opcode == NVME_IO_WRITE && c->cdw12 >> 30 & 1;
	if (m->stray_every && m->io % m->stray_every == 0)
		post(m, m->pending[i].sq, 0x1234, 0, 0);
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

/* ---- the machine around it */

static struct sim *sim;
static struct model *model;
static struct exec *home, *execs[4];
static struct nvme *nvme;
static int start_result, starts, changes;

static void started(struct nvme *n, int result)
{
	start_result = result;
	starts++;
}

static void changed(struct nvme *n)
{
	changes++;
}

static void set_up(u64 seed, u32 queues)
{
	sim = sim_create(seed);
	home = sim_exec(sim, "home");
	model = calloc(1, sizeof(*model));
	model->arena = calloc(1, ARENA);
	model->disk = calloc(BLOCKS, 512);
	model->transport = (struct nvme_transport){ &ops, MODEL_QUEUES };
	model->sim = sim;
	model->exec = sim_exec(sim, "device");
	model->timer.fire = model_timer;
	model->namespace_blocks = BLOCKS;
	model->grant = 3;
	task_init(&model->task, model->exec, "model", model_run);
	for (u32 i = 0; i < queues; i++)
		execs[i] = sim_exec(sim, "vp");
	struct nvme_config config = { .name = "test", .home = home, .execs = execs, .exec_count = queues, .started = started,
				      .changed = changed };

	start_result = 1;
	starts = changes = 0;
	assert_int_equal(nvme_create(&model->transport, &config, &nvme), 0);
	nvme_start(nvme);
}

static void tear_down(void)
{
	sim_destroy(sim);
	nvme_destroy(nvme);
	free(model->arena);
	free(model->disk);
	free(model);
}

static void until_ready(void)
{
	sim_run(sim, sim_now_ns(sim) + 5 * SECONDS);
	assert_int_equal(start_result, 0);
	assert_int_equal(nvme_state(nvme), NVME_READY);
}

struct job {
	struct nvme_request request;
	struct nvme_segment segments[40];
	struct op post;
	struct nvme_queue *queue;
	int result;
	u32 dones;
};

static void job_done(struct nvme_request *r, int result)
{
	struct job *j = container_of(r, struct job, request);

	j->result = result;
	j->dones++;
}

static void job_start(struct op *op, int ignored)
{
	struct job *j = container_of(op, struct job, post);

	nvme_submit(j->queue, &j->request);
}

static void go(struct job *j, u32 queue)
{
	j->request.nsid = 1;
	j->request.done = job_done;
	j->queue = nvme_queue_of(nvme, queue);
	exec_post(execs[queue], &j->post, job_start, 0);
}

static int run(struct job *j)
{
	u32 before = j->dones;

	go(j, 0);
	sim_run(sim, sim_now_ns(sim) + 300 * SECONDS);
	assert_int_equal(j->dones, before + 1);
	return j->result;
}

static u8 *memory(struct job *j, u32 index, u64 address_offset, u32 len)
{
	u64 address;
	u8 *p = dma_alloc(&model->transport, (u32)address_offset + len, &address);

	assert_non_null(p);
	j->segments[index] = (struct nvme_segment){ address + address_offset, len };
	j->request.segments = j->segments;
	j->request.segment_count = index + 1;
	return p + address_offset;
}

static void ended_well(struct op *op, int result)
{
	assert_int_equal(result, 0);
}

static void comes_up_and_goes_down(void **state)
{
	static struct op shut;

	set_up(1, 3);
	until_ready();
	assert_int_equal(nvme_namespace_count(nvme), 1);
	assert_int_equal(nvme_namespace_at(nvme, 0)->blocks, BLOCKS);
	assert_int_equal(nvme_max_transfer(nvme), PAGE_SIZE << 6);
	assert_non_null(nvme_queue_of(nvme, 2));
	assert_null(nvme_queue_of(nvme, 3));
	struct job flush = { .request.operation = NVME_FLUSH }, never = flush;

	assert_int_equal(run(&flush), 0);
	assert_int_equal(model->flushes, 1);
	/* a namespace grows */
	model->namespace_blocks = 8192;
	post(model, 0, (u16)model->event_cid, NVME_EVENT(NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES,
		NVME_LOG_CHANGED_NAMESPACES), 0);
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(changes, 1);
	assert_int_equal(nvme_namespace_at(nvme, 0)->blocks, 8192);
	shut = (struct op){ .done = ended_well };
	nvme_shutdown(nvme, &shut);
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(nvme_state(nvme), NVME_SHUT_DOWN);
	assert_int_equal(model->shutdowns, 1);
	assert_int_equal(run(&never), -19 /* ENODEV */);
	tear_down();
}

static void data_goes_through_prps(void **state)
{
	struct job w = { .request = { .operation = NVME_WRITE, .lba = 7, .blocks = 24, .fua = true } };
	struct job r = { .request = { .operation = NVME_READ, .lba = 7, .blocks = 24 } };
	u8 *from[4], *to;

	set_up(2, 1);
	until_ready();
	from[0] = memory(&w, 0, 0xe00, 0x200);
	from[1] = memory(&w, 1, 0, 0x1000);
	from[2] = memory(&w, 2, 0, 0x1000);
	from[3] = memory(&w, 3, 0, 0xe00);
	for (u32 i = 0; i < 4; i++)
		memset(from[i], (int)i + 1, i ? 0xe00 : 0x200);
	assert_int_equal(run(&w), 0);
	assert_int_equal(model->fua, 1);
	to = memory(&r, 0, 0x200, 0x3000);
	assert_int_equal(run(&r), 0);
	assert_int_equal(to[0x1ff], 1);
	assert_int_equal(to[0x200], 2);
	assert_int_equal(to[0x2fff], 4);
	/* a whole transfer, from the middle of a page */
	struct job big = { .request = { .operation = NVME_READ, .blocks = 512 } };

	memory(&big, 0, 0x804, 0x40000);
	assert_int_equal(run(&big), 0);
	struct job zero = { .request = { .operation = NVME_WRITE_ZEROES, .lba = 7, .blocks = 1 } };
	struct job dsm = { .request = { .operation = NVME_DEALLOCATE, .lba = 8, .blocks = 4 } };

	assert_int_equal(run(&zero), 0);
	assert_int_equal(run(&dsm), 0);
	assert_int_equal(run(&r), 0);
	assert_int_equal(to[0] + to[0x200] + to[0x9ff], 0);
	assert_int_equal(to[0xa00], 2);
	tear_down();
}

static void bad_requests_are_refused(void **state)
{
	struct job j = { .request = { .operation = NVME_READ, .lba = BLOCKS - 1, .blocks = 2 } };

	set_up(3, 1);
	until_ready();
	memory(&j, 0, 0, 1024);
	assert_int_equal(run(&j), -22);
	j.request.lba = ~0ull;
	assert_int_equal(run(&j), -22);
	j.request.lba = 0;
	j.request.blocks = 3; /* more than the segments hold */
	assert_int_equal(run(&j), -22);
	j.request.blocks = 2;
	j.segments[0].address += 2;
	assert_int_equal(run(&j), -22);
	j.segments[0].address -= 2;
	j.segments[0].len = 512;
	j.segments[1] = j.segments[0];
	j.request.segment_count = 2; /* a hole within a page */
	assert_int_equal(run(&j), -22);
	j.request.segment_count = 0;
	assert_int_equal(run(&j), -22);
	j.request.operation = 77;
	assert_int_equal(run(&j), -22);
	assert_int_equal(model->io, 0);
	model->fail_every = 1;
	model->fail_status = NVME_SC_LBA_OUT_OF_RANGE;
	struct job ok = { .request = { .operation = NVME_FLUSH } };

	assert_int_equal(run(&ok), -22);
	assert_int_equal(ok.request.status, NVME_SC_LBA_OUT_OF_RANGE);
	model->fail_status = NVME_SC_WRITE_FAULT;
	assert_int_equal(run(&ok), -5);
	assert_int_equal(ok.request.status, NVME_SC_WRITE_FAULT);
	tear_down();
}

/* many jobs over all queues with things going wrong: each ends once, and what was written is there */
static void storm(u64 seed, u32 drop, u32 fail, u32 stray, u32 mute, bool ignore_abort)
{
	enum { JOBS = 300 };
	struct job *jobs = calloc(JOBS, sizeof(*jobs));
	u8 *data[JOBS];

	set_up(seed, 3);
	until_ready();
	model->drop_every = drop;
	model->fail_every = fail;
	model->fail_status = NVME_SC_INTERNAL_ERROR;
	model->stray_every = stray;
	model->no_interrupt_every = mute;
	model->ignore_abort = ignore_abort;
	for (u32 i = 0; i < JOBS; i++) {
		jobs[i].request = (struct nvme_request){ .operation = NVME_WRITE, .lba = i * 8, .blocks = 8 };
		data[i] = memory(&jobs[i], 0, 0, PAGE_SIZE);
		memset(data[i], (int)(i * 7 + 1), PAGE_SIZE);
		go(&jobs[i], i % 3);
	}
	sim_run(sim, sim_now_ns(sim) + 1000 * SECONDS);
	u32 good = 0;

	for (u32 i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].dones, 1);
		good += !jobs[i].result;
		if (!jobs[i].result)
			assert_memory_equal(model->disk + i * 4096ull, data[i], PAGE_SIZE);
	}
	assert_true(good > JOBS * 9 / 10);
	assert_int_equal(nvme_state(nvme), NVME_READY);
	if (drop)
		assert_true(model->aborts || model->resets > 1);
	tear_down();
	free(jobs);
}

static void storms(void **state)
{
	for (u64 seed = 1; seed <= 10; seed++) {
		storm(seed, 0, 0, 0, 0, false);
		storm(seed, 50, 0, 0, 0, false);
		storm(seed, 60, 0, 0, 0, true); /* only a reset helps */
		storm(seed, 0, 9, 0, 0, false);
		storm(seed, 0, 0, 5, 0, false);
		storm(seed, 0, 0, 0, 3, false); /* lost interrupts */
		storm(seed, 70, 11, 13, 7, false);
	}
}

static void a_controller_that_never_comes(void **state)
{
	set_up(5, 1);
	model->never_ready = true;
	sim_run(sim, 60 * SECONDS);
	assert_int_equal(starts, 1);
	assert_int_equal(start_result, -5);
	assert_int_equal(nvme_state(nvme), NVME_FAILED);
	tear_down();
	set_up(6, 1);
	model->ready_after = 300;
	until_ready();
	/* it goes away with a request under way */
	struct job j = { .request = { .operation = NVME_FLUSH } };

	model->drop_every = 1;
	go(&j, 0);
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(j.dones, 0);
	model->gone = true;
	sim_run(sim, sim_now_ns(sim) + 60 * SECONDS);
	assert_int_equal(j.dones, 1);
	assert_int_equal(j.result, -19);
	assert_int_equal(nvme_state(nvme), NVME_GONE);
	assert_int_equal(run(&j), -19);
	tear_down();
}

static void taken_away_on_request(void **state)
{
	static struct op done;
	struct job j = { .request = { .operation = NVME_FLUSH } };

	set_up(7, 2);
	until_ready();
	model->drop_every = 1;
	go(&j, 1);
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	done = (struct op){ .done = ended_well };
	nvme_remove(nvme, &done);
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(j.dones, 1);
	assert_int_equal(j.result, -19);
	assert_int_equal(nvme_state(nvme), NVME_GONE);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_up_and_goes_down), cmocka_unit_test(data_goes_through_prps),
		cmocka_unit_test(bad_requests_are_refused), cmocka_unit_test(storms),
		cmocka_unit_test(a_controller_that_never_comes), cmocka_unit_test(taken_away_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
