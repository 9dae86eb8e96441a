/* A device of VTL0's VMBus that echoes packets and counts what is asked of it. Its owner frees it, after it is gone. */
#pragma once

#include "lib/core/types.h"
#include "vmm/vmbus/vmbus.h"

struct model_echo {
	struct vmbus_channel channel;
	unsigned starts, fresh, stops, closed, gone;
	u32 packets, lost; /* lost: no room for the answer */
	bool slow; /* a stop is not answered: vmbus_channel_stopped() is the test's */
};

static inline struct model_echo *model_echo_of(struct vmbus_channel *c)
{
	return container_of(c, struct model_echo, channel);
}

static inline void model_echo_start(struct vmbus_channel *c, bool fresh)
{
	model_echo_of(c)->starts++;
	model_echo_of(c)->fresh += fresh;
}

static inline void model_echo_run(struct vmbus_channel *c)
{
	u8 data[512];
	struct ring_received got;
	bool signal;

	while (ring_read(&c->in, data, sizeof(data), &got, &signal) == RING_OK) {
		model_echo_of(c)->packets++;
		if (ring_write(&c->out, VMBUS_PACKET_COMPLETION, 0, got.transaction_id, data, got.len, NULL, 0, &signal))
			model_echo_of(c)->lost++;
		else if (signal)
			vmbus_channel_interrupt(c);
	}
}

static inline void model_echo_stop(struct vmbus_channel *c)
{
	model_echo_of(c)->stops++;
	if (!model_echo_of(c)->slow)
		vmbus_channel_stopped(c);
}

static inline void model_echo_closed(struct vmbus_channel *c)
{
	model_echo_of(c)->closed++;
}

static inline void model_echo_gone(struct vmbus_channel *c)
{
	model_echo_of(c)->gone++;
}

/* gone() is the test's own, which calls model_echo_gone() */
#define MODEL_ECHO_OPS .start = model_echo_start, .run = model_echo_run, .stop = model_echo_stop, .closed = model_echo_closed
