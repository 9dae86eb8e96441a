#include "tests/sim/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER (~0ull)
#define MS 1000000ull

static const char *const names[FAULTS] = {
	[FAULT_SLOW] = "slow", [FAULT_NO_ANSWER] = "no-answer", [FAULT_ANSWER_LOST] = "answer-lost", [FAULT_FORGOTTEN] =
		"forgotten",
	[FAULT_INTERNAL_ERROR] = "internal-error", [FAULT_MEDIUM] = "medium", [FAULT_NOT_READY] = "not-ready",
	[FAULT_WRONG_ID] = "wrong-id", [FAULT_TWICE] = "twice", [FAULT_NO_INTERRUPT] = "no-interrupt",
	[FAULT_SPURIOUS] = "spurious", [FAULT_FATAL] = "fatal", [FAULT_STALLED_QUEUE] = "stalled-queue",
	[FAULT_SLOW_RESET] = "slow-reset", [FAULT_FAILED_RESET] = "failed-reset", [FAULT_EVENT] = "event", [FAULT_GONE] = "gone",
};

const char *device_fault_name(enum device_fault f)
{
	return names[f];
}

static _Noreturn void broken(const char *what)
{
	fprintf(stderr, "device: the driver breaks a rule: %s\n", what);
	abort();
}

static bool strikes(struct device *d, enum device_fault f)
{
	bool hit = d->one_in[f] && sim_random(d->sim) % d->one_in[f] == 0;

	d->met[f] += hit;
	return hit;
}

/* ---- memory as the device reaches it: its own arena, and the guest's RAM */
static u8 *at(struct device *d, u64 address, u64 len)
{
	struct iovec iov;

	if (range_within(address, len, DEVICE_ARENA_ADDRESS, DEVICE_ARENA))
		return d->arena + (address - DEVICE_ARENA_ADDRESS);
	if (guest_iovec(d->guest, address, len, &iov))
		broken("an address that is neither the driver's memory nor the guest's");
	return iov.iov_base;
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	struct device *d = container_of(t, struct device, transport);

	len = ALIGN_UP(len, PAGE_SIZE);
	if (d->used + len > DEVICE_ARENA)
		return NULL;
	*ret_address = DEVICE_ARENA_ADDRESS + d->used;
	d->used += len;
	return d->arena + d->used - len;
}

static int listen_vector(struct nvme_transport *t, u32 vector, struct task *task)
{
	container_of(t, struct device, transport)->vectors[vector] = task;
	return 0;
}

/* ---- registers */
static u32 read_register(struct nvme_transport *t, u32 offset)
{
	struct device *d = container_of(t, struct device, transport);

	if (d->gone)
		return ~0u;
	switch (offset) {
	case NVME_CAP: return 255 | (u32)NVME_CAP_CQR | 8u << 24; /* 4 s */
	case NVME_CAP + 4: return 1u << 5;
	case NVME_VS: return NVME_VERSION_1_4;
	case NVME_CC: return d->cc;
	case NVME_CSTS:
		if (d->reads_until_ready && d->reads_until_ready != ~0u)
			d->reads_until_ready--;
		if (d->cc & NVME_CC_EN && !d->reads_until_ready)
			d->csts |= NVME_CSTS_RDY;
		return d->csts;
	}
	return 0;
}

static void forget(struct device *d)
{
	memset(d->sq, 0, sizeof(d->sq));
	memset(d->cq, 0, sizeof(d->cq));
	memset(d->pending, 0, sizeof(d->pending));
	d->has_event = false;
	d->csts = 0;
	d->resets++;
}

static void enable(struct device *d)
{
	d->sq[0].base = d->asq;
	d->sq[0].size = (d->aqa & NVME_AQA_ASQS) + 1;
	d->cq[0].base = d->acq;
	d->cq[0].size = (d->aqa >> 16) + 1;
	d->cq[0].phase = 1;
	d->cq[0].live = true;
	d->reads_until_ready = strikes(d, FAULT_SLOW_RESET) ? 50 : strikes(d, FAULT_FAILED_RESET) ? ~0u : 1;
}

