#include "host/vmbus/crash.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "spec/crash.h"

LOG_DOMAIN("crash");

struct crash {
	struct channel channel;
	struct crash_receiver *receiver;
	u8 buffer[CRASH_CHUNK_MAX + sizeof(struct vmbus_pipe_header) + 8]; /* a ring packet is a multiple of eight bytes */
};

static void answer(void *ctx, const void *data, u32 len)
{
	struct crash *c = ctx;

	if (channel_send_pipe(&c->channel, data, len) != RING_OK)
		log_guest("the guest's ring takes no answer of %u bytes", len);
}

static void take(struct crash *c, u32 len)
{
	struct bytes b = bytes_of(c->buffer, len), message;
	struct vmbus_pipe_header pipe;

	if (bytes_copy(&b, &pipe, sizeof(pipe)) && pipe.type == VMBUS_PIPE_DATA && bytes_take(&b, pipe.length, &message))
		crash_receiver_take(c->receiver, message);
	else
		crash_receiver_end(c->receiver, "a message that is none");
}

static void signalled(struct channel *channel)
{
	struct crash *c = container_of(channel, struct crash, channel);
	struct ring_received got;

	for (u32 left = CHANNEL_PACKETS_PER_TURN; channel_receive(channel, c->buffer, sizeof(c->buffer), &got) == RING_OK;) {
		take(c, got.len);
		if (!--left) {
			channel_again(channel);
			break;
		}
	}
}

static void closed(struct channel *channel)
{
	crash_receiver_end(container_of(channel, struct crash, channel)->receiver, "the channel was closed");
}

int crash_create(struct vmbus *bus, const struct crash_config *config, struct crash **ret)
{
	static const struct channel_ops ops = { .opened = signalled, .signalled = signalled, .closed = closed };
	struct crash *c = calloc(1, sizeof(*c));

	if (!c)
		return log_err(-ENOMEM, "crash channel");
	c->channel = (struct channel){
		.name = "crash", .interface = CRASH_CHANNEL, .instance = CRASH_CHANNEL, .flags = VMBUS_OFFER_NAMED_PIPE,
		.ops = &ops,
	};
	c->channel.user[0] = VMBUS_PIPE_MODE_MESSAGE;
	int r = crash_receiver_create(config, answer, c, &c->receiver);

	if (!r)
		r = channel_offer(bus, &c->channel);
	if (r)
		crash_destroy(c);
	else
		*ret = c;
	return r;
}

void crash_destroy(struct crash *c)
{
	if (!c)
		return;
	crash_receiver_destroy(c->receiver);
	free(c);
}
