/* A channel's rings: packets in, as many as there are requests for; completions out, one interrupt for many. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/storvsp/internal.h"

LOG_DOMAIN("storvsp");

static struct storvsp_request *take_free(struct storvsp_channel *c)
{
	struct storvsp_request *r = c->free;

	c->free = r->next;
	c->under_way++;
	c->max_under_way = MAX(c->max_under_way, c->under_way);
	return r;
}

static void give_back(struct storvsp_channel *c, struct storvsp_request *r)
{
	r->next = c->free;
	c->free = r;
}

static void append_completed(struct storvsp_channel *c, struct storvsp_request *r)
{
	r->next = NULL;
	*c->completed_tail = r;
	c->completed_tail = &r->next;
}

/* the end of the last request may be what a stop waits for */
void storvsp_complete(struct storvsp_request *r, u32 status)
{
	struct storvsp_channel *c = r->channel;

	r->packet.header.operation = VSTOR_COMPLETE_IO;
	r->packet.header.status = status;
	append_completed(c, r);
	c->under_way--;
	if (c->stopping && !c->under_way)
		vmbus_channel_stopped(&c->channel);
	else if (!c->stopping && !c->running)
		vmbus_channel_wake(&c->channel); /* run() looks itself before it ends */
}

void storvsp_drop_completed(struct storvsp_channel *c)
{
	while (c->completed) {
		struct storvsp_request *r = c->completed;

		c->completed = r->next;
		give_back(c, r);
	}
	c->completed_tail = &c->completed;
}

struct storvsp_request *storvsp_add_completed(struct storvsp_channel *c)
{
	struct storvsp_request *r = c->free;

	if (!r)
		return NULL;
	c->free = r->next;
	append_completed(c, r);
	return r;
}

static void broke(struct storvsp_channel *c, const char *which)
{
	c->channel.broken = true;
	c->mistakes++;
	log_guest("channel %u: the guest broke the %s ring", c->channel.relid, which);
}

/* RING_FULL: the guest is asked to say when there is room, unless it made some meanwhile */
static enum ring_status send(struct storvsp_channel *c, u16 type, u64 transaction, const void *packet, u32 len)
{
	bool signal;
	enum ring_status status = ring_write(&c->channel.out, type, 0, transaction, packet, len, NULL, 0, &signal);

	if (status == RING_FULL) {
		c->ring_full++;
		ring_want_room(&c->channel.out, len + 64);
		status = ring_write(&c->channel.out, type, 0, transaction, packet, len, NULL, 0, &signal);
		if (status == RING_FULL)
			return status;
		ring_want_room(&c->channel.out, 0);
	}
	if (status == RING_CORRUPT)
		broke(c, "outgoing");
	c->interrupt |= status == RING_OK && signal;
	return status;
}

static void flush(struct storvsp_channel *c)
{
	while (c->completed && !c->channel.broken) {
		struct storvsp_request *r = c->completed;

		if (r->answer &&
		    send(c, VMBUS_PACKET_COMPLETION, r->transaction, &r->packet, r->reply_len) != RING_OK)
			return;
		c->completed = r->next;
		if (!c->completed)
			c->completed_tail = &c->completed;
		give_back(c, r);
	}
}

static void tell_to_look(struct storvsp_channel *c)
{
	struct vstor_packet m = { .header.operation = VSTOR_ENUMERATE_BUS };

	if (c->state == PROTOCOL_READY && atomic_load_explicit(&c->rescan, memory_order_relaxed) &&
	    send(c, VMBUS_PACKET_IN_BAND, 0, &m, sizeof(m)) == RING_OK)
		atomic_store(&c->rescan, false);
}

/* one packet; false: there is none, or none can be taken now */
static bool take_packet(struct storvsp_channel *c)
{
	struct ring_received got;
	bool signal;
	enum ring_status status = ring_read_packet(&c->channel.in, c->data, sizeof(c->data), &got, &signal);

	if (status == RING_CORRUPT)
		broke(c, "incoming");
	if (status != RING_OK)
		return false;
	c->interrupt |= signal;
	c->packets++;
	if (got.type != VMBUS_PACKET_IN_BAND && got.type != VMBUS_PACKET_GPA_DIRECT) {
		c->mistakes++;
		log_guest("channel %u: packet of type %u", c->channel.relid, got.type);
		return true;
	}
	struct storvsp_request *r = take_free(c);

	r->transaction = got.transaction_id;
	r->answer = got.flags & VMBUS_PACKET_FLAG_COMPLETION_REQUESTED;
	r->reply_len = sizeof(r->packet);
	storvsp_handle(r, bytes_of(c->data, got.head_len), bytes_of(c->data + got.head_len, got.len),
		       got.type == VMBUS_PACKET_GPA_DIRECT);
	return true;
}

/*
 * While the ring is worked on the guest need not signal; the second look is for what it wrote before it saw that again. A busy
 * channel stays masked: each completion looks at the ring again, and the timer if none comes. true: there may be more, and the
 * ring is still masked.
 */