static void doorbell(struct device *d, u32 offset, u32 value)
{
	u32 i = (offset - NVME_DOORBELLS) / 8;

	if (i >= DEVICE_QUEUES || !(d->csts & NVME_CSTS_RDY))
		broken("a doorbell of no queue, or before the controller is ready");
	if (offset & 4)
		return;
	if (value >= d->sq[i].size)
		broken("a tail outside its queue");
	d->sq[i].tail = value;
	task_wake(&d->task);
}

static void configure(struct device *d, u32 value)
{
	if (d->cc & NVME_CC_EN && !(value & NVME_CC_EN))
		forget(d);
	if (value & NVME_CC_EN && !(d->cc & NVME_CC_EN))
		enable(d);
	if (value & NVME_CC_SHN)
		d->csts |= NVME_CSTS_SHST_COMPLETE << 2;
	d->cc = value;
}

static void write_register(struct nvme_transport *t, u32 offset, u32 value)
{
	struct device *d = container_of(t, struct device, transport);

	if (d->gone)
		return;
	if (offset >= NVME_DOORBELLS) {
		doorbell(d, offset, value);
		return;
	}
	switch (offset) {
	case NVME_AQA: d->aqa = value; return;
	case NVME_ASQ: d->asq = value; return;
	case NVME_ASQ + 4: d->asq |= (u64)value << 32; return;
	case NVME_ACQ: d->acq = value; return;
	case NVME_ACQ + 4: d->acq |= (u64)value << 32; return;
	case NVME_CC: configure(d, value); return;
	}
}

static const struct nvme_transport_ops transport_ops = { .read = read_register, .write = write_register,
	.dma_alloc = dma_alloc, .listen = listen_vector };

/* ---- completions */
static void post(struct device *d, u32 sq, u16 cid, u32 dw0, u16 status)
{
	u32 cq = d->sq[sq].cq;

	if (!d->cq[cq].live)
		return;
	struct nvme_completion *c = (void *)at(d, d->cq[cq].base + d->cq[cq].tail * 16, 16);

	*c = (struct nvme_completion){ dw0, 0, (u16)d->sq[sq].head, (u16)sq, cid, (u16)(status << 1 | d->cq[cq].phase) };
	if (++d->cq[cq].tail == d->cq[cq].size) {
		d->cq[cq].tail = 0;
		d->cq[cq].phase ^= 1;
	}
	if (!sq || !strikes(d, FAULT_NO_INTERRUPT))
		task_wake(d->vectors[cq]);
}

/* ---- admin commands */
static void identify(struct device *d, const struct nvme_command *c)
{
	u8 *page = at(d, c->prp1, PAGE_SIZE);

	memset(page, 0, PAGE_SIZE);
	if (c->cdw10 == NVME_CNS_CONTROLLER) {
		struct nvme_identify_controller *to = (void *)page;

		memcpy(to->mn, "Simulated", 9);
		to->sqes = 0x66;
		to->cqes = 0x44;
		to->mdts = 5;
		to->vwc = 1;
		to->oncs = NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES;
	} else if (c->cdw10 == NVME_CNS_ACTIVE_NAMESPACES) {
		page[0] = 1;
	} else if (c->cdw10 == NVME_CNS_NAMESPACE) {
		struct nvme_identify_namespace *to = (void *)page;

		to->nsze = to->ncap = DEVICE_SECTORS;
		to->lbaf[0] = 9 << 16;
		to->dlfeat = NVME_DLFEAT_ZEROES;
	}
}

static void abort_command(struct device *d, const struct nvme_command *c)
{
	u32 sq = c->cdw10 & 0xffff, cid = c->cdw10 >> 16, dw0 = 1;

	for (u32 i = 0; i < DEVICE_PENDING; i++) {
		struct device_command *p = &d->pending[i];

		if (!p->used || p->sq != sq || p->c.cid != cid || p->fault == FAULT_FORGOTTEN || p->fault == FAULT_ANSWER_LOST)
			continue;
		p->used = false;
		post(d, sq, (u16)cid, 0, NVME_SC_ABORT_REQUESTED);
		dw0 = 0;
		break;
	}
	post(d, 0, c->cid, dw0, 0);
}

