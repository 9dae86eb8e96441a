/*
 * sim_storage [--seed N] [--runs N] [--requests N] [--plant KIND] [--verbose]: the storage translation in virtual time. A model
 * guest sends SCSI commands through VMBus rings, to storvsp, the disk over NVMe, the NVMe driver and a model controller that
 * goes wrong in the ways of device.h, as drawn from the seed. A judge knows what each sector may hold:
 *
 *   - a read that succeeds returns what was last acknowledged, or what a write that failed since may have left;
 *   - after a power cut each sector holds what a flush or FUA write made durable, or something written since;
 *   - every request is answered, in bounded time, and without faults none fails.
 *
 * In half of the runs the VMBus server is held now and then, its state saved and put back, and it goes on.
 *
 * --plant makes one wrong of its kind: then a run must fail. Exit status: 0 all well, 1 the seed that was not is said, 2 usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "tests/sim/device.h"
#include "tests/sim/sector.h"
#include "vmm/nvme_disk/nvme_disk.h"
#include "vmm/storvsp/storvsp.h"

#define SECONDS 1000000000ull
#define SLOTS 24u
#define SLOT_PAGES 20u
#define SLOT_SECTORS_MAX 128u
#define FIRST_SLOT_PAGE 64u
#define ANSWER_LIMIT (300 * SECONDS)
#define ROUND_TRIPS_MAX 20u

enum kind { READ, WRITE, WRITE_FUA, FLUSH, UNMAP, ZERO, KINDS };

struct slot {
	bool used;
	enum kind kind;
	u64 lba, count, stamp, sent_ns;
	u32 offset, channel;
	u32 marks[DEVICE_SECTORS]; /* FLUSH: the entry of each sector that it makes durable, counted from the run's begin */
};

struct run {
	u64 seed;
	struct model_guest *g;
	struct device *device;
	struct nvme *nvme;
	struct storvsp *scsi;
	struct model_channel channels[2];
	u32 channel_count;
	struct sector sectors[DEVICE_SECTORS];
	struct slot slots[SLOTS];
	struct op remove;
	struct op removed;
	struct op hold;
	bool held;
	u32 round_trip_in;   /* about so many steps; 0: none */
	struct saver old;    /* PLANT_OLD_STATE: what the first round trip saved, and others put back */
	u64 round_trips, holds_cancelled;
	u64 signals, stamp, sent, answered, failed, reads_checked;
	u32 faults;          /* kinds in force */
	int started;
	char wrong[200];     /* what the judge found; "": nothing */
};

static const struct guid instance = { 1, 2, 3, { 4 } };

