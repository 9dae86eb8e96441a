/* The controller: registers, doorbells, its thread, reset and shutdown. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/nvme/internal.h"
#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("nvme");

#define VENDOR 0x1414
#define DEVICE 0xb111
#define BAR_SIZE 0x4000u
#define MSIX_BAR 2u
#define CAP_VALUE ((QUEUE_ENTRIES_MAX - 1) | NVME_CAP_CQR | FIELD_PREP(NVME_CAP_TO, 40) | NVME_CAP_CSS_NVM)
#define COMMANDS_PER_TURN 64u

void controller_fatal(struct nvme_target *n, const char *why)
{
	if (!(n->csts & NVME_CSTS_CFS))
		log_guest("%s: fatal status: %s", n->function.name, why);
	n->csts |= NVME_CSTS_CFS;
}

void error_log_add(struct nvme_target *n, const struct execution *x, u16 status)
{
	n->error_log[n->error_count % ERROR_ENTRIES] = (struct nvme_error_entry){
		.count = n->error_count + 1, .sq_id = x->sq, .cid = x->command.cid, .status = (u16)(status << 1),
		.location = 0xffff, .lba = x->error_lba, .nsid = x->command.nsid,
	};
	n->error_count++;
}

/* ---- the controller's thread */

static void run_command(struct nvme_target *n, u16 sq)
{
	struct execution x = { .sq = sq };
	u16 status;

	if (!queue_fetch(n, sq, &x.command))
		return;
	if (!sq)
		status = admin_run(n, &x);
	else if (!fault_before(n, &x, &status))
		status = io_run(n, &x);
	if (x.silent)
		return;
	if (status) {
		n->counters.protocol_errors++;
		error_log_add(n, &x, status);
		if (!x.planted && status < NVME_STATUS(2, 0)) /* the driver's mistake; media errors may pass */
			status |= NVME_STATUS_DNR;
	}
	if (sq && fault_after(n, &x, status))
		return;
	/* the place was there when the command was fetched, and only this thread takes places */
	queue_complete(n, sq, x.command.cid, x.dw0, status);
}

static bool has_work(const struct nvme_target *n, u16 sq)
{
	const struct sq *s = &n->sqs[sq];

	return s->live && !s->stalled && s->head != s->tail && queue_has_room(n, s->cq);
}

static bool run_some(struct nvme_target *n)
{
	u32 queues = n->config.io_queues + 1;
	u32 ran = 0;

	for (u32 i = 0; i < queues && ran < COMMANDS_PER_TURN; i++) {
		u16 sq = (u16)(n->next_sq++ % queues);

		/* registers may change while the file is at work: look each time */
		for (u32 burst = 0; burst < 8 && n->csts & NVME_CSTS_RDY && !(n->csts & NVME_CSTS_CFS) && !n->reset_wanted &&
		     has_work(n, sq); burst++, ran++)
			run_command(n, sq);
	}
	return ran;
}

static void enable(struct nvme_target *n)
{
	u32 sq_size = (n->aqa & NVME_AQA_ASQS) + 1, cq_size = FIELD_GET(NVME_AQA_ACQS, n->aqa) + 1;

	if (sq_size < 2 || sq_size > QUEUE_ENTRIES_MAX || cq_size < 2 || cq_size > QUEUE_ENTRIES_MAX ||
	    (n->asq | n->acq) & (PAGE_SIZE - 1) || n->cc & (NVME_CC_MPS | NVME_CC_CSS | NVME_CC_AMS)) {
		n->counters.register_errors++;
		controller_fatal(n, "enabled with an admin queue or a page size that is not possible");
		return;
	}
	n->cqs[0] = (struct cq){ .live = true, .interrupts = true, .phase = true, .size = (u16)cq_size, .users = 1,
				 .base = n->acq };
	n->sqs[0] = (struct sq){ .live = true, .size = (u16)sq_size, .base = n->asq };
	if (!fault_keeps_from_ready(n))
		n->csts |= NVME_CSTS_RDY;
}

