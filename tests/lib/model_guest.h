/* A VTL0 for tests of the VMBus server: memory, VPs as simulated executors, message slots, and what it was told. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lib/task/exec_sim.h"
#include "spec/hv.h"
#include "vmm/vmbus/vmbus.h"

#ifndef MODEL_VPS
#define MODEL_VPS 2u
#endif
#define MODEL_MESSAGES 600u
#define MODEL_RING_PAGES 4u

struct model_guest {
	struct sim *sim;
	struct exec *home, *vps[MODEL_VPS];
	struct guest *guest;
	struct vmbus *bus;
	struct hv_message messages[MODEL_MESSAGES];
	unsigned count, read;
	unsigned busy;       /* so many posts find the slot taken */
	bool wanted;         /* want_slot() was called */
	u16 post_status;
	unsigned interrupts[VMBUS_RELIDS], last_vp;
};

static inline u16 model_post(void *ctx, u32 vp, u8 sint, const struct hv_message *m)
{
	struct model_guest *g = ctx;

	if (g->busy) {
		g->busy--;
		return HV_STATUS_OBJECT_IN_USE;
	}
	if (!g->post_status && g->count < MODEL_MESSAGES)
		g->messages[g->count++] = *m;
	return g->post_status;
}

static inline void model_want(void *ctx, u32 vp, u8 sint)
{
	((struct model_guest *)ctx)->wanted = true;
}

static inline void model_signalled(void *ctx, u32 vp, u8 sint, u16 flag)
{
	struct model_guest *g = ctx;

	g->interrupts[flag % VMBUS_RELIDS]++;
	g->last_vp = vp;
}

static inline struct exec *model_exec(void *ctx, u32 vp)
{
	return ((struct model_guest *)ctx)->vps[vp];
}

static inline struct model_guest *model_create(u64 seed)
{
	struct model_guest *g = calloc(1, sizeof(*g));
	const struct vmbus_io io = { model_post, model_want, model_signalled, model_exec, g, MODEL_VPS };

	g->sim = sim_create(seed);
	g->home = sim_exec(g->sim, "home");
	for (unsigned i = 0; i < MODEL_VPS; i++)
		g->vps[i] = sim_exec(g->sim, "vp");
	if (guest_create_fake(4 * MiB, 0, &g->guest))
		abort();
	g->bus = vmbus_server_create(&io, g->guest, g->home);
	return g;
}

static inline void model_run(struct model_guest *g)
{
	sim_run(g->sim, sim_now_ns(g->sim) + 1000000000);
}

static inline void model_destroy(struct model_guest *g)
{
	vmbus_server_destroy(g->bus);
	guest_destroy(g->guest);
	sim_destroy(g->sim);
	free(g);
}

static inline u16 model_send(struct model_guest *g, const void *message, u32 len)
{
	u16 status = vmbus_post(g->bus, VMBUS_CONNECTION_MULTI_CLIENT, HVMSG_VMBUS, message, len);

	model_run(g);
	return status;
}

/* the next message if it is of that type, else NULL */
static inline const void *model_next(struct model_guest *g, u32 type)
{
	u32 got;

	if (g->read == g->count)
		return NULL;
	memcpy(&got, g->messages[g->read].payload, 4);
	return got == type ? g->messages[g->read++].payload : NULL;
}

static inline bool model_connect(struct model_guest *g, u32 version)
{
	struct vmbus_initiate_contact m = { .header.type = VMBUS_INITIATE_CONTACT, .version = version, .sint = VMBUS_SINT };
	const struct vmbus_version_response *r;

	if (version < VMBUS_VERSION_WIN10_V5)
		m.sint = 0;
	model_send(g, &m, sizeof(m));
	r = model_next(g, VMBUS_VERSION_RESPONSE);
	return r && r->supported;
}

static inline void model_request_offers(struct model_guest *g)
{
	model_send(g, &(struct vmbus_header){ VMBUS_REQUEST_OFFERS, 0 }, 8);
}

/* pages first, first + 1, ... as one GPADL, in one message */
static inline void model_gpadl(struct model_guest *g, u32 relid, u32 id, u64 first, u32 pages)
{
	struct vmbus_gpadl_header m = { .header.type = VMBUS_GPADL_HEADER, .relid = relid, .gpadl = id,
					.range_len = (u16)(8 + 8 * pages), .range_count = 1, .byte_count = pages * PAGE_SIZE };

	for (u32 i = 0; i < pages && i < 26; i++)
		m.pages[i] = first + i;
	model_send(g, &m, 28 + 8 * MIN(pages, 26u));
}

struct model_channel {
	struct ring out, in; /* to the server, from it */
	u8 *pages[2 * MODEL_RING_PAGES];
	u32 relid;
};