static void admin(struct device *d, const struct nvme_command *c)
{
	u32 id = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1, dw0 = 0;

	if (id >= DEVICE_QUEUES && (c->opcode == NVME_ADMIN_CREATE_CQ || c->opcode == NVME_ADMIN_CREATE_SQ))
		broken("more queues than were granted");
	switch (c->opcode) {
	case NVME_ADMIN_IDENTIFY: identify(d, c); break;
	case NVME_ADMIN_SET_FEATURES: dw0 = d->grant | d->grant << 16; break;
	case NVME_ADMIN_GET_LOG_PAGE: memset(at(d, c->prp1, 4), 0, 4); break;
	case NVME_ADMIN_CREATE_CQ:
		d->cq[id].base = c->prp1;
		d->cq[id].size = size;
		d->cq[id].phase = 1;
		d->cq[id].live = true;
		break;
	case NVME_ADMIN_CREATE_SQ:
		if (!d->cq[c->cdw11 >> 16].live)
			broken("a submission queue without its completion queue");
		d->sq[id].base = c->prp1;
		d->sq[id].size = size;
		d->sq[id].cq = c->cdw11 >> 16;
		break;
	case NVME_ADMIN_ASYNC_EVENT:
		d->event_cid = c->cid;
		d->has_event = true;
		return;
	case NVME_ADMIN_ABORT: abort_command(d, c); return;
	case NVME_ADMIN_DELETE_SQ: d->sq[id].size = 0; break;
	case NVME_ADMIN_DELETE_CQ: d->cq[id].live = false; break;
	default: post(d, 0, c->cid, 0, NVME_SC_INVALID_OPCODE); return;
	}
	post(d, 0, c->cid, dw0, 0);
}

/* ---- I/O commands */
static bool plant(struct device *d, enum device_plant p)
{
	if (d->plant != p || d->planted)
		return false;
	if (d->plant_at) {
		d->plant_at--;
		return false;
	}
	d->planted++;
	return true;
}

/* the next piece of the data that PRPs describe */
static u8 *next_piece(struct device *d, const struct nvme_command *c, u32 i, u64 left, u64 *page, u64 *ret_len)
{
	if (!i)
		*page = c->prp1;
	else if (i == 1 && left <= PAGE_SIZE)
		*page = c->prp2;
	else
		memcpy(page, at(d, c->prp2 + 8ull * (i - 1), 8), 8);
	if (i && *page & (PAGE_SIZE - 1))
		broken("a PRP with an offset that is not the first");
	*ret_len = MIN(left, PAGE_SIZE - (*page & (PAGE_SIZE - 1)));
	return at(d, *page, *ret_len);
}

static void put(struct device *d, u64 sector, const u8 *data, bool through)
{
	memcpy(d->cache[sector], data, 512);
	d->dirty[sector] = !through;
	if (through)
		memcpy(d->medium[sector], data, 512);
}

static void transfer(struct device *d, const struct nvme_command *c, bool write, u64 sectors)
{
	static u8 buffer[64 * KiB * 4];
	u64 whole = ((c->cdw12 & NVME_RW_NLB) + 1) * 512ull, len = sectors * 512, done = 0, page = 0, part, lba = c->cdw10;

	if (!write && plant(d, PLANT_STALE_READ))
		return; /* said to be read, and the buffer is as it was */
	if (!write)
		memcpy(buffer, d->cache[lba], len);
	for (u32 i = 0; done < len; i++, done += part) {
		/* the form of the PRPs is the whole command's, also where half of it is done */
		u8 *memory = next_piece(d, c, i, whole - done, &page, &part);

		part = MIN(part, len - done);
		if (write)
			memcpy(buffer + done, memory, part);
		else
			memcpy(memory, buffer + done, part);
	}
	if (write && plant(d, PLANT_LOST_WRITE))
		return;
	if (write && plant(d, PLANT_MISDIRECTED_WRITE))
		lba = lba + 8 + sectors <= DEVICE_SECTORS ? lba + 8 : lba - 8;
	for (u64 i = 0; write && i < sectors; i++)
		put(d, lba + i, buffer + i * 512, c->cdw12 & NVME_RW_FUA);
}