static void finish_reset(struct nvme_target *n)
{
	queues_clear(n);
	features_reset(n);
	n->csts = 0;
	n->counters.resets++;
	n->reset_wanted = false;
	if (n->cc & NVME_CC_EN)
		enable(n);
	pthread_cond_broadcast(&n->quiet);
}

static void finish_shutdown(struct nvme_target *n)
{
	io_flush_all(n);
	n->shutdown_wanted = false;
	n->csts = (n->csts & ~NVME_CSTS_SHST) | (u32)FIELD_PREP(NVME_CSTS_SHST, NVME_CSTS_SHST_COMPLETE);
	n->counters.shutdowns++;
}

static void wait_for_work(struct nvme_target *n, u64 until_ns)
{
	struct timespec t = { (time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000) };

	if (until_ns == ~0ull)
		pthread_cond_wait(&n->work, &n->lock);
	else
		pthread_cond_timedwait(&n->work, &n->lock, &t);
}

static void *controller_thread(void *arg)
{
	struct nvme_target *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->quit) {
		if (n->reset_wanted) {
			finish_reset(n);
			continue;
		}
		u64 next = held_run(n, now_ns());

		if (run_some(n))
			continue;
		if (n->shutdown_wanted)
			finish_shutdown(n);
		else
			wait_for_work(n, next);
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* ---- registers; any thread */

static u64 read_register(const struct nvme_target *n, u64 offset)
{
	switch (offset) {
	case NVME_CAP: return CAP_VALUE & 0xffffffff;
	case NVME_CAP + 4: return CAP_VALUE >> 32;
	case NVME_VS: return NVME_VERSION_1_4;
	case NVME_CC: return n->cc;
	case NVME_CSTS: return n->csts;
	case NVME_AQA: return n->aqa;
	case NVME_ASQ: return n->asq & 0xffffffff;
	case NVME_ASQ + 4: return n->asq >> 32;
	case NVME_ACQ: return n->acq & 0xffffffff;
	case NVME_ACQ + 4: return n->acq >> 32;
	}
	return 0;
}

static u64 bar_read(struct pci_function *f, u32 bar, u64 offset, u32 size)
{
	struct nvme_target *n = container_of(f, struct nvme_target, function);
	u64 aligned = offset & ~3ull;

	if (bar || offset + size > NVME_DOORBELLS)
		return 0;
	pthread_mutex_lock(&n->lock);
	u64 value = read_register(n, aligned) | read_register(n, aligned + 4) << 32;

	pthread_mutex_unlock(&n->lock);
	return value >> 8 * (offset & 3);
}

static void write_cc(struct nvme_target *n, u32 value)
{
	u32 old = n->cc;

	n->cc = value;
	if (old & NVME_CC_EN && !(value & NVME_CC_EN))
		n->reset_wanted = true; /* RDY goes when the thread has let go of the guest's memory */
	else if (!(old & NVME_CC_EN) && value & NVME_CC_EN && !n->reset_wanted)
		enable(n);
	if (FIELD_GET(NVME_CC_SHN, value) && FIELD_GET(NVME_CC_SHN, value) != FIELD_GET(NVME_CC_SHN, old)) {
		n->csts = (n->csts & ~NVME_CSTS_SHST) | (u32)FIELD_PREP(NVME_CSTS_SHST, NVME_CSTS_SHST_OCCURRING);
		n->shutdown_wanted = true;
	}
	pthread_cond_signal(&n->work);
}

static void put_half(u64 *reg, bool high, u32 value)
{
	*reg = high ? (*reg & 0xffffffff) | (u64)value << 32 : (*reg & ~0xffffffffull) | value;
}

static void write_register(struct nvme_target *n, u64 offset, u32 value)
{
	switch (offset) {
	case NVME_CC: write_cc(n, value); return;
	case NVME_INTMS:
	case NVME_INTMC: return; /* not with MSI-X (base, 3.1.3.3) */
	}
	if (n->cc & NVME_CC_EN) { /* the rest holds still while enabled */
		n->counters.register_errors++;
		return;
	}
	switch (offset) {
	case NVME_AQA: n->aqa = value & (NVME_AQA_ASQS | NVME_AQA_ACQS); return;
	case NVME_ASQ:
	case NVME_ASQ + 4: put_half(&n->asq, offset & 4, value); return;
	case NVME_ACQ:
	case NVME_ACQ + 4: put_half(&n->acq, offset & 4, value); return;
	}
	n->counters.register_errors++;
}

static void doorbell(struct nvme_target *n, u64 offset, u32 value)
{
	u32 index = (u32)((offset - NVME_DOORBELLS) / 8);
	bool completion = offset & 4, known = index <= n->config.io_queues && n->csts & NVME_CSTS_RDY && !(offset & 3);
	u16 size = known ? (completion ? n->cqs[index].size : n->sqs[index].size) : 0;

	known = known && (completion ? n->cqs[index].live : n->sqs[index].live);
	if (!known || value >= size) {
		n->counters.bad_doorbells++;
		if (n->csts & NVME_CSTS_RDY)
			event_raise(n, NVME_EVENT_TYPE_ERROR,
				    known ? NVME_EVENT_INVALID_DOORBELL_VALUE : NVME_EVENT_INVALID_DOORBELL, NVME_LOG_ERROR);
		return;
	}
	if (completion)
		n->cqs[index].head = (u16)value;
	else
		n->sqs[index].tail = (u16)value;
	pthread_cond_signal(&n->work);
}

static void bar_write(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value)
{
	struct nvme_target *n = container_of(f, struct nvme_target, function);

	pthread_mutex_lock(&n->lock);
	if (bar || size < 4 || offset & 3) {
		n->counters.register_errors++;
	} else if (offset >= NVME_DOORBELLS) {
		doorbell(n, offset, (u32)value);
	} else {
		write_register(n, offset, (u32)value);
		if (size == 8)
			write_register(n, offset + 4, (u32)(value >> 32));
	}
	pthread_mutex_unlock(&n->lock);
}

/* waits for the thread, at most as long as one command's file I/O takes */
static void function_reset(struct pci_function *f)
{
	struct nvme_target *n = container_of(f, struct nvme_target, function);

	pthread_mutex_lock(&n->lock);
	n->cc = n->aqa = 0;
	n->asq = n->acq = 0;
	n->shutdown_wanted = false;
	n->reset_wanted = true;
	pthread_cond_signal(&n->work);
	while (n->reset_wanted && n->has_thread)
		pthread_cond_wait(&n->quiet, &n->lock);
	pthread_mutex_unlock(&n->lock);
}

/* ---- life */

static const struct pci_function_ops function_ops = { .read = bar_read, .write = bar_write, .reset = function_reset };

struct pci_function *nvme_target_function(struct nvme_target *n)
{
	return &n->function;
}

void nvme_target_set_faults(struct nvme_target *n, const struct nvme_fault *faults, u32 count)
{
	pthread_mutex_lock(&n->lock);
	n->fault_count = MIN(count, NVME_FAULTS_MAX);
	for (u32 i = 0; i < n->fault_count; i++) {
		n->faults[i] = faults[i];
		n->faults_met[faults[i].kind] += fault_is_state(faults[i].kind);
	}
	memset(n->fault_seen, 0, sizeof(n->fault_seen));
	fault_set_states(n);
	pthread_cond_signal(&n->work);
	pthread_mutex_unlock(&n->lock);
}

static int start_thread(struct nvme_target *n)
{
	int r = -pthread_create(&n->thread, NULL, controller_thread, n);

	n->has_thread = !r;
	return r ? log_err(r, "%s: thread", n->function.name) : 0;
}

int nvme_target_create(const char *name, const struct nvme_target_config *config, const struct nvme_memory *memory,
	struct nvme_target **ret)
{
	struct nvme_target *n = calloc(1, sizeof(*n));
	pthread_condattr_t monotonic;

	if (!n)
		return log_err(-ENOMEM, "%s", name);
	n->config = *config;
	n->memory = *memory;
	n->block_shift = config->block_size == 4096 ? 12 : 9;
	n->function = (struct pci_function){
		.name = name, .ops = &function_ops, .identity = { VENDOR, DEVICE, VENDOR, 1, PCI_CLASS_NVME, 1 },
		.bar_size = { [0] = BAR_SIZE, [MSIX_BAR] = PAGE_SIZE }, .vector_count = config->io_queues + 1,
		.msix_bar = MSIX_BAR,
	};
	pci_function_init(&n->function);
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&n->work, &monotonic);
	pthread_cond_init(&n->quiet, NULL);
	pthread_condattr_destroy(&monotonic);
	finish_reset(n);
	int r = backing_open(&n->backing, config->path, config->ram_size, config->readonly, config->buffered);

	n->bounce = aligned_alloc(PAGE_SIZE, TRANSFER_MAX);
	if (!r && !n->bounce)
		r = log_err(-ENOMEM, "%s", name);
	nvme_target_set_faults(n, config->faults, config->fault_count); /* the namespace has its size from here on */
	if (!r && !n->blocks)
		r = log_err(-EINVAL, "--nvme %s is empty: 'truncate -s 1G %s' gives it a size", config->path, config->path);
	if (!r)
		r = start_thread(n);
	if (r) {
		nvme_target_destroy(n);
		return r;
	}
	*ret = n;
	return 0;
}

