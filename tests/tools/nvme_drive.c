/*
 * Our NVMe driver on a controller that we did not write, through VFIO with an IOMMU:
 *   nvme_drive FUNCTION EXECUTORS COMMAND[:ARGUMENT]... ...
 * FUNCTION: its folder, /sys/bus/pci/devices/0000:00:04.0, bound to vfio-pci. One line a command on standard output, what the
 * driver says on standard error. Exits with 1 at the first thing that is not as it should be.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/file.h"
#include "tests/tools/drive.h"

void drive_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("FAIL: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_exit(1);
}

/* ---- calls that wait */

struct call {
	struct op op;
	void (*fn)(void *ctx, int arg);
	void *ctx;
	sem_t ran;
};

static void call_there(struct op *op, int arg)
{
	struct call *c = container_of(op, struct call, op);

	c->fn(c->ctx, arg);
	sem_post(&c->ran);
}

void drive_call(struct exec *exec, void (*fn)(void *ctx, int arg), void *ctx, int arg)
{
	struct call c = { .fn = fn, .ctx = ctx };

	sem_init(&c.ran, 0, 0);
	exec_post(exec, &c.op, call_there, arg);
	while (sem_wait(&c.ran))
		;
}

bool drive_wait(sem_t *sem, u32 seconds)
{
	for (u32 i = 0; i < seconds * 100; i++, usleep(10000))
		if (!sem_trywait(sem))
			return true;
	return false;
}

/* ---- the transport */

u32 drive_read(struct nvme_transport *t, u32 offset)
{
	struct drive *d = container_of(t, struct drive, transport);

	return offset + 4 <= d->registers_len ? *(volatile u32 *)(d->registers + offset) : ~0u;
}

void drive_write(struct nvme_transport *t, u32 offset, u32 value)
{
	struct drive *d = container_of(t, struct drive, transport);
	u32 deaf = d->deaf;

	if (deaf && offset == NVME_DOORBELLS + 8 * deaf)
		return;
	if (offset == NVME_CC)
		d->deaf = 0; /* a reset makes it hear again */
	atomic_thread_fence(memory_order_seq_cst);
	if (offset + 4 <= d->registers_len)
		*(volatile u32 *)(d->registers + offset) = value;
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	return dma_pool_alloc(container_of(t, struct drive, transport)->dma, len, ret_address);
}

static int listen(struct nvme_transport *t, u32 vector, struct task *task)
{
	return vfio_listen(container_of(t, struct drive, transport)->vfio, vector, task);
}

static const struct nvme_transport_ops transport_ops = {
	.read = drive_read, .write = drive_write, .dma_alloc = dma_alloc, .listen = listen,
};

/* ---- life */

static void *exec_thread(void *exec)
{
	int r = exec_run(exec);

	if (r)
		FAIL("an executor ended with %d", r);
	return NULL;
}

static struct exec *make_exec(const char *name)
{
	struct exec *exec = exec_create(name, -1);

	if (!exec)
		FAIL("no executor");
	return exec;
}

static void run_exec(struct exec *exec)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exec_thread, exec))
		FAIL("no thread");
}

static void started(struct nvme *n, int result)
{
	struct drive *d = nvme_context(n);

	d->started_result = result;
	sem_post(&d->started);
}

static void removed(struct op *op, int ignored)
{
	struct drive *d = container_of(op, struct drive, removal);

	d->registers_len = 0;
	vfio_release(d->vfio);
	sem_post(&d->removed);
}

static void requested(struct task *task)
{
	struct drive *d = container_of(task, struct drive, request);

	if (d->removal.done)
		return;
	d->removal.done = removed;
	nvme_remove(d->nvme, &d->removal);
}

static void start_there(void *ctx, int ignored)
{
	nvme_start(((struct drive *)ctx)->nvme);
}

