/*
 * The server as saved state. What lies in the guest's memory, rings and buffers, is not in it: devices have stopped, and go on
 * with it where they were.
 */
#include <errno.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/vmbus/internal.h"

LOG_DOMAIN("vmbus");

#define TAG_SERVER STATE_TAG('V', 'M', 'B', 'S')
#define TAG_CONNECTION STATE_TAG('C', 'O', 'N', 'N')

void vmbus_held(struct vmbus *bus)
{
	struct op *op = bus->held_op;

	for (u32 i = 1; i < VMBUS_RELIDS; i++)
		if (bus->channels[i] && bus->channels[i]->state == CHANNEL_STOPPING)
			return;
	bus->held_op = NULL;
	if (op)
		exec_post(bus->home, op, bus->held_fn, 0);
}

void vmbus_hold(struct vmbus *bus, struct op *op, void (*held)(struct op *, int))
{
	CHECK(!bus->held);
	bus->held = true;
	bus->held_op = op;
	bus->held_fn = held;
	channel_hold_all(bus);
	vmbus_held(bus);
}

void vmbus_go_on(struct vmbus *bus)
{
	bus->held = false;
	channel_go_on_all(bus);
	task_wake(&bus->send_task);
}

bool vmbus_hold_cancel(struct vmbus *bus)
{
	if (!bus->held_op)
		return false;
	bus->held_op = NULL;
	vmbus_go_on(bus);
	return true;
}

void vmbus_save(struct vmbus *bus, struct saver *s)
{
	size_t mark = saver_open(s, TAG_SERVER, 1, 0), part;

	CHECK(bus->held && !bus->held_op && bus->after_reset == RESET_NONE); /* a reset ends with the last channel that stops */
	part = saver_open(s, TAG_CONNECTION, 1, 0);
	saver_u32(s, bus->version);
	saver_u32(s, bus->message_vp);
	saver_u8(s, bus->offers_requested);
	saver_close(s, part);
	list_for_each(node, &bus->gpadls)
		gpadl_save(container_of(node, struct gpadl, link), s);
	channel_save_all(bus, s);
	message_save_all(bus, s);
	saver_close(s, mark);
}

static int restore_connection(struct vmbus *bus, struct bytes b)
{
	u8 requested;

	if (!bytes_u32(&b, &bus->version) || !bytes_u32(&b, &bus->message_vp) || !bytes_u8(&b, &requested) ||
	    bus->message_vp >= bus->io.vp_count)
		return -EPROTO;
	bus->offers_requested = requested;
	return 0;
}

static int restore_gpadls(struct vmbus *bus, struct loader l)
{
	struct record record;
	int r;

	while ((r = loader_next(&l, &record)) > 0) {
		if (record.tag != TAG_GPADL)
			continue;
		r = record.version == 1 ? gpadl_restore(bus, record.body) : -ENOTSUP;
		if (r)
			return r;
	}
	return r;
}

/* in front of what restored channels have to say themselves */
static int restore_messages(struct vmbus *bus, struct loader l)
{
	struct record record;
	int r;

	while ((r = loader_next(&l, &record)) > 0) {
		if (record.tag != TAG_MESSAGE)
			continue;
		if (record.version != 1 || record.body.left > HV_MESSAGE_PAYLOAD_LEN)
			return -EPROTO;
		vmbus_send(bus, record.body.at, (u32)record.body.left);
	}
	return r;
}

int vmbus_restore(struct vmbus *bus, struct loader l)
{
	struct vmbus_channel *known[VMBUS_RELIDS];
	struct record server, connection;
	int r;

	CHECK(bus->held && !bus->held_op);
	r = loader_find(l, TAG_SERVER, 1, &server);
	if (!r)
		r = loader_find(loader_within(&server), TAG_CONNECTION, 1, &connection);
	if (r)
		return log_err(r, "saved state of the VMBus server");
	unsigned count = channel_forget_all(bus, known);

	gpadl_free_all(bus, 0);
	atomic_store(&bus->out_count, 0);
	r = restore_connection(bus, connection.body);
	if (!r)
		r = restore_gpadls(bus, loader_within(&server));
	if (!r)
		r = restore_messages(bus, loader_within(&server));
	if (r)
		log_err(r, "saved state of the VMBus server");
	int channels = channel_restore_all(bus, loader_within(&server), known, count);

	return r ? r : channels;
}
