/*
 * bench_storage [--ios N] [--depth N] [--vps N] [--disks N] [--write]: a fixed number of I/Os of 4 KiB through rings, storvsp,
 * disks and the NVMe driver, to a device that answers at once; guest and device are memory. Prints nothing but what was done: it
 * is there to be counted (scripts/figures path: callgrind's instructions, memcheck's allocations).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_VPS 8u
#include "lib/log/log.h"
#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "vmm/nvme_disk/nvme_disk.h"
#include "vmm/storvsp/storvsp.h"

#define ARENA (512 * MiB)
#define ARENA_ADDRESS 0x100000000ull
#define SECTORS (1u << 20)
#define DEPTH_MAX 64u
#define FIRST_PAGE 300u

/* ---- a device: takes what is in its queues when it has its turn, answers all of it with one interrupt a queue */
struct device {
	struct nvme_transport transport;
	struct task task;
	u8 *arena;
	u64 used, asq, acq;
	u32 cc, csts, aqa, queues;
	struct { u64 base; u32 size, head, tail; } sq[MODEL_VPS + 1];
	struct { u64 base; u32 size, tail; u16 phase; } cq[MODEL_VPS + 1];
	struct task *vectors[MODEL_VPS + 1];
};

static void *at(struct device *d, u64 address)
{
	return d->arena + (address - ARENA_ADDRESS);
}

static void *dma_alloc(struct nvme_transport *t, u32 len, u64 *ret_address)
{
	struct device *d = container_of(t, struct device, transport);

	len = ALIGN_UP(len, PAGE_SIZE);
	if (d->used + len > ARENA)
		return NULL;
	*ret_address = ARENA_ADDRESS + d->used;
	d->used += len;
	return d->arena + d->used - len;
}

/* the end of the program does that */
static void dma_free(struct nvme_transport *t, void *from, u32 len, u64 address)
{
}

static int listen_vector(struct nvme_transport *t, u32 vector, struct task *task)
{
	container_of(t, struct device, transport)->vectors[vector] = task;
	return 0;
}

static u32 read_register(struct nvme_transport *t, u32 offset)
{
	struct device *d = container_of(t, struct device, transport);

	return offset == NVME_CAP ? 1023 | 8u << 24 : offset == NVME_CAP + 4 ? 1u << 5 : offset == NVME_CSTS ? d->csts :
	       offset == NVME_CC ? d->cc : 0;
}

static void write_register(struct nvme_transport *t, u32 offset, u32 value)
{
	struct device *d = container_of(t, struct device, transport);

	if (offset >= NVME_DOORBELLS) {
		if (!(offset & 4)) {
			d->sq[(offset - NVME_DOORBELLS) / 8].tail = value;
			task_wake(&d->task);
		}
		return;
	}
	switch (offset) {
	case NVME_AQA: d->aqa = value; return;
	case NVME_ASQ: d->asq = value; return;
	case NVME_ASQ + 4: d->asq |= (u64)value << 32; return;
	case NVME_ACQ: d->acq = value; return;
	case NVME_ACQ + 4: d->acq |= (u64)value << 32; return;
	case NVME_CC:
		d->cc = value;
		d->csts = value & NVME_CC_EN;
		d->sq[0].base = d->asq;
		d->sq[0].size = (d->aqa & NVME_AQA_ASQS) + 1;
		d->cq[0].base = d->acq;
		d->cq[0].size = (d->aqa >> 16) + 1;
		d->cq[0].phase = 1;
	}
}

static void post(struct device *d, u32 q, const struct nvme_command *c, u32 dw0)
{
	struct nvme_completion *to = (struct nvme_completion *)at(d, d->cq[q].base) + d->cq[q].tail;

	*to = (struct nvme_completion){ dw0, 0, (u16)d->sq[q].head, (u16)q, c->cid, d->cq[q].phase };
	if (++d->cq[q].tail == d->cq[q].size) {
		d->cq[q].tail = 0;
		d->cq[q].phase ^= 1;
	}
}

static void identify(struct device *d, const struct nvme_command *c)
{
	u8 *page = at(d, c->prp1);
	struct nvme_identify_controller *controller = (void *)page;
	struct nvme_identify_namespace *space = (void *)page;

	memset(page, 0, PAGE_SIZE);
	if (c->cdw10 == NVME_CNS_CONTROLLER) {
		controller->sqes = 0x66;
		controller->cqes = 0x44;
		controller->vwc = 1;
	} else if (c->cdw10 == NVME_CNS_ACTIVE_NAMESPACES) {
		page[0] = 1;
	} else {
		space->nsze = space->ncap = SECTORS;
		space->lbaf[0] = 9 << 16;
	}
}