static void open_arena(struct drive *d)
{
	d->arena = mmap(NULL, ARENA_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	d->arena_address = 4 * GiB; /* low, as a guest's memory is */
	if (d->arena == MAP_FAILED || vfio_map_dma(d->vfio, d->arena, ARENA_LEN, d->arena_address))
		FAIL("no arena");
	if (!vfio_map_dma(d->vfio, d->arena, PAGE_SIZE, d->arena_address))
		FAIL("an address was mapped twice");
	u64 elsewhere;

	if (vfio_map_anywhere(d->vfio, d->arena, PAGE_SIZE, PAGE_SIZE, &elsewhere) ||
	    vfio_unmap_dma(d->vfio, elsewhere, PAGE_SIZE) || !vfio_unmap_dma(d->vfio, elsewhere, PAGE_SIZE))
		FAIL("unmapping at %#lx", elsewhere);
}

static void open_drive(struct drive *d, const char *function)
{
	void *registers;

	if (vfio_open_function(function, &d->vfio))
		FAIL("%s cannot be opened", function);
	if (!vfio_has_iommu(d->vfio))
		FAIL("%s is not behind an IOMMU", function);
	d->dma = dma_pool_create(d->vfio);
	if (!d->dma || vfio_map_bar(d->vfio, 0, &registers, &d->registers_len))
		FAIL("%s: BAR or memory", function);
	d->registers = registers;
	d->transport = (struct nvme_transport){ &transport_ops, MIN(vfio_vector_count(d->vfio), d->exec_count + 1), true };
	if (vfio_enable_interrupts(d->vfio, d->transport.vector_count))
		FAIL("%s: interrupts", function);
	open_arena(d);
	d->home = make_exec("home");
	for (u32 i = 0; i < d->exec_count; i++)
		d->execs[i] = make_exec("io");
	struct nvme_config config = { .name = vfio_address(d->vfio), .home = d->home, .execs = d->execs,
				      .exec_count = d->exec_count, .started = started, .ctx = d };

	task_init(&d->request, d->home, "vfio request", requested);
	if (nvme_create(&d->transport, &config, &d->nvme) || vfio_on_request(d->vfio, &d->request))
		FAIL("%s: driver", function);
	run_exec(d->home);
	for (u32 i = 0; i < d->exec_count; i++)
		run_exec(d->execs[i]);
	drive_call(d->home, start_there, d, 0);
	if (!drive_wait(&d->started, 60))
		FAIL("bring-up does not end");
	if (d->started_result)
		FAIL("bring-up ended with %d", d->started_result);
}

/* ---- what commands are made of */

struct question {
	struct drive *drive;
	struct inspect_request request;
	const char *path, *update;
	struct node *answer;
	sem_t done;
};

static void answered(struct inspect_request *r, struct node *node)
{
	struct question *q = container_of(r, struct question, request);

	q->answer = node;
	sem_post(&q->done);
}

static void ask_there(void *ctx, int ignored)
{
	struct question *q = ctx;

	q->request = (struct inspect_request){ .path = q->path, .depth = 10, .update = q->update, .timeout_ns = 5000000000ull,
					       .done = answered };
	inspect_start(&q->request, q->drive->home, nvme_inspect, q->drive->nvme);
}

char *drive_ask(struct drive *d, const char *path, const char *update)
{
	struct question q = { .drive = d, .path = path, .update = update };

	sem_init(&q.done, 0, 0);
	drive_call(d->home, ask_there, &q, 0);
	if (!drive_wait(&q.done, 10) || !q.answer)
		FAIL("inspect of %s", path);
	char *text = node_print_tree(q.answer).data;

	node_destroy(q.answer);
	return text;
}

u64 drive_ask_number(struct drive *d, const char *path)
{
	char *text = drive_ask(d, path, NULL);
	u64 value = strtoull(text, NULL, 0);

	free(text);
	return value;
}

static bool address(void *ctx, const void *at, size_t len, u64 *ret)
{
	struct drive *d = ctx;

	if (!range_within((uintptr_t)at, len, (uintptr_t)d->arena, ARENA_LEN))
		return false;
	*ret = d->arena_address + (u64)((const u8 *)at - d->arena);
	return true;
}

struct make_disk {
	struct drive *drive;
	struct disk *disk;
};

static void make_disk_there(void *ctx, int nsid)
{
	struct make_disk *m = ctx;
	struct drive *d = m->drive;
	struct nvme_disk_config config = { .nvme = d->nvme, .nsid = (u32)nsid, .execs = d->execs, .exec_count = d->exec_count,
					   .address = address, .ctx = d };

	m->disk = nvme_disk_create(&config);
}

struct disk *drive_disk(struct drive *d, u32 nsid)
{
	static struct disk *kept[16]; /* their memory comes back only with the device */
	struct make_disk m = { .drive = d };

	if (nsid < ARRAY_SIZE(kept) && kept[nsid])
		return kept[nsid];
	drive_call(d->home, make_disk_there, &m, (int)nsid);
	if (!m.disk)
		FAIL("no disk over namespace %u", nsid);
	if (nsid < ARRAY_SIZE(kept))
		kept[nsid] = m.disk;
	return m.disk;
}

u8 *drive_memory(struct drive *d, u32 len)
{
	u32 at = atomic_fetch_add(&d->arena_used, ALIGN_UP(len, PAGE_SIZE));

	if (at + len > ARENA_LEN)
		FAIL("the arena is too small");
	return d->arena + at;
}

struct request {
	struct disk_request r;
	struct disk *disk;
	struct iovec iov;
	sem_t done;
	int result;
};

static void request_done(struct disk_request *r, int result)
{
	struct request *q = container_of(r, struct request, r);

	q->result = result;
	sem_post(&q->done);
}

static void request_there(void *ctx, int ignored)
{
	struct request *q = ctx;

	disk_submit(q->disk, &q->r);
}

int drive_request(struct drive *d, struct disk *disk, u32 exec, enum disk_op op, u64 sector, u64 count, void *at)
{
	struct request q = { .disk = disk, .iov = { at, count * disk->sector_size } };

	q.r = (struct disk_request){ .op = op, .sector = sector, .count = count, .iov = &q.iov, .iov_count = at ? 1 : 0,
				     .exec = d->execs[exec], .done = request_done };
	sem_init(&q.done, 0, 0);
	drive_call(d->execs[exec], request_there, &q, 0);
	if (!drive_wait(&q.done, 60))
		FAIL("a request is never answered");
	return q.result;
}

int main(int argc, char **argv)
{
	static struct drive d;

	if (argc < 3 || log_set_filter("info,nvme=debug"))
		FAIL("nvme_drive FUNCTION EXECUTORS COMMAND...");
	d.exec_count = (u32)strtoul(argv[2], NULL, 10);
	if (!d.exec_count || d.exec_count > EXECS_MAX)
		FAIL("1 to %u executors", EXECS_MAX);
	sem_init(&d.started, 0, 0);
	sem_init(&d.removed, 0, 0);
	open_drive(&d, argv[1]);
	for (int i = 3; i < argc; i++)
		drive_run(&d, argv[i]);
	printf("all done\n");
	fflush(stdout);
	_exit(0); /* the executors' threads run on */
}
