/* Messages in both directions: a bounded pool in, a bounded queue out with a retry while the guest's slot is busy. */
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/vmbus/internal.h"

LOG_DOMAIN("vmbus");

static void received(struct op *op, int ignored)
{
	struct incoming *in = container_of(op, struct incoming, op);
	struct vmbus *bus = in->bus;
	u8 copy[HV_MESSAGE_PAYLOAD_LEN];
	u32 len = in->len;

	memcpy(copy, in->data, len);
	pthread_mutex_lock(&bus->lock);
	in->next = bus->free_incoming;
	bus->free_incoming = in;
	pthread_mutex_unlock(&bus->lock);
	bus->messages++;
	vmbus_receive(bus, bytes_of(copy, len));
}

u16 vmbus_post(struct vmbus *bus, u32 connection, u32 type, const void *payload, u32 len)
{
	struct incoming *in = NULL;

	if (connection != VMBUS_CONNECTION_LEGACY && connection != VMBUS_CONNECTION_MULTI_CLIENT)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (type != HVMSG_VMBUS || len > HV_MESSAGE_PAYLOAD_LEN)
		return HV_STATUS_INVALID_PARAMETER;
	atomic_fetch_add(&bus->posts, 1);
	if (atomic_load(&bus->out_count) <= OUTGOING_HIGH) {
		pthread_mutex_lock(&bus->lock);
		in = bus->free_incoming;
		if (in)
			bus->free_incoming = in->next;
		pthread_mutex_unlock(&bus->lock);
	}
	if (!in) { /* the guest tries again, as TLFS tells it to */
		atomic_fetch_add(&bus->refused_posts, 1);
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	}
	in->len = len;
	memcpy(in->data, payload, len);
	exec_post(bus->home, &in->op, received, 0);
	return HV_STATUS_SUCCESS;
}

static void send_waiting(struct task *task)
{
	struct vmbus *bus = container_of(task, struct vmbus, send_task);

	while (atomic_load(&bus->out_count) && !bus->held) {
		const struct outgoing *o = &bus->outgoing[bus->out_first];
		struct hv_message m = { .type = HVMSG_VMBUS, .payload_size = (u8)o->len };

		memcpy(m.payload, o->data, o->len);
		u16 status = bus->io.post(bus->io.ctx, bus->message_vp, VMBUS_SINT, &m);

		if (status == HV_STATUS_OBJECT_IN_USE) {
			bus->busy++;
			bus->io.want_slot(bus->io.ctx, bus->message_vp, VMBUS_SINT);
			timer_arm(bus->home, &bus->retry, exec_now_ns(bus->home) + MESSAGE_RETRY_NS);
			return;
		}
		if (status) { /* a guest that turned its SynIC off is not there to hear */
			bus->dropped++;
			log_guest("VP %u cannot be sent a message: status %#x", bus->message_vp, status);
		} else {
			bus->sent++;
		}
		bus->out_first = (bus->out_first + 1) % OUTGOING_MAX;
		atomic_fetch_sub(&bus->out_count, 1);
	}
	timer_disarm(bus->home, &bus->retry);
}

static void retry(struct timer *timer)
{
	send_waiting(&container_of(timer, struct vmbus, retry)->send_task);
}

void vmbus_slot_free(struct vmbus *bus)
{
	task_wake(&bus->send_task);
}

void vmbus_send(struct vmbus *bus, const void *message, u32 len)
{
	unsigned count = atomic_load(&bus->out_count);

	CHECK(len <= HV_MESSAGE_PAYLOAD_LEN);
	if (count == OUTGOING_MAX) { /* one message of the guest makes fewer answers than lie between the marks */
		bus->dropped++;
		return;
	}
	struct outgoing *o = &bus->outgoing[(bus->out_first + count) % OUTGOING_MAX];

	o->len = len;
	memcpy(o->data, message, len);
	atomic_fetch_add(&bus->out_count, 1);
	task_wake(&bus->send_task);
}

void vmbus_drop_outgoing(struct vmbus *bus)
{
	bus->dropped += atomic_exchange(&bus->out_count, 0);
	timer_disarm(bus->home, &bus->retry);
}

void message_save_all(struct vmbus *bus, struct saver *s)
{
	for (unsigned i = 0; i < atomic_load(&bus->out_count); i++) {
		const struct outgoing *o = &bus->outgoing[(bus->out_first + i) % OUTGOING_MAX];
		size_t mark = saver_open(s, TAG_MESSAGE, 1, 0);

		saver_put(s, o->data, o->len);
		saver_close(s, mark);
	}
}

void vmbus_message_init(struct vmbus *bus)
{
	for (unsigned i = 0; i < INCOMING_MAX; i++) {
		bus->incoming[i].bus = bus;
		bus->incoming[i].next = bus->free_incoming;
		bus->free_incoming = &bus->incoming[i];
	}
	pthread_mutex_init(&bus->lock, NULL);
	task_init(&bus->send_task, bus->home, "vmbus messages", send_waiting);
	bus->retry.fire = retry;
}