static void admin(struct device *d, const struct nvme_command *c)
{
	u32 id = c->cdw10 & 0xffff, size = (c->cdw10 >> 16) + 1;

	if (c->opcode == NVME_ADMIN_ASYNC_EVENT)
		return;
	if (c->opcode == NVME_ADMIN_IDENTIFY)
		identify(d, c);
	if (c->opcode == NVME_ADMIN_CREATE_CQ) {
		d->cq[id].base = c->prp1;
		d->cq[id].size = size;
		d->cq[id].phase = 1;
	}
	if (c->opcode == NVME_ADMIN_CREATE_SQ) {
		d->sq[id].base = c->prp1;
		d->sq[id].size = size;
	}
	post(d, 0, c, c->opcode == NVME_ADMIN_SET_FEATURES ? (d->queues - 1) * 0x10001 : 0);
}

static void fetch(struct task *task)
{
	struct device *d = container_of(task, struct device, task);

	for (u32 q = 0; q <= d->queues; q++) {
		bool any = d->sq[q].head != d->sq[q].tail;

		while (d->sq[q].head != d->sq[q].tail) {
			const struct nvme_command *c = (struct nvme_command *)at(d, d->sq[q].base) + d->sq[q].head;

			d->sq[q].head = (d->sq[q].head + 1) % d->sq[q].size;
			if (q)
				post(d, q, c, 0);
			else
				admin(d, c);
		}
		if (any)
			task_wake(d->vectors[q]);
	}
}

/* ---- the guest */
struct bench {
	struct model_guest *g;
	struct device device;
	struct nvme *nvme;
	struct storvsp *scsi;
	struct model_channel channels[MODEL_VPS];
	u64 ios, sent, answered;
	u32 depth, vps, disks;
	bool write;
};

static const struct guid instance = { 1, 2, 3, { 4 } };

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_storage: %s\n", what);
	exit(1);
}

static void put(struct bench *b, u32 channel, u64 transaction, const struct vstor_packet *packet, bool data)
{
	struct model_channel *c = &b->channels[channel];

	if (model_put(c, transaction, packet, sizeof(*packet), FIRST_PAGE + transaction % 256, 0, data ? PAGE_SIZE : 0))
		vmbus_signal(b->g->bus, VMBUS_CHANNEL_CONNECTION(c->relid, VMBUS_SINT, 0), 0);
}

/* by hand: lib/vmbus is what is counted */
static bool get(struct bench *b, u32 channel, struct vstor_packet *ret)
{
	struct model_channel *c = &b->channels[channel];
	struct vmbus_ring_control *control = (struct vmbus_ring_control *)c->pages[MODEL_RING_PAGES];
	u32 size = (MODEL_RING_PAGES - 1) * PAGE_SIZE, at = control->read_index;
	struct vmbus_packet d;
	u8 bytes[128];

	if (at == control->write_index)
		return false;
	for (u32 i = 0; i < sizeof(bytes); i++)
		bytes[i] = c->pages[MODEL_RING_PAGES + 1 + (at + i) % size / PAGE_SIZE][(at + i) % PAGE_SIZE];
	memcpy(&d, bytes, sizeof(d));
	memcpy(ret, bytes + d.data_offset8 * 8u, sizeof(*ret));
	control->read_index = (at + d.length8 * 8u + 8) % size;
	return true;
}

static void operation(struct bench *b, u32 op, u16 word)
{
	struct vstor_packet m = { .header.operation = op, .version.version = word };

	put(b, 0, 1, &m, false);
	model_run(b->g);
	if (!get(b, 0, &m) || m.header.status)
		die("the channel is not set up");
}

static void connect_guest(struct bench *b)
{
	const struct vmbus_offer *o;

	if (!model_connect(b->g, VMBUS_VERSION_IRON))
		die("no connection");
	model_request_offers(b->g);
	b->g->read = b->g->count;
	if (!model_open(b->g, &b->channels[0], 1, 0, 16))
		die("the channel does not open");
	operation(b, VSTOR_BEGIN_INITIALIZATION, 0);
	operation(b, VSTOR_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_BLUE);
	operation(b, VSTOR_QUERY_PROPERTIES, 0);
	operation(b, VSTOR_END_INITIALIZATION, 0);
	if (b->vps > 1)
		operation(b, VSTOR_CREATE_SUB_CHANNELS, (u16)(b->vps - 1));
	u32 relids[MODEL_VPS] = { 0 };

	for (u32 i = 1; i < b->vps; i++) {
		o = model_next(b->g, VMBUS_OFFER);
		if (!o)
			die("a sub-channel is missing");
		relids[i] = o->relid;
	}
	for (u32 i = 1; i < b->vps; i++)
		if (!model_open(b->g, &b->channels[i], relids[i], i, 16 + 16 * i))
			die("a sub-channel does not open");
}