void nvme_target_destroy(struct nvme_target *n)
{
	if (!n)
		return;
	if (n->has_thread) {
		pthread_mutex_lock(&n->lock);
		n->quit = true;
		pthread_cond_signal(&n->work);
		pthread_mutex_unlock(&n->lock);
		pthread_join(n->thread, NULL);
	}
	if (n->backing.size && !n->backing.readonly && backing_flush(&n->backing))
		log_err(-errno, "--nvme %s: the last flush", n->config.path);
	backing_close(&n->backing);
	free(n->bounce);
	pci_function_fini(&n->function);
	pthread_cond_destroy(&n->quiet);
	pthread_cond_destroy(&n->work);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

void nvme_target_print(struct nvme_target *n, FILE *out)
{
	const struct nvme_counters *k = &n->counters;

	pthread_mutex_lock(&n->lock);
	fprintf(out, "%s: %s%s size %lu block %u serial %s cc %#x csts %#x\n", n->function.name, n->config.path,
		n->readonly ? " readonly" : "", n->blocks << n->block_shift, 1u << n->block_shift, n->config.serial, n->cc,
		n->csts);
	fprintf(out, "%s: reads %lu writes %lu bytes_read %lu bytes_written %lu flushes %lu zeroes %lu deallocations %lu "
		"compares %lu admin %lu resets %lu shutdowns %lu\n", n->function.name, k->reads, k->writes, k->bytes_read,
		k->bytes_written, k->flushes, k->zeroes, k->deallocations, k->compares, k->admin, k->resets, k->shutdowns);
	fprintf(out, "%s: errors %lu protocol_errors %lu bad_doorbells %lu register_errors %lu dma_errors %lu faults %lu "
		"aborts %lu direct %lu buffered %lu prps %lu sgls %lu\n", n->function.name, k->errors,
		k->protocol_errors, k->bad_doorbells, k->register_errors, k->dma_errors, k->faults, k->aborts, n->backing.direct,
		n->backing.buffered, k->prps, k->sgls);
	for (u32 i = 0; i < NVME_FAULT_KINDS; i++)
		if (n->faults_met[i])
			fprintf(out, "%s: fault %s met %lu\n", n->function.name, nvme_fault_name((enum nvme_fault_kind)i),
				n->faults_met[i]);
	for (u32 i = 0; i <= n->config.io_queues; i++) {
		const struct sq *s = &n->sqs[i];
		const struct cq *c = &n->cqs[s->cq];

		if (s->live)
			fprintf(out, "%s: queue %u size %u head %u tail %u commands %lu%s completions %lu vector %u\n",
				n->function.name, i,
				s->size, s->head, s->tail, s->commands, s->stalled ? " stalled" : "", c->completions, c->vector);
	}
	pthread_mutex_unlock(&n->lock);
}
