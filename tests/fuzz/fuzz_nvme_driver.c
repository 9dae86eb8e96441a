/* A device that answers the firmware's driver with what it likes: registers, identify data, completions. */
#include <stdlib.h>
#include <string.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"
#include "vmm/nvme/nvme.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define ARENA (1 * MiB)

struct device {
	struct nvme_transport transport;
	struct exec *exec;
	struct task task;
	struct bytes input;
	u8 *arena;
	u64 used, asq, acq, pages[64];
	u32 sq_tail[4], sq_head[4], cq_tail[4], cc, steps;
	u16 phase[4];
	struct task *vectors[4];
};

static u32 read_register(struct nvme_transport *t, u32 offset)
{
	struct device *d = container_of(t, struct device, transport);

	switch (offset) {
	case NVME_CAP: return 0x1010003f;
	case NVME_CAP + 4: return 0x20;
	case NVME_CC: return d->cc;
	case NVME_CSTS: return d->cc & 1;
	}
	return 0;
}

static void write_register(struct nvme_transport *t, u32 offset, u32 value)
{
	struct device *d = container_of(t, struct device, transport);
	u32 queue = (offset - NVME_DOORBELLS) / 8;

	if (offset == NVME_CC) {
		d->cc = value;
		memset(d->sq_tail, 0, sizeof(d->sq_tail));
		memset(d->sq_head, 0, sizeof(d->sq_head));
		memset(d->cq_tail, 0, sizeof(d->cq_tail));
		for (u32 i = 0; i < 4; i++)
			d->phase[i] = 1;
	} else if (offset >= NVME_DOORBELLS && queue < 2 && !(offset & 4)) {
		d->sq_tail[queue] = value;
		task_wake(&d->task);
	}
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	struct device *d = container_of(t, struct device, transport);

	*ret_address = d->used;
	d->used += ALIGN_UP(len, PAGE_SIZE);
	return d->used <= ARENA ? d->arena + *ret_address : NULL;
}

static int listen_vector(struct nvme_transport *t, u32 vector, struct task *task)
{
	container_of(t, struct device, transport)->vectors[vector] = task;
	return 0;
}

/* page 0 is identify data's; each queue takes its submission page, its completion page and 22 of lists */
static u8 *queue_page(struct device *d, u32 queue, u32 which)
{
	return d->arena + (1 + queue * 24 + which) * PAGE_SIZE;
}

static void answer(struct device *d, u32 q)
{
	struct nvme_command c;
	struct nvme_completion e = { 0 };
	u8 how = 0, extra = 0;

	memcpy(&c, queue_page(d, q, 0) + d->sq_head[q] * sizeof(c), sizeof(c));
	d->sq_head[q] = (d->sq_head[q] + 1) % NVME_QUEUE_DEPTH;
	/* events without end would be most of the work */
	if (!bytes_u8(&d->input, &how) && !q && c.opcode == NVME_ADMIN_ASYNC_EVENT)
		return;
	if (how == 0xff)
		return; /* no answer */
	if (c.opcode == NVME_ADMIN_IDENTIFY && !q) {
		memset(d->arena, 0, PAGE_SIZE);
		if (how & 1) {
			bytes_copy(&d->input, d->arena, MIN(d->input.left, (size_t)(how & 2 ? 4096 : 256)));
		} else if (c.cdw10 == NVME_CNS_CONTROLLER) {
			d->arena[512] = 0x66;
			d->arena[513] = 0x44;
			d->arena[520] = NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES;
		} else {
			d->arena[0] = 1;
			d->arena[130] = 9;
		}
	}
	e.cid = c.cid;
	if (how & 0x40) {
		bytes_u8(&d->input, &extra);
		e.cid = extra;
	}
	if (how & 0x80)
		bytes_copy(&d->input, &e.dw0, sizeof(e.dw0));
	e.status = (u16)((how & 0x20 ? how << 1 : 0) | d->phase[q]);
	memcpy(queue_page(d, q, 1) + d->cq_tail[q] * sizeof(e), &e, sizeof(e));
	if (++d->cq_tail[q] == NVME_QUEUE_DEPTH) {
		d->cq_tail[q] = 0;
		d->phase[q] ^= 1;
	}
	task_wake(d->vectors[q]);
}

static void device_run(struct task *task)
{
	struct device *d = container_of(task, struct device, task);

	for (u32 q = 0; q < 2; q++)
		while (d->sq_head[q] != d->sq_tail[q] % NVME_QUEUE_DEPTH && d->steps++ < 2000)
			answer(d, q);
}

static void quiet(enum log_level level, const char *domain, const char *text) {}
static void done(struct nvme_request *r, int result) {}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 arena[ARENA]; /* a fresh one each time would be most of the work */
	static const struct nvme_transport_ops ops = { .read = read_register, .write = write_register,
	.dma_alloc = dma_alloc, .listen = listen_vector };
	struct device d = { .transport = { .ops = &ops, .vector_count = 2 },
			    .input = bytes_of(data, size), .arena = arena };
	struct sim *sim = sim_create(1);
	struct exec *exec = sim_exec(sim, "home");
	struct nvme_config config = { .name = "fuzz", .home = exec, .execs = &exec, .exec_count = 1 };
	struct nvme_request requests[16] = { 0 };
	struct nvme_segment segment = { 0, 512 };
	struct nvme *n = NULL;

	log_set_sink(quiet);
	d.exec = sim_exec(sim, "device");
	task_init(&d.task, d.exec, "device", device_run);
	if (!nvme_create(&d.transport, &config, &n)) {
		nvme_start(n);
		sim_run(sim, 5000000000ull);
		for (u32 i = 0; i < 16 && nvme_state(n) == NVME_READY; i++) {
			requests[i] = (struct nvme_request){ .operation = i % 5, .nsid = 1, .blocks = 1, .segments = &segment,
							     .segment_count = 1, .done = done };
			nvme_submit(nvme_queue_of(n, 0), &requests[i]);
		}
		sim_run(sim, 200000000000ull);
	}
	sim_destroy(sim);
	nvme_destroy(n);
	memset(arena, 0, MIN(d.used, ARENA));
	return 0;
}
