#include "host/vmbus/channel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/bytes.h"
#include "lib/core/check.h"
#include "lib/log/log.h"

LOG_DOMAIN("vmbus");

#define RELID_MAX 128
#define GPADL_MAX 256
#define GPADL_PAGES_MAX 8192 /* 32 MiB of ring */
#define QUEUE_MAX 128
#define STATUS_INVALID_PARAMETER 0xC000000Du

struct gpadl {
	u32 id, relid, count, got;
	u8 **pages;
};

struct vmbus {
	struct loop *loop;
	struct vmbus_io io;
	struct channel *channels[RELID_MAX]; /* by relid; 0 is none */
	u32 last_relid;
	struct gpadl gpadls[GPADL_MAX];
	u32 version, contact_vp;
	bool contacted, offers_requested;
	void (*on_connect)(void *ctx, const struct guid *, const struct guid *);
	void *on_connect_ctx;

	_Atomic u64 relids_used[RELID_MAX / 64], signalled[RELID_MAX / 64]; /* all that VPs see of channels */
	pthread_mutex_t lock; /* the queue: filled by VPs */
	struct hv_post_message queue[QUEUE_MAX];
	u32 first, count;
	struct loop_work messages, signals;
};

static void handle_messages(struct loop_work *work);
static void handle_signals(struct loop_work *work);

struct vmbus *vmbus_create(struct loop *loop, const struct vmbus_io *io)
{
	struct vmbus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->loop = loop;
	bus->io = *io;
	bus->messages.run = handle_messages;
	bus->signals.run = handle_signals;
	pthread_mutex_init(&bus->lock, NULL);
	return bus;
}

void vmbus_on_connect_request(struct vmbus *bus, void (*fn)(void *, const struct guid *, const struct guid *), void *ctx)
{
	bus->on_connect = fn;
	bus->on_connect_ctx = ctx;
}

bool vmbus_connected(struct vmbus *bus)
{
	return bus->offers_requested;
}

u32 vmbus_version(struct vmbus *bus)
{
	return bus->version;
}

static void send(struct vmbus *bus, const void *message, u32 len)
{
	if (!bus->io.post(bus->io.ctx, bus->contact_vp, VMBUS_SINT, message, len))
		log_guest("the guest takes no messages: one of type %u is lost", *(const u32 *)message);
}

/* ---- GPADLs */

static struct gpadl *gpadl_find(struct vmbus *bus, u32 id)
{
	for (u32 i = 0; i < GPADL_MAX; i++)
		if (bus->gpadls[i].pages && bus->gpadls[i].id == id)
			return &bus->gpadls[i];
	return NULL;
}

static void gpadl_free(struct gpadl *g)
{
	free(g->pages);
	memset(g, 0, sizeof(*g));
}

static void gpadl_created(struct vmbus *bus, u32 relid, u32 id, u32 status)
{
	struct vmbus_gpadl_created m = { { VMBUS_GPADL_CREATED, 0 }, relid, id, status };

	send(bus, &m, sizeof(m));
}

static void gpadl_take(struct vmbus *bus, struct gpadl *g, struct bytes *b)
{
	u64 pfn;

	while (g->got < g->count && bytes_u64(b, &pfn)) {
		u8 *page = pfn < 1ull << 40 ? bus->io.memory(bus->io.ctx, pfn << PAGE_SHIFT, PAGE_SIZE) : NULL;

		if (!page) {
			log_guest("GPADL %#x names page %#lx, which is no memory of the guest", g->id, pfn);
			gpadl_created(bus, g->relid, g->id, STATUS_INVALID_PARAMETER);
			gpadl_free(g);
			return;
		}
		g->pages[g->got++] = page;
	}
	if (g->got == g->count)
		gpadl_created(bus, g->relid, g->id, 0);
}