static bool take_packets(struct storvsp_channel *c)
{
	unsigned taken = 0;

	ring_mask(&c->channel.in, true);
	for (;;) {
		while (taken < CHANNEL_BATCH && c->free && take_packet(c))
			taken++;
		if (taken == CHANNEL_BATCH || !c->free || c->channel.broken)
			return true;
		if (c->under_way >= CHANNEL_BUSY) {
			if (!c->look.slot)
				timer_arm(c->channel.exec, &c->look, exec_now_ns(c->channel.exec) + CHANNEL_LOOK_NS);
			return false;
		}
		ring_mask(&c->channel.in, false);
		if (!ring_readable(&c->channel.in))
			return false;
		ring_mask(&c->channel.in, true);
	}
}

static void look(struct timer *timer)
{
	struct storvsp_channel *c = container_of(timer, struct storvsp_channel, look);

	c->looks++;
	vmbus_channel_wake(&c->channel);
}

static void run(struct vmbus_channel *channel)
{
	struct storvsp_channel *c = storvsp_channel_of(channel);
	bool more = false;

	if (c->stopping || channel->broken)
		return;
	c->batches++;
	c->running = true;
	flush(c);
	if (!c->completed) /* while answers wait for room no more work is taken on: the guest signals when it made some */
		more = take_packets(c);
	flush(c);
	c->running = false;
	if (more && c->free && !channel->broken) /* without a free request the next completion wakes us */
		vmbus_channel_wake(channel);
	tell_to_look(c);
	if (c->interrupt) {
		c->interrupt = false;
		vmbus_channel_interrupt(channel);
	}
}

static void start(struct vmbus_channel *channel, bool fresh)
{
	struct storvsp_channel *c = storvsp_channel_of(channel);

	c->stopping = false;
	if (!fresh)
		return;
	storvsp_drop_completed(c);
	c->state = c->is_sub ? PROTOCOL_READY : PROTOCOL_NEW;
	c->version = c->is_sub ? VSTOR_VERSION_BLUE : 0;
	c->interrupt = false;
}

static void stop(struct vmbus_channel *channel)
{
	struct storvsp_channel *c = storvsp_channel_of(channel);

	c->stopping = true;
	timer_disarm(channel->exec, &c->look);
	if (!c->under_way)
		vmbus_channel_stopped(channel);
}

static void closed(struct vmbus_channel *channel)
{
	storvsp_channel_closed(storvsp_channel_of(channel));
}

static void gone(struct vmbus_channel *channel)
{
	storvsp_channel_gone(storvsp_channel_of(channel));
}

const struct vmbus_channel_ops storvsp_channel_ops = {
	.start = start, .run = run, .stop = stop, .closed = closed, .gone = gone, .save = storvsp_channel_save,
	.restore = storvsp_channel_restore, .create_sub = storvsp_create_sub,
};

struct storvsp_channel *storvsp_channel_create(struct storvsp *s, unsigned sub_index)
{
	struct storvsp_channel *c = calloc(1, sizeof(*c));

	if (c)
		c->requests = calloc(CHANNEL_REQUESTS, sizeof(*c->requests));
	if (!c || !c->requests) {
		log_err(-ENOMEM, "storage channel");
		free(c);
		return NULL;
	}
	c->owner = s;
	c->is_sub = sub_index != 0;
	c->channel.ops = &storvsp_channel_ops;
	c->channel.name = "scsi";
	c->channel.interface = STORVSP_SCSI_INTERFACE;
	c->channel.instance = s->instance;
	c->channel.sub_index = (u16)sub_index;
	c->completed_tail = &c->completed;
	c->look.fire = look;
	for (unsigned i = 0; i < CHANNEL_REQUESTS; i++) {
		c->requests[i].channel = c;
		give_back(c, &c->requests[i]);
	}
	return c;
}

void storvsp_channel_destroy(struct storvsp_channel *c)
{
	if (!c)
		return;
	free(c->requests);
	free(c);
}

void storvsp_channel_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "new", "begun", "version", "properties", "ready" };
	struct storvsp_channel *c = object;

	inspect_u64(in, "relid", c->channel.relid);
	inspect_str(in, "state", states[c->state]);
	inspect_hex(in, "version", c->version);
	inspect_u64(in, "vp", c->channel.vp);
	inspect_u64(in, "under_way", c->under_way);
	inspect_u64(in, "max_under_way", c->max_under_way);
	inspect_bool(in, "answers_wait", c->completed != NULL);
	inspect_count(in, "batches", c->batches);
	inspect_count(in, "looks", c->looks);
	inspect_count(in, "packets", c->packets);
	inspect_count(in, "interrupts", atomic_load(&c->channel.interrupts_sent));
	inspect_count(in, "ring_full", c->ring_full);
	inspect_count(in, "mistakes", c->mistakes);
}
