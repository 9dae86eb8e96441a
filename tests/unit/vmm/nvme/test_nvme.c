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

#include "tests/lib/model_nvme.h"

#define SECONDS 1000000000ull

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
	model = model_create(sim);
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
	model_destroy(model);
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

static void tell(u32 event)
{
	assert_true(model->has_event);
	model->has_event = false;
	post(model, 0, (u16)model->event_cid, event, 0);
}

/* the log that an event names is read, or the next one never comes; an event while namespaces are read is not lost */
static void events(void **state)
{
	set_up(21, 1);
	until_ready();
	assert_int_equal(model->async_config, NVME_ASYNC_CRITICAL_KNOWN | NVME_ASYNC_NAMESPACE);
	model->critical_warning = 4;
	tell(NVME_EVENT(NVME_EVENT_TYPE_SMART, 0, NVME_LOG_SMART));
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(model->logs[NVME_LOG_SMART], 1);
	assert_int_equal(changes, 0);
	tell(NVME_EVENT(NVME_EVENT_TYPE_ERROR, 0, NVME_LOG_ERROR));
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(model->logs[NVME_LOG_ERROR], 1);
	tell(NVME_EVENT(NVME_EVENT_TYPE_NOTICE, 3, NVME_LOG_FIRMWARE)); /* one that we have no use for */
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(model->logs[NVME_LOG_FIRMWARE], 1);
	tell(NVME_EVENT(7, 0xff, 0xff)); /* and one that is none */
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_true(model->has_event);
	/* two changes: the second comes while the first is looked at */
	model->namespace_blocks = 5000;
	tell(NVME_EVENT(NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES, NVME_LOG_CHANGED_NAMESPACES));
	for (u32 i = 0; !model->logs[NVME_LOG_CHANGED_NAMESPACES] || !model->has_event; i++) {
		assert_true(i < 100000);
		sim_run(sim, sim_now_ns(sim) + 100);
	}
	tell(NVME_EVENT(NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES, NVME_LOG_CHANGED_NAMESPACES));
	sim_run(sim, sim_now_ns(sim) + SECONDS);
	assert_int_equal(model->logs[NVME_LOG_CHANGED_NAMESPACES], 2);
	assert_int_equal(changes, 2);
	tear_down();
	/* a controller that cannot be asked is used all the same */
	set_up(22, 1);
	model->refuse_events = true;
	until_ready();
	tear_down();
}

static void optional_commands(void **state)
{
	struct job zero = { .request = { .operation = NVME_WRITE_ZEROES, .blocks = 1 } };
	struct job dsm = { .request = { .operation = NVME_DEALLOCATE, .blocks = 1 } };

	set_up(24, 1);
	model->plain = true;
	until_ready();
	assert_false(nvme_has_write_zeroes(nvme) || nvme_has_deallocate(nvme));
	assert_int_equal(run(&zero), -95 /* EOPNOTSUPP */);
	assert_int_equal(run(&dsm), -95);
	assert_int_equal(model->io, 0);
	tear_down();
}

static struct job chained;

static void submit_next(struct nvme_request *r, int result)
{
	struct job *j = container_of(r, struct job, request);

	job_done(r, result);
	nvme_submit(j->queue, &chained.request);
}

static void written_is_written(struct nvme_request *r, int result)
{
	job_done(r, result);
	assert_int_equal(model->disk[r->lba * 512], 0x42);
}

/* pvhost's fault "duplicate": the slot is in use again when the second completion is read */
static void a_second_completion_ends_nobody(void **state)
{
	struct job first = { .request = { .operation = NVME_WRITE, .lba = 1, .blocks = 1 } };

	set_up(25, 1);
	until_ready();
	model->duplicate_every = 1;
	memset(memory(&first, 0, 0, 512), 1, 512);
	for (u32 i = 0; i < 2000; i++) { /* identifiers come round again */
		chained = (struct job){ .request = { .operation = NVME_WRITE, .nsid = 1, .lba = 2 + i % 8, .blocks = 1,
						     .done = written_is_written } };
		chained.segments[0] = first.segments[0];
		chained.request.segments = chained.segments;
		chained.request.segment_count = 1;
		memset(at(model, first.segments[0].address, 512), 0x42, 512);
		memset(model->disk + chained.request.lba * 512, 0, 512);
		go(&first, 0);
		first.request.done = submit_next;
		sim_run(sim, sim_now_ns(sim) + SECONDS / 50);
		assert_int_equal(first.dones, i + 1);
		assert_int_equal(chained.dones, 1);
		assert_int_equal(chained.result, 0);
	}
	tear_down();
}

/* disabled by somebody else: Abort would wait for ever */
static void a_controller_that_is_off(void **state)
{
	struct job j = { .request = { .operation = NVME_FLUSH } };

	set_up(23, 1);
	until_ready();
	u32 aborts = model->aborts;

	model_write(&model->transport, NVME_CC, 0);
	model->off = true;
	go(&j, 0);
	sim_run(sim, sim_now_ns(sim) + 15 * SECONDS);
	assert_int_equal(j.dones, 1);
	assert_int_equal(j.result, 0);
	assert_int_equal(model->aborts, aborts);
	assert_int_equal(nvme_state(nvme), NVME_READY);
	/* and on request */
	u32 resets = model->resets;

	nvme_reset(nvme);
	nvme_reset(nvme); /* when that one is done, once more */
	sim_run(sim, sim_now_ns(sim) + 5 * SECONDS);
	assert_int_equal(nvme_state(nvme), NVME_READY);
	assert_true(model->resets > resets);
	assert_int_equal(run(&j), 0);
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
		cmocka_unit_test(bad_requests_are_refused), cmocka_unit_test(events), cmocka_unit_test(optional_commands),
		cmocka_unit_test(a_second_completion_ends_nobody),
		cmocka_unit_test(a_controller_that_is_off), cmocka_unit_test(storms),
		cmocka_unit_test(a_controller_that_never_comes), cmocka_unit_test(taken_away_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