static void on_gpadl_header(struct vmbus *bus, struct bytes b)
{
	u32 relid, id, byte_count, byte_offset;
	u16 range_len, range_count;

	if (!bytes_skip(&b, 8) || !bytes_u32(&b, &relid) || !bytes_u32(&b, &id) || !bytes_u16(&b, &range_len) ||
	    !bytes_u16(&b, &range_count) || !bytes_u32(&b, &byte_count) || !bytes_u32(&b, &byte_offset))
		return;
	struct gpadl *g = NULL;

	for (u32 i = 0; i < GPADL_MAX && !g; i++)
		if (!bus->gpadls[i].pages)
			g = &bus->gpadls[i];
	u32 count = range_len >= 16 ? (range_len - 8u) / 8 : 0;
	bool fits = (u64)byte_offset + byte_count <= (u64)count * PAGE_SIZE;

	if (!g || gpadl_find(bus, id) || range_count != 1 || byte_offset >= PAGE_SIZE || !count ||
	    count > GPADL_PAGES_MAX || !fits) {
		log_guest("GPADL %#x refused: %u ranges, %u pages", id, range_count, count);
		gpadl_created(bus, relid, id, STATUS_INVALID_PARAMETER);
		return;
	}
	*g = (struct gpadl){ .id = id, .relid = relid, .count = count, .pages = calloc(count, sizeof(*g->pages)) };
	if (!g->pages) {
		gpadl_created(bus, relid, id, STATUS_INVALID_PARAMETER);
		return;
	}
	gpadl_take(bus, g, &b);
}

static void on_gpadl_body(struct vmbus *bus, struct bytes b)
{
	u32 number, id; /* the number is always 0 from Linux: order decides */

	if (!bytes_skip(&b, 8) || !bytes_u32(&b, &number) || !bytes_u32(&b, &id))
		return;
	struct gpadl *g = gpadl_find(bus, id);

	if (g && g->got < g->count)
		gpadl_take(bus, g, &b);
}

/* ---- channels */

static struct channel *by_relid(struct vmbus *bus, u32 relid)
{
	return relid && relid < RELID_MAX ? bus->channels[relid] : NULL;
}

static void send_offer(struct channel *c)
{
	struct vmbus_offer m = {
		.header.type = VMBUS_OFFER, .interface = c->interface, .instance = c->instance, .flags = c->flags,
		.relid = c->relid, .monitor_id = VMBUS_NO_MONITOR, .dedicated_interrupt = 1,
		.connection_id = VMBUS_CHANNEL_CONNECTION(c->relid, VMBUS_SINT, 2),
	};

	memcpy(m.user, c->user, sizeof(m.user));
	c->state = CHANNEL_OFFERED;
	send(c->bus, &m, sizeof(m));
}

int channel_offer(struct vmbus *bus, struct channel *c)
{
	CHECK(c->state == CHANNEL_IDLE);
	for (u32 i = 1; i < RELID_MAX; i++) {
		u32 relid = 1 + (bus->last_relid + i - 1) % (RELID_MAX - 1);

		if (bus->channels[relid])
			continue;
		bus->last_relid = relid;
		bus->channels[relid] = c;
		atomic_fetch_or(&bus->relids_used[relid / 64], 1ull << relid % 64);
		c->bus = bus;
		c->relid = relid;
		if (bus->offers_requested)
			send_offer(c);
		return 0;
	}
	return log_err(-ENOSPC, "no room for channel %s: %u are offered", c->name, RELID_MAX - 1);
}

static void close_channel(struct channel *c)
{
	if (c->state != CHANNEL_OPEN && !c->in.pages)
		return;
	memset(&c->in, 0, sizeof(c->in));
	memset(&c->out, 0, sizeof(c->out));
	if (c->state == CHANNEL_OPEN)
		c->state = CHANNEL_OFFERED;
	if (c->ops->closed)
		c->ops->closed(c);
}

static void release_channel(struct channel *c)
{
	struct vmbus *bus = c->bus;

	close_channel(c);
	for (u32 i = 0; i < GPADL_MAX; i++)
		if (bus->gpadls[i].pages && bus->gpadls[i].relid == c->relid)
			gpadl_free(&bus->gpadls[i]);
	bus->channels[c->relid] = NULL;
	atomic_fetch_and(&bus->relids_used[c->relid / 64], ~(1ull << c->relid % 64));
	c->state = CHANNEL_IDLE;
	c->relid = 0;
	if (c->ops->released)
		c->ops->released(c);
}