static void zero(struct device *d, u64 lba, u64 sectors, bool through)
{
	static const u8 zeroes[512];

	for (u64 i = 0; i < sectors; i++)
		put(d, lba + i, zeroes, through);
}

static void flush(struct device *d)
{
	if (plant(d, PLANT_LOST_FLUSH))
		return;
	memcpy(d->medium, d->cache, DEVICE_SECTORS * 512);
	memset(d->dirty, 0, sizeof(d->dirty));
}

static void perform(struct device *d, const struct nvme_command *c, u64 sectors)
{
	struct nvme_dsm_range range;

	if ((c->opcode == NVME_IO_READ || c->opcode == NVME_IO_WRITE || c->opcode == NVME_IO_WRITE_ZEROES) &&
	    c->cdw10 + sectors > DEVICE_SECTORS)
		broken("sectors behind the namespace's end");
	switch (c->opcode) {
	case NVME_IO_READ: transfer(d, c, false, sectors); return;
	case NVME_IO_WRITE: transfer(d, c, true, sectors); return;
	case NVME_IO_FLUSH: flush(d); return;
	case NVME_IO_WRITE_ZEROES: zero(d, c->cdw10, sectors, c->cdw12 & NVME_RW_FUA); return;
	case NVME_IO_DSM:
		for (u32 i = 0; i <= (c->cdw10 & NVME_DSM_RANGES); i++) {
			memcpy(&range, at(d, c->prp1 + i * sizeof(range), sizeof(range)), sizeof(range));
			if (!range_within(range.lba, range.blocks, 0, DEVICE_SECTORS))
				broken("a deallocation behind the end");
			zero(d, range.lba, range.blocks, false);
		}
		return;
	}
	broken("an I/O command of no use here");
}

/* a write that fails may have been done in part */
static u16 fail(struct device *d, const struct nvme_command *c, u64 sectors, enum device_fault f)
{
	if (f == FAULT_INTERNAL_ERROR)
		return NVME_SC_INTERNAL_ERROR;
	if (f == FAULT_NOT_READY)
		return NVME_SC_NAMESPACE_NOT_READY;
	if (c->opcode != NVME_IO_WRITE)
		return NVME_SC_UNRECOVERED_READ;
	perform(d, c, sectors / 2);
	return NVME_SC_WRITE_FAULT;
}

static void complete(struct device *d, struct device_command *p)
{
	const struct nvme_command c = p->c;
	u64 sectors = (c.cdw12 & NVME_RW_NLB) + 1;
	u32 sq = p->sq;
	u16 status = 0;

	p->used = false;
	switch (p->fault) {
	case FAULT_INTERNAL_ERROR:
	case FAULT_MEDIUM:
	case FAULT_NOT_READY: status = plant(d, PLANT_FALSE_GOOD) ? 0 : fail(d, &c, sectors, p->fault); break;
	case FAULT_ANSWER_LOST:
		perform(d, &c, sectors);
		p->used = true;
		p->due = NEVER;
		return;
	default: perform(d, &c, sectors);
	}
	if (p->fault == FAULT_WRONG_ID)
		post(d, sq, 0xfffe, 0, 0);
	post(d, sq, c.cid, 0, status);
	if (p->fault == FAULT_TWICE)
		post(d, sq, c.cid, 0, status);
}

static void take(struct device *d, u32 sq, const struct nvme_command *c)
{
	static const enum device_fault of_command[] = { FAULT_SLOW, FAULT_NO_ANSWER, FAULT_ANSWER_LOST, FAULT_FORGOTTEN,
							FAULT_INTERNAL_ERROR, FAULT_MEDIUM, FAULT_NOT_READY, FAULT_WRONG_ID,
							FAULT_TWICE };
	u32 i = 0;

	while (i < DEVICE_PENDING && d->pending[i].used)
		i++;
	if (i == DEVICE_PENDING)
		broken("more commands than its queues hold");
	struct device_command *p = &d->pending[i];

	d->commands++;
	*p = (struct device_command){ .used = true, .sq = sq, .c = *c, .fault = FAULTS };
	p->due = sim_now_ns(d->sim) + 1000 + sim_random(d->sim) % (2 * MS);
	for (u32 k = 0; k < ARRAY_SIZE(of_command) && p->fault == FAULTS; k++)
		if (strikes(d, of_command[k]))
			p->fault = of_command[k];
	if (p->fault == FAULT_SLOW)
		p->due += sim_random(d->sim) % (3000 * MS);
	if (p->fault == FAULT_NO_ANSWER || p->fault == FAULT_FORGOTTEN)
		p->due = NEVER;
}