/* rings at page `first`, GPADL id = relid; the guest's sides of them */
static inline bool model_open(struct model_guest *g, struct model_channel *c, u32 relid, u32 vp, u64 first)
{
	struct vmbus_open m = { .header.type = VMBUS_OPEN, .relid = relid, .open_id = relid, .gpadl = relid, .target_vp = vp,
				.downstream_page = MODEL_RING_PAGES };
	const struct vmbus_gpadl_created *created;
	const struct vmbus_open_result *result;
	struct iovec iov;

	c->relid = relid;
	for (u32 i = 0; i < 2 * MODEL_RING_PAGES; i++) {
		if (guest_iovec(g->guest, (first + i) << PAGE_SHIFT, PAGE_SIZE, &iov))
			abort();
		c->pages[i] = iov.iov_base;
		memset(c->pages[i], 0, PAGE_SIZE);
	}
	if (ring_init(&c->out, c->pages, MODEL_RING_PAGES, false) ||
	    ring_init(&c->in, c->pages + MODEL_RING_PAGES, MODEL_RING_PAGES, true))
		abort();
	model_gpadl(g, relid, relid, first, 2 * MODEL_RING_PAGES);
	created = model_next(g, VMBUS_GPADL_CREATED);
	if (!created || created->status)
		return false;
	model_send(g, &m, sizeof(m));
	result = model_next(g, VMBUS_OPEN_RESULT);
	return result && !result->status;
}

/*
 * A packet into the outgoing ring that wants its completion: GPA-direct with one range of len bytes, offset into pages that
 * follow one another, or in-band when len is 0. true: Linux would signal now: the server does not look by itself, and had read
 * everything.
 */
static inline bool model_put(struct model_channel *c, u64 transaction, const void *packet, u32 packet_len, u64 first_page,
			     u32 offset, u32 len)
{
	static u8 room[8 * MODEL_RING_PAGES * PAGE_SIZE];
	struct vmbus_ring_control *control = (struct vmbus_ring_control *)c->pages[0];
	u32 pages = len ? (offset + len + PAGE_SIZE - 1) / PAGE_SIZE : 0, head = len ? 16 + 8 * pages : 0, at = c->out.own_index;
	u32 words[4] = { 0, 1, len, offset }, total = ALIGN_UP(16 + head + packet_len, 8u);
	u32 size = (MODEL_RING_PAGES - 1) * PAGE_SIZE;
	struct vmbus_packet d = { .type = len ? VMBUS_PACKET_GPA_DIRECT : VMBUS_PACKET_IN_BAND,
				  .data_offset8 = (u16)((16 + head) / 8), .length8 = (u16)(total / 8),
				  .flags = VMBUS_PACKET_FLAG_COMPLETION_REQUESTED, .transaction_id = transaction };

	memcpy(room, &d, 16);
	memcpy(room + 16, words, head ? 16 : 0);
	for (u32 i = 0; i < pages; i++)
		memcpy(room + 32 + 8 * i, &(u64){ first_page + i }, 8);
	memcpy(room + 16 + head, packet, packet_len);
	memset(room + 16 + head + packet_len, 0, 16);
	for (u32 i = 0; i < total + 8; i++)
		c->pages[1 + (at + i) % size / PAGE_SIZE][(at + i) % PAGE_SIZE] = room[i];
	c->out.own_index = (at + total + 8) % size;
	control->write_index = c->out.own_index;
	return !control->interrupt_mask && at == control->read_index;
}

static inline void model_close(struct model_guest *g, u32 relid)
{
	struct vmbus_relid close = { { VMBUS_CLOSE, 0 }, relid };
	struct vmbus_gpadl_teardown teardown = { { VMBUS_GPADL_TEARDOWN, 0 }, relid, relid };

	model_send(g, &close, sizeof(close));
	model_send(g, &teardown, sizeof(teardown));
}

static inline u16 model_signal(struct model_guest *g, u32 relid)
{
	u16 status = vmbus_signal(g->bus, VMBUS_CHANNEL_CONNECTION(relid, VMBUS_SINT, 0), 0);

	model_run(g);
	return status;
}

/* connected, all offers taken, of which there must be one, and its channel open at pages 16 and on */
static inline bool model_connect_and_open(struct model_guest *g, struct model_channel *c, u32 vp)
{
	if (!model_connect(g, VMBUS_VERSION_IRON))
		return false;
	model_request_offers(g);
	return model_next(g, VMBUS_OFFER) && model_next(g, VMBUS_ALL_OFFERS_DELIVERED) && model_open(g, c, 1, vp, 16);
}