void channel_rescind(struct channel *c)
{
	struct vmbus_relid m = { { VMBUS_RESCIND, 0 }, c->relid };

	if (c->state == CHANNEL_RESCINDED || !c->relid)
		return;
	if (c->state == CHANNEL_IDLE) { /* the guest never saw it */
		release_channel(c);
		return;
	}
	/* rings are not touched from here on; their pages stay known until the guest releases the relid */
	memset(&c->in, 0, sizeof(c->in));
	memset(&c->out, 0, sizeof(c->out));
	c->state = CHANNEL_RESCINDED;
	send(c->bus, &m, sizeof(m));
}

static void on_open(struct vmbus *bus, struct bytes b)
{
	struct vmbus_open m;

	if (!bytes_copy(&b, &m, offsetof(struct vmbus_open, user)))
		return;
	struct channel *c = by_relid(bus, m.relid);
	struct gpadl *g = gpadl_find(bus, m.gpadl);
	struct vmbus_open_result result = { { VMBUS_OPEN_RESULT, 0 }, m.relid, m.open_id, STATUS_INVALID_PARAMETER };

	if (!c || c->state != CHANNEL_OFFERED) {
		log_guest("open of channel %u, which is not on offer", m.relid);
		if (!c || c->state != CHANNEL_RESCINDED)
			send(bus, &result, sizeof(result));
		return;
	}
	if (g && g->got == g->count && m.downstream_page < g->count &&
	    !ring_init(&c->in, g->pages, m.downstream_page, true) &&
	    !ring_init(&c->out, g->pages + m.downstream_page, g->count - m.downstream_page, false)) {
		c->gpadl = m.gpadl;
		c->target_vp = m.target_vp < bus->io.vp_count ? m.target_vp : 0;
		c->state = CHANNEL_OPEN;
		result.status = 0;
	} else {
		memset(&c->in, 0, sizeof(c->in));
		log_guest("open of channel %s refused: GPADL %#x, rings split at page %u", c->name, m.gpadl, m.downstream_page);
	}
	send(bus, &result, sizeof(result));
	if (!result.status && c->ops->opened)
		c->ops->opened(c);
}

static void on_close(struct vmbus *bus, struct bytes b)
{
	struct vmbus_relid m;
	struct channel *c = bytes_copy(&b, &m, sizeof(m)) ? by_relid(bus, m.relid) : NULL;

	if (c)
		close_channel(c);
}

static void on_gpadl_teardown(struct vmbus *bus, struct bytes b)
{
	struct vmbus_gpadl_teardown m;

	if (!bytes_copy(&b, &m, sizeof(m)))
		return;
	struct gpadl *g = gpadl_find(bus, m.gpadl);
	struct channel *c = g ? by_relid(bus, g->relid) : NULL;
	struct vmbus_gpadl_torndown reply = { { VMBUS_GPADL_TORNDOWN, 0 }, m.gpadl };

	if (c && c->state == CHANNEL_OPEN && c->gpadl == m.gpadl)
		close_channel(c); /* its rings live there */
	if (g)
		gpadl_free(g);
	send(bus, &reply, sizeof(reply));
}

static void on_relid_released(struct vmbus *bus, struct bytes b)
{
	struct vmbus_relid m;
	struct channel *c = bytes_copy(&b, &m, sizeof(m)) ? by_relid(bus, m.relid) : NULL;

	if (c && c->state == CHANNEL_RESCINDED)
		release_channel(c);
}

/* ---- connection */

static void on_initiate_contact(struct vmbus *bus, struct bytes b)
{
	struct vmbus_initiate_contact m = { 0 };

	if (!bytes_copy(&b, &m, MIN(b.left, sizeof(m))) || b.left > 200)
		return;
	struct vmbus_version_response r = { { VMBUS_VERSION_RESPONSE, 0 }, 0, 0, 0, VMBUS_CONNECTION_MULTI_CLIENT };

	r.supported = m.version <= VMBUS_VERSION_COPPER && m.version >= VMBUS_VERSION(2, 4);
	bus->contact_vp = m.target_vp < bus->io.vp_count ? m.target_vp : 0;
	if (r.supported) {
		vmbus_reset(bus);
		bus->version = m.version;
		bus->contacted = true;
	}
	send(bus, &r, sizeof(r));
}

static void on_request_offers(struct vmbus *bus)
{
	struct vmbus_header done = { VMBUS_ALL_OFFERS_DELIVERED, 0 };

	bus->offers_requested = true;
	for (u32 i = 1; i < RELID_MAX; i++)
		if (bus->channels[i] && bus->channels[i]->state == CHANNEL_IDLE)
			send_offer(bus->channels[i]);
	send(bus, &done, sizeof(done));
}