static void judge(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void judge(struct run *r, const char *format, ...)
{
	va_list args;

	if (*r->wrong)
		return;
	va_start(args, format);
	vsnprintf(r->wrong, sizeof(r->wrong), format, args);
	va_end(args);
}

static u64 draw(struct run *r, u64 below)
{
	return sim_random(r->g->sim) % below;
}

static void check_sector(struct run *r, u64 n, const u8 *data, u32 from, const char *when)
{
	const struct sector *s = &r->sectors[n];

	if (sector_may_hold(s, n, data, from))
		return;
	u64 stamp;

	memcpy(&stamp, data, 8);
	judge(r, "%s: sector %lu holds stamp %#lx; %u are possible, the newest acknowledged is %#lx", when, n, stamp,
	      s->count - from, s->entries[sector_last_sure(s)].stamp);
}

/* ---- the guest's memory */
static u8 *slot_memory(struct run *r, u32 slot)
{
	struct iovec iov;

	if (guest_iovec(r->g->guest, (u64)(FIRST_SLOT_PAGE + slot * SLOT_PAGES) << PAGE_SHIFT, SLOT_PAGES * PAGE_SIZE, &iov))
		abort();
	return iov.iov_base;
}

/* ---- the ring, as a guest uses it */
static void ring_put(struct run *r, u32 channel, u64 transaction, const struct vstor_packet *packet, u32 slot, u32 offset,
		     u32 len)
{
	struct model_channel *c = &r->channels[channel];

	if (model_put(c, transaction, packet, sizeof(*packet), FIRST_SLOT_PAGE + slot * SLOT_PAGES, offset, len)) {
		r->signals++;
		vmbus_signal(r->g->bus, VMBUS_CHANNEL_CONNECTION(c->relid, VMBUS_SINT, 0), 0);
	}
}

static bool ring_get(struct run *r, u32 channel, struct ring_received *got, struct vstor_packet *ret)
{
	bool signal;

	return ring_read(&r->channels[channel].in, ret, sizeof(*ret), got, &signal) == RING_OK;
}

static u32 operation(struct run *r, u32 op, u16 word)
{
	struct vstor_packet m = { .header.operation = op, .version.version = word };
	struct ring_received got;

	ring_put(r, 0, 1u << 20, &m, 0, 0, 0);
	model_signal(r->g, r->channels[0].relid);
	return ring_get(r, 0, &got, &m) && got.transaction_id == 1u << 20 ? m.header.status : ~0u;
}

static bool connect_guest(struct run *r)
{
	const struct vmbus_offer *o;
	bool well = model_connect(r->g, VMBUS_VERSION_IRON);

	model_request_offers(r->g);
	well = well && model_next(r->g, VMBUS_OFFER) && model_next(r->g, VMBUS_ALL_OFFERS_DELIVERED) &&
	       model_open(r->g, &r->channels[0], 1, 0, 16) && !operation(r, VSTOR_BEGIN_INITIALIZATION, 0) &&
	       !operation(r, VSTOR_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_BLUE) && !operation(r, VSTOR_QUERY_PROPERTIES, 0) &&
	       !operation(r, VSTOR_END_INITIALIZATION, 0);
	r->channel_count = 1;
	if (!well || draw(r, 4) == 0)
		return well;
	if (operation(r, VSTOR_CREATE_SUB_CHANNELS, 1))
		return false;
	o = model_next(r->g, VMBUS_OFFER);
	r->channel_count = 2;
	return o && model_open(r->g, &r->channels[1], o->relid, 1, 32);
}

/* ---- requests */
static void be_put(u8 *to, u64 value, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		to[i] = (u8)(value >> 8 * (bytes - 1 - i));
}

static void cdb(struct vstor_srb *s, const struct slot *q)
{
	static const u8 opcodes[KINDS] = { SCSI_READ_16, SCSI_WRITE_16, SCSI_WRITE_16, SCSI_SYNCHRONIZE_CACHE_10, SCSI_UNMAP,
					   SCSI_WRITE_SAME_16 };
	u8 *c = s->payload;

	memset(c, 0, sizeof(s->payload));
	c[0] = opcodes[q->kind];
	if (q->kind == UNMAP) {
		be_put(c + 7, sizeof(struct scsi_unmap_header) + sizeof(struct scsi_unmap_descriptor), 2);
		s->cdb_len = 10;
	} else if (q->kind == FLUSH) {
		s->cdb_len = 10;
	} else {
		c[1] = q->kind == WRITE_FUA ? 8 : q->kind == ZERO ? 1 /* NDOB */ : 0;
		be_put(c + 2, q->lba, 8);
		be_put(c + 10, (u32)q->count, 4);
		s->cdb_len = 16;
	}
}

/* takes sectors that nobody else has under way; false: none found this time */
static bool take_sectors(struct run *r, struct slot *q)
{
	q->count = 1 + draw(r, draw(r, 3) ? 16 : SLOT_SECTORS_MAX);
	q->lba = draw(r, DEVICE_SECTORS - q->count + 1);
	for (u64 i = 0; i < q->count; i++)
		if (r->sectors[q->lba + i].busy || (q->kind != READ && !sector_has_room(&r->sectors[q->lba + i])))
			return false;
	for (u64 i = 0; i < q->count; i++)
		r->sectors[q->lba + i].busy = true;
	return true;
}

static void prepare_data(struct run *r, u32 index, struct slot *q)
{
	u8 *memory = slot_memory(r, index);
	struct scsi_unmap_descriptor d = { .lba = { 0 } };

	switch (q->kind) {
	case READ: memset(memory, 0xee, SLOT_PAGES * PAGE_SIZE); break;
	case WRITE:
	case WRITE_FUA:
		for (u64 i = 0; i < q->count; i++)
			sector_fill(memory + q->offset + i * 512, q->stamp, q->lba + i);
		break;
	case UNMAP:
		memset(memory + q->offset, 0, 24);
		be_put(memory + q->offset, 22, 2);
		be_put(memory + q->offset + 2, 16, 2);
		be_put(d.lba, q->lba, 8);
		be_put(d.count, (u32)q->count, 4);
		memcpy(memory + q->offset + sizeof(struct scsi_unmap_header), &d, sizeof(d));
		break;
	default: break;
	}
}

static u32 data_len(const struct slot *q)
{
	return q->kind <= WRITE_FUA ? (u32)q->count * 512 : q->kind == UNMAP ? 24 : 0;
}

static void send_request(struct run *r, u32 index)
{
	static const enum kind mix[16] = { WRITE, WRITE, WRITE, WRITE, WRITE, WRITE, READ, READ, READ, READ, READ, FLUSH,
		WRITE_FUA,
					   UNMAP, ZERO, WRITE };
	struct slot *q = &r->slots[index];
	struct vstor_packet m = { .header.operation = VSTOR_EXECUTE_SRB };

	*q = (struct slot){ .kind = mix[draw(r, 16)], .channel = (u32)draw(r, r->channel_count) };
	if (q->kind != FLUSH && !take_sectors(r, q))
		return;
	q->used = true;
	q->stamp = q->kind == WRITE || q->kind == WRITE_FUA ? ++r->stamp : 0;
	/* pages as file systems have them, sectors as databases, and bytes as nobody should */
	q->offset = draw(r, 2) ? 0 : draw(r, 8) ? (u32)draw(r, 8) * 512 : (u32)draw(r, 512) * 4;
	q->sent_ns = sim_now_ns(r->g->sim);
	for (u64 i = 0; q->kind != READ && i < q->count; i++)
		sector_note(&r->sectors[q->lba + i], q->stamp);
	for (u32 i = 0; q->kind == FLUSH && i < DEVICE_SECTORS; i++)
		q->marks[i] = r->sectors[i].base + sector_last_sure(&r->sectors[i]);
	prepare_data(r, index, q);
	m.srb.length = sizeof(m.srb);
	m.srb.data_in = q->kind == READ;
	m.srb.data_len = data_len(q);
	cdb(&m.srb, q);
	ring_put(r, q->channel, index, &m, index, q->offset, data_len(q));
	r->sent++;
}

static void settle_write(struct run *r, struct slot *q, bool good)
{
	for (u64 i = 0; i < q->count; i++) {
		struct sector *s = &r->sectors[q->lba + i];
		u32 at = s->count - 1u;

		/* unmapped sectors may read as zeroes: nothing is promised, so a success is as good as a failure */
		s->entries[at].sure = good && q->kind != UNMAP;
		if (good && q->kind == WRITE_FUA)
			s->durable = (u8)at;
		sector_forget_old(s);
	}
}

static void settle_flush(struct run *r, struct slot *q)
{
	for (u32 i = 0; i < DEVICE_SECTORS; i++) {
		struct sector *s = &r->sectors[i];

		if (q->marks[i] > s->base + s->durable)
			s->durable = (u8)(q->marks[i] - s->base);
		sector_forget_old(s);
	}
}

static void answer(struct run *r, u32 index, const struct vstor_packet *m)
{
	struct slot *q = &r->slots[index];
	bool good = !m->header.status && m->srb.srb_status == SRB_SUCCESS && !m->srb.scsi_status;

	if (!q->used) {
		judge(r, "request %u is answered twice", index);
		return;
	}
	r->answered++;
	r->failed += !good;
	if (!good && !r->faults)
		judge(r, "a request failed without a fault: srb %#x, scsi %#x, sense %#x/%#x", m->srb.srb_status,
		      m->srb.scsi_status,
		      m->srb.payload[2], m->srb.payload[12]);
	if (good && q->kind == READ) {
		for (u64 i = 0; i < q->count; i++)
			check_sector(r, q->lba + i, slot_memory(r, index) + q->offset + i * 512,
				     sector_last_sure(&r->sectors[q->lba + i]), "read");
		r->reads_checked++;
	} else if (q->kind != READ && q->kind != FLUSH) {
		settle_write(r, q, good);
	} else if (good && q->kind == FLUSH) {
		settle_flush(r, q);
	}
	for (u64 i = 0; i < q->count; i++)
		r->sectors[q->lba + i].busy = false;
	q->used = false;
}

static u32 collect(struct run *r)
{
	struct ring_received got;
	struct vstor_packet m;
	u32 count = 0;

	for (u32 c = 0; c < r->channel_count; c++)
		while (ring_get(r, c, &got, &m)) {
			if (got.type != VMBUS_PACKET_COMPLETION)
				continue; /* the bus is to be looked at again */
			if (got.transaction_id >= SLOTS)
				judge(r, "an answer to request %#lx, which was not sent", got.transaction_id);
			else
				answer(r, (u32)got.transaction_id, &m);
			count++;
		}
	return count;
}

/* ---- a run */
static bool address(void *ctx, const void *at, size_t len, u64 *ret)
{
	return guest_address(((struct run *)ctx)->g->guest, at, len, ret);
}

static void started(struct nvme *n, int result)
{
	((struct run *)nvme_context(n))->started = result;
}

static void removed(struct op *op, int ignored)
{
}

static void remove_it(struct op *op, int ignored)
{
	struct run *r = container_of(op, struct run, remove);

	r->removed.done = removed;
	nvme_remove(r->nvme, &r->removed);
}

static struct run *gone_run; /* one at a time */
static void went(struct device *d)
{
	exec_post(gone_run->g->home, &gone_run->remove, remove_it, 0);
}

static void draw_faults(struct run *r, enum device_plant plant)
{
	/* how often at most: what costs a reset is rarer */
	static const u16 rare[FAULTS] = {
		[FAULT_SLOW] = 8, [FAULT_NO_ANSWER] = 60, [FAULT_ANSWER_LOST] = 90, [FAULT_FORGOTTEN] = 90,
		[FAULT_INTERNAL_ERROR] = 10, [FAULT_MEDIUM] = 10, [FAULT_NOT_READY] = 10, [FAULT_WRONG_ID] = 10,
		[FAULT_TWICE] = 10, [FAULT_NO_INTERRUPT] = 30, [FAULT_SPURIOUS] = 5, [FAULT_FATAL] = 150,
		[FAULT_STALLED_QUEUE] = 100, [FAULT_SLOW_RESET] = 2, [FAULT_FAILED_RESET] = 6, [FAULT_EVENT] = 20,
		[FAULT_GONE] = 400,
	};
	u32 kinds = plant ? (plant == PLANT_FALSE_GOOD ? 1 : 0) : (u32)draw(r, 5);

	for (u32 i = 0; i < kinds; i++) {
		u32 f = plant ? FAULT_MEDIUM : (u32)draw(r, FAULTS);

		r->device->one_in[f] = plant ? 4 : rare[f] + (u32)draw(r, rare[f]);
		r->faults |= 1u << f;
	}
}

static bool build(struct run *r)
{
	struct nvme_config config = { .name = "sim", .exec_count = MODEL_VPS, .started = started, .ctx = r };
	struct nvme_disk_config disk = { .nsid = 1, .exec_count = MODEL_VPS, .address = address, .ctx = r, .id = instance };

	r->g = model_create(r->seed);
	r->device = device_create(r->g->sim, r->g->guest);
	r->device->went = went;
	r->device->grant = (u32)draw(r, 2); /* one or two queues for two VPs */
	gone_run = r;
	config.execs = disk.execs = r->g->vps;
	config.home = r->g->home;
	r->started = 1;
	if (nvme_create(&r->device->transport, &config, &r->nvme))
		return false;
	nvme_start(r->nvme);
	sim_run(r->g->sim, 5 * SECONDS);
	disk.nvme = r->nvme;
	struct disk *d = r->started ? NULL : nvme_disk_create(&disk);

	r->scsi = storvsp_create(r->g->bus, r->g->guest, r->g->home, &instance, 1);
	for (u32 i = 0; i < DEVICE_SECTORS; i++) {
		sector_note(&r->sectors[i], 0);
		r->sectors[i].entries[0].sure = true;
	}
	return d && r->scsi && !storvsp_add(r->scsi, 0, disk_stats(d), NULL) && connect_guest(r);
}

static void held(struct op *op, int ignored)
{
	container_of(op, struct run, hold)->held = true;
}

static void save_and_restore(struct run *r)
{
	struct saver s;
	struct loader l;

	saver_init(&s);
	vmbus_save(r->g->bus, &s);
	int error = saver_finish(&s);

	if (r->device->plant == PLANT_OLD_STATE && r->round_trips) {
		saver_fini(&s);
		s = r->old;
		r->old = (struct saver){ 0 };
	}
	if (!error)
		error = loader_init(&l, s.data, s.len);
	if (!error)
		error = vmbus_restore(r->g->bus, l);
	if (error)
		judge(r, "saved state is not put back: %s", strerror(-error));
	saver_fini(&r->old);
	r->old = s;
	r->round_trips++;
}

/* the guest is silent meanwhile; at times nobody waits for the disk's answers */
static void round_trip(struct run *r)
{
	u64 since = sim_now_ns(r->g->sim);

	r->held = false;
	vmbus_hold(r->g->bus, &r->hold, held);
	while (!r->held && sim_now_ns(r->g->sim) - since < ANSWER_LIMIT) {
		if (sim_run(r->g->sim, sim_now_ns(r->g->sim) + 1000000 + draw(r, 100000000)))
			break;
		if (!draw(r, 8) && vmbus_hold_cancel(r->g->bus)) {
			r->holds_cancelled++;
			return;
		}
	}
	if (!r->held) {
		judge(r, "the channels do not stop");
		return;
	}
	save_and_restore(r);
	vmbus_go_on(r->g->bus);
}

static void drive(struct run *r, u32 requests)
{
	u32 depth = 1 + (u32)draw(r, SLOTS);
	u64 quiet_since = sim_now_ns(r->g->sim);

	while (!*r->wrong && r->answered < requests) {
		u32 busy = 0;

		for (u32 i = 0; i < SLOTS; i++) {
			if (!r->slots[i].used && i < depth && r->sent < requests)
				send_request(r, i);
			busy += r->slots[i].used;
		}
		bool nothing_more = sim_run(r->g->sim, sim_now_ns(r->g->sim) + 200000 + draw(r, 3000000));

		if (r->round_trip_in && r->round_trips < ROUND_TRIPS_MAX && !draw(r, r->round_trip_in)) {
			round_trip(r);
			nothing_more = false;
		}
		if (collect(r) || !busy)
			quiet_since = sim_now_ns(r->g->sim);
		else if (nothing_more)
			judge(r, "%u requests wait, and nothing is under way", busy);
		else if (sim_now_ns(r->g->sim) - quiet_since > ANSWER_LIMIT)
			judge(r, "no answer for %llu s, %u requests wait", ANSWER_LIMIT / SECONDS, busy);
		else if (sim_now_ns(r->g->sim) - quiet_since > 100000000) /* waiting for a time-out: the steps may be longer */
			sim_run(r->g->sim, sim_now_ns(r->g->sim) + 100000000);
	}
}

static void end(struct run *r)
{
	if (r->scsi) {
		model_send(r->g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
		sim_run(r->g->sim, sim_now_ns(r->g->sim) + ANSWER_LIMIT);
		storvsp_destroy(r->scsi);
	}
	struct vmbus *bus = r->g->bus;

	vmbus_server_destroy(bus);
	sim_destroy(r->g->sim);
	if (r->nvme)
		nvme_destroy(r->nvme);
	device_destroy(r->device);
	guest_destroy(r->g->guest);
	free(r->g);
}

static bool one_run(u64 seed, u32 requests, enum device_plant plant, bool verbose)
{
	struct run *r = calloc(1, sizeof(*r));

	r->seed = seed;
	if (!build(r)) {
		judge(r, "the machine does not come up");
	} else {
		draw_faults(r, plant);
		r->round_trip_in = draw(r, 2) || plant == PLANT_OLD_STATE ? 2 + (u32)draw(r, 20) : 0;
		r->device->plant = plant;
		r->device->plant_at = plant ? (u32)draw(r, 6) : 0;
		drive(r, requests);
		saver_fini(&r->old);
		device_power_cut(r->device);
		for (u32 i = 0; !*r->wrong && i < DEVICE_SECTORS; i++)
			check_sector(r, i, r->device->medium[i], r->sectors[i].durable, "after the power cut");
	}
	if (verbose || (*r->wrong && !plant)) {
		printf("seed %lu: %lu requests, %lu failed, %lu reads checked, %lu signals, %lu commands, %lu resets, ", seed,
		       r->answered, r->failed, r->reads_checked, r->signals, r->device->commands, r->device->resets);
		printf("%lu round trips, %lu given up;", r->round_trips, r->holds_cancelled);
		for (u32 f = 0; f < FAULTS; f++)
			if (r->device->met[f])
				printf(" %s %u", device_fault_name(f), r->device->met[f]);
		printf("%s%s\n", *r->wrong ? "; WRONG: " : "", r->wrong);
	}
	bool well = !*r->wrong;

	end(r);
	free(r);
	return well;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

int main(int argc, char **argv)
{
	static const struct option known[] = { { "seed", 1, NULL, 's' }, { "runs", 1, NULL, 'r' }, { "requests", 1, NULL, 'q' },
					       { "plant", 1, NULL, 'p' }, { "verbose", 0, NULL, 'v' }, { 0 } };
	static const char *const plants[] = { "none", "lost-flush", "misdirected-write", "lost-write", "stale-read",
		"false-good", "old-state" };
	u64 seed = 1, runs = 100, wrong = 0;
	u32 requests = 120, plant = 0;
	bool verbose = false;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'r': runs = strtoull(optarg, NULL, 0); break;
		case 'q': requests = (u32)strtoul(optarg, NULL, 0); break;
		case 'v': verbose = true; break;
		case 'p':
			for (plant = 0; plant < ARRAY_SIZE(plants) && strcmp(plants[plant], optarg);)
				plant++;
			break;
		default: plant = ARRAY_SIZE(plants);
		}
	}
	if (plant == ARRAY_SIZE(plants) || optind < argc) {
		fprintf(stderr, "Usage: sim_storage [--seed N] [--runs N] [--requests N] [--plant lost-flush|misdirected-write|"
				"lost-write|stale-read|false-good|old-state] [--verbose]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!verbose)
		log_set_sink(quiet);
	for (u64 i = 0; i < runs; i++)
		wrong += !one_run(seed + i, requests, plant, verbose);
	printf("storage: seeds %lu to %lu: %lu of %lu runs wrong%s%s\n", seed, seed + runs - 1, wrong, runs, plant ?
	       ", planted: " : "",
	       plant ? plants[plant] : "");
	return wrong != 0;
}