/* ---- turns */
static void arm(struct device *d)
{
	u64 next = NEVER;

	if (d->gone || d->csts & NVME_CSTS_CFS)
		return;
	for (u32 i = 0; i < DEVICE_PENDING; i++)
		if (d->pending[i].used)
			next = MIN(next, d->pending[i].due);
	if (next != NEVER)
		timer_arm(d->exec, &d->timer, next);
}

static void go_wrong(struct device *d)
{
	if (strikes(d, FAULT_FATAL))
		d->csts |= NVME_CSTS_CFS;
	if (strikes(d, FAULT_SPURIOUS) && d->vectors[1])
		task_wake(d->vectors[1]);
	if (d->has_event && strikes(d, FAULT_EVENT)) {
		d->has_event = false;
		post(d, 0, d->event_cid, NVME_EVENT(NVME_EVENT_TYPE_NOTICE, NVME_EVENT_NAMESPACES,
						    NVME_LOG_CHANGED_NAMESPACES), 0);
	}
	if (strikes(d, FAULT_GONE)) {
		d->gone = true;
		d->one_in[FAULT_GONE] = 0;
		d->went(d);
	}
}

static void fetch(struct task *task)
{
	struct device *d = container_of(task, struct device, task);

	for (u32 q = 0; q < DEVICE_QUEUES && !d->gone && !(d->csts & NVME_CSTS_CFS); q++) {
		if (q && d->sq[q].head != d->sq[q].tail && strikes(d, FAULT_STALLED_QUEUE))
			d->sq[q].stalled = true;
		while (d->sq[q].size && !d->sq[q].stalled && d->sq[q].head != d->sq[q].tail) {
			struct nvme_command c;

			memcpy(&c, at(d, d->sq[q].base + d->sq[q].head * 64, 64), sizeof(c));
			d->sq[q].head = (d->sq[q].head + 1) % d->sq[q].size;
			if (q)
				take(d, q, &c);
			else
				admin(d, &c);
		}
		if (q)
			go_wrong(d);
	}
	arm(d);
}

static void due(struct timer *timer)
{
	struct device *d = container_of(timer, struct device, timer);

	for (u32 i = 0; i < DEVICE_PENDING && !d->gone && !(d->csts & NVME_CSTS_CFS); i++)
		if (d->pending[i].used && d->pending[i].due <= sim_now_ns(d->sim))
			complete(d, &d->pending[i]);
	arm(d);
}

void device_power_cut(struct device *d)
{
	for (u32 i = 0; i < DEVICE_SECTORS; i++)
		if (d->dirty[i] && sim_random(d->sim) % 2)
			memcpy(d->medium[i], d->cache[i], 512);
}

struct device *device_create(struct sim *sim, struct guest *guest)
{
	struct device *d = calloc(1, sizeof(*d));

	d->sim = sim;
	d->guest = guest;
	d->exec = sim_exec(sim, "device");
	d->arena = calloc(1, DEVICE_ARENA);
	d->cache = calloc(DEVICE_SECTORS, 512);
	d->medium = calloc(DEVICE_SECTORS, 512);
	d->transport = (struct nvme_transport){ .ops = &transport_ops, .vector_count = DEVICE_QUEUES };
	d->timer.fire = due;
	d->grant = 1;
	task_init(&d->task, d->exec, "device", fetch);
	return d;
}

void device_destroy(struct device *d)
{
	free(d->arena);
	free(d->cache);
	free(d->medium);
	free(d);
}