static void on_modify_channel(struct vmbus *bus, struct bytes b)
{
	struct vmbus_modify_channel m;
	struct channel *c = bytes_copy(&b, &m, sizeof(m)) ? by_relid(bus, m.relid) : NULL;

	if (!c)
		return;
	bool good = m.target_vp < bus->io.vp_count;
	struct vmbus_modify_channel_response r = {
		{VMBUS_MODIFY_CHANNEL_RESPONSE, 0}, m.relid, good ? 0 : STATUS_INVALID_PARAMETER};

	if (good)
		c->target_vp = m.target_vp;
	if (bus->version >= VMBUS_VERSION_IRON)
		send(bus, &r, sizeof(r));
}

static void on_tl_connect(struct vmbus *bus, struct bytes b)
{
	struct vmbus_tl_connect_request m;

	if (bytes_copy(&b, &m, sizeof(m)) && bus->on_connect)
		bus->on_connect(bus->on_connect_ctx, &m.endpoint, &m.service);
}

void vmbus_connect_result(struct vmbus *bus, const struct guid *endpoint, const struct guid *service, u32 status)
{
	struct vmbus_tl_connect_result m = { { VMBUS_TL_CONNECT_RESULT, 0 }, *endpoint, *service, status };

	send(bus, &m, sizeof(m));
}

static void handle(struct vmbus *bus, const struct hv_post_message *m)
{
	struct bytes b = bytes_of(m->payload, m->payload_size);
	u32 type;

	if (m->payload_size < sizeof(struct vmbus_header))
		return;
	memcpy(&type, m->payload, sizeof(type));
	switch (type) {
	case VMBUS_INITIATE_CONTACT: on_initiate_contact(bus, b); return;
	case VMBUS_REQUEST_OFFERS: on_request_offers(bus); return;
	case VMBUS_GPADL_HEADER: on_gpadl_header(bus, b); return;
	case VMBUS_GPADL_BODY: on_gpadl_body(bus, b); return;
	case VMBUS_GPADL_TEARDOWN: on_gpadl_teardown(bus, b); return;
	case VMBUS_OPEN: on_open(bus, b); return;
	case VMBUS_CLOSE: on_close(bus, b); return;
	case VMBUS_RELID_RELEASED: on_relid_released(bus, b); return;
	case VMBUS_MODIFY_CHANNEL: on_modify_channel(bus, b); return;
	case VMBUS_TL_CONNECT_REQUEST: on_tl_connect(bus, b); return;
	case VMBUS_UNLOAD: {
		struct vmbus_header done = { VMBUS_UNLOAD_COMPLETE, 0 };

		vmbus_reset(bus);
		send(bus, &done, sizeof(done));
		return;
	}
	}
	log_guest("VMBus message of type %u ignored", type);
}

void vmbus_reset(struct vmbus *bus)
{
	bus->offers_requested = bus->contacted = false;
	for (u32 i = 1; i < RELID_MAX; i++) {
		struct channel *c = bus->channels[i];

		if (!c)
			continue;
		bool rescinded = c->state == CHANNEL_RESCINDED;

		close_channel(c);
		rescinded |= c->state == CHANNEL_RESCINDED; /* closed() may have had enough of it */
		c->state = CHANNEL_IDLE;
		if (rescinded)
			release_channel(c);
	}
	for (u32 i = 0; i < GPADL_MAX; i++)
		if (bus->gpadls[i].pages)
			gpadl_free(&bus->gpadls[i]);
}