static void send_io(struct bench *b, u32 channel)
{
	struct vstor_packet m = { .header.operation = VSTOR_EXECUTE_SRB };
	u64 lba = b->sent * 7919 % (SECTORS / 8) * 8;

	m.srb.length = sizeof(m.srb);
	m.srb.lun = (u8)(b->sent % b->disks);
	m.srb.cdb_len = 10;
	m.srb.data_in = !b->write;
	m.srb.data_len = PAGE_SIZE;
	m.srb.payload[0] = b->write ? SCSI_WRITE_10 : SCSI_READ_10;
	for (u32 i = 0; i < 4; i++)
		m.srb.payload[2 + i] = (u8)(lba >> 8 * (3 - i));
	m.srb.payload[8] = 8;
	put(b, channel, b->sent++, &m, true);
}

static void drive(struct bench *b)
{
	u32 busy[MODEL_VPS] = { 0 };
	struct vstor_packet m;

	while (b->answered < b->ios) {
		for (u32 c = 0; c < b->vps; c++)
			for (; busy[c] < b->depth && b->sent < b->ios; busy[c]++)
				send_io(b, c);
		sim_run(b->g->sim, sim_now_ns(b->g->sim) + 100000);
		for (u32 c = 0; c < b->vps; c++)
			while (get(b, c, &m)) {
				if (m.srb.srb_status != SRB_SUCCESS)
					die("an I/O failed");
				busy[c]--;
				b->answered++;
			}
	}
}

static bool address(void *ctx, const void *from, size_t len, u64 *ret)
{
	return guest_address(((struct bench *)ctx)->g->guest, from, len, ret);
}

static void started(struct nvme *n, int result)
{
	if (result)
		die("the controller does not start");
}

static void build(struct bench *b)
{
	static const struct nvme_transport_ops ops = { .read = read_register, .write = write_register,
							.dma_alloc = dma_alloc, .dma_free = dma_free,
							.listen = listen_vector };

	b->g = model_create(1);
	b->device.transport = (struct nvme_transport){ .ops = &ops, .vector_count = b->vps + 1 };
	b->device.queues = b->vps;
	b->device.arena = calloc(1, ARENA);
	task_init(&b->device.task, sim_exec(b->g->sim, "device"), "device", fetch);
	struct nvme_config config = { .name = "bench", .home = b->g->home, .execs = b->g->vps, .exec_count = b->vps,
				      .started = started, .ctx = b };
	struct nvme_disk_config disk = { .nsid = 1, .execs = b->g->vps, .exec_count = b->vps, .address = address, .ctx = b,
					 .id = instance };

	if (nvme_create(&b->device.transport, &config, &b->nvme))
		die("no driver");
	nvme_start(b->nvme);
	sim_run(b->g->sim, 5000000000ull);
	b->scsi = storvsp_create(b->g->bus, b->g->guest, b->g->home, &instance, b->vps - 1);
	disk.nvme = b->nvme;
	for (u32 i = 0; i < b->disks; i++) {
		struct disk *d = nvme_disk_create(&disk);

		if (!d || storvsp_add(b->scsi, i, disk_stats(d), NULL))
			die("no disk");
	}
	connect_guest(b);
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "ios", 1, NULL, 'i' }, { "depth", 1, NULL, 'd' }, { "vps", 1, NULL, 'v' },
					       { "disks", 1, NULL, 'k' }, { "write", 0, NULL, 'w' }, { 0 } };
	struct bench *b = calloc(1, sizeof(*b));
	bool good = b != NULL;
	int c;

	*b = (struct bench){ .ios = 10000, .depth = 8, .vps = 1, .disks = 1 };
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		unsigned long n = optarg ? strtoul(optarg, NULL, 0) : 0;

		switch (c) {
		case 'i': b->ios = n; break;
		case 'd': b->depth = (u32)n; break;
		case 'v': b->vps = (u32)n; break;
		case 'k': b->disks = (u32)n; break;
		case 'w': b->write = true; break;
		default: good = false;
		}
	}
	if (!good || !b->depth || b->depth > DEPTH_MAX || !b->vps || b->vps > MODEL_VPS || !b->disks ||
	    b->disks > SCSI_LUNS_MAX) {
		fprintf(stderr, "Usage: bench_storage [--ios N] [--depth 1..64] [--vps 1..8] [--disks 1..64] [--write]\n");
		return 2;
	}
	if (log_set_filter("error"))
		die("no log filter");
	build(b);
	drive(b);
	printf("%lu I/Os, depth %u, %u VPs, %u disks\n", b->answered, b->depth, b->vps, b->disks);
	return 0;
}