void vmbus_destroy(struct vmbus *bus)
{
	if (!bus)
		return;
	vmbus_reset(bus);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

/* ---- from the VPs */

u16 vmbus_post_message(struct vmbus *bus, const struct hv_post_message *message)
{
	u16 status = HV_STATUS_SUCCESS;

	if (message->connection_id != VMBUS_CONNECTION_LEGACY && message->connection_id != VMBUS_CONNECTION_MULTI_CLIENT &&
	    message->connection_id != VMBUS_CONNECTION_REDIRECT_VTL2)
		return HV_STATUS_INVALID_CONNECTION_ID;
	pthread_mutex_lock(&bus->lock);
	if (bus->count == QUEUE_MAX)
		status = HV_STATUS_INSUFFICIENT_BUFFERS; /* the guest tries again */
	else
		bus->queue[(bus->first + bus->count++) % QUEUE_MAX] = *message;
	pthread_mutex_unlock(&bus->lock);
	loop_post(bus->loop, &bus->messages);
	return status;
}

static void handle_messages(struct loop_work *work)
{
	struct vmbus *bus = container_of(work, struct vmbus, messages);

	for (u32 i = 0; i < QUEUE_MAX; i++) {
		struct hv_post_message m;

		pthread_mutex_lock(&bus->lock);
		bool any = bus->count;

		if (any) {
			m = bus->queue[bus->first];
			bus->first = (bus->first + 1) % QUEUE_MAX;
			bus->count--;
		}
		pthread_mutex_unlock(&bus->lock);
		if (!any)
			return;
		handle(bus, &m);
	}
	loop_post(bus->loop, work); /* more may have come meanwhile, without end: others have a turn first */
}

u16 vmbus_signal_event(struct vmbus *bus, u32 connection)
{
	u32 relid = connection & 0xfff;

	if (relid >= RELID_MAX || !(atomic_load(&bus->relids_used[relid / 64]) >> relid % 64 & 1) ||
	    connection != VMBUS_CHANNEL_CONNECTION(relid, VMBUS_SINT, 2))
		return HV_STATUS_INVALID_CONNECTION_ID;
	atomic_fetch_or(&bus->signalled[relid / 64], 1ull << relid % 64);
	loop_post(bus->loop, &bus->signals);
	return HV_STATUS_SUCCESS;
}

void channel_again(struct channel *c)
{
	atomic_fetch_or(&c->bus->signalled[c->relid / 64], 1ull << c->relid % 64);
	loop_post(c->bus->loop, &c->bus->signals);
}

static void handle_signals(struct loop_work *work)
{
	struct vmbus *bus = container_of(work, struct vmbus, signals);

	for (u32 word = 0; word < RELID_MAX / 64; word++) {
		u64 pending = atomic_exchange(&bus->signalled[word], 0);

		for (; pending; pending &= pending - 1) {
			struct channel *c = bus->channels[word * 64 + (u32)__builtin_ctzll(pending)];

			if (!c)
				continue;
			c->signals_in++;
			if (c->state == CHANNEL_OPEN && c->ops->signalled)
				c->ops->signalled(c);
		}
	}
}

/* ---- rings */

static void signal_guest(struct channel *c)
{
	c->signals_out++;
	c->bus->io.signal(c->bus->io.ctx, c->target_vp, VMBUS_SINT, (u16)c->relid);
}

enum ring_status channel_send(struct channel *c, u16 type, u16 flags, u64 transaction_id, const void *head, u32 head_len,
			      const void *body, u32 body_len)
{
	bool signal;

	if (c->state != CHANNEL_OPEN)
		return RING_CORRUPT;
	enum ring_status status = ring_write(&c->out, type, flags, transaction_id, head, head_len, body, body_len, &signal);

	if (status == RING_OK)
		c->packets_out++;
	if (signal)
		signal_guest(c);
	return status;
}

enum ring_status channel_send_pipe(struct channel *c, const void *data, u32 len)
{
	struct vmbus_pipe_header head = { VMBUS_PIPE_DATA, len };

	return channel_send(c, VMBUS_PACKET_IN_BAND, 0, 0, &head, sizeof(head), data, len);
}

enum ring_status channel_receive(struct channel *c, void *data, u32 max, struct ring_received *ret)
{
	bool signal;

	if (c->state != CHANNEL_OPEN)
		return RING_EMPTY;
	enum ring_status status = ring_read(&c->in, data, max, ret, &signal);

	if (status == RING_OK)
		c->packets_in++;
	if (signal)
		signal_guest(c);
	if (status == RING_CORRUPT)
		log_guest("channel %s: the guest's ring holds no packet where one should be; the channel rests", c->name);
	return status;
}

void vmbus_for_each(struct vmbus *bus, void (*fn)(struct channel *c, void *ctx), void *ctx)
{
	for (u32 i = 1; i < RELID_MAX; i++)
		if (bus->channels[i])
			fn(bus->channels[i], ctx);
}
