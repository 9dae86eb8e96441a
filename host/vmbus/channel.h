/*
 * VMBus as a host offers it to VTL2: contact, offers, GPADLs, open and close. Everything happens on the loop's thread;
 * hypercalls of VPs are queued to it (vmbus_post_message, vmbus_signal_event).
 */
#pragma once

#include "host/vmbus/loop.h"
#include "lib/vmbus/ring.h"
#include "spec/hv.h"

struct vmbus;
struct channel;

struct channel_ops { /* loop thread; NULL: not interested */
	void (*opened)(struct channel *c);
	void (*signalled)(struct channel *c);
	void (*closed)(struct channel *c);   /* rings are gone; the offer stays unless it was rescinded */
	void (*released)(struct channel *c); /* after a rescind: the guest let go; the struct may be freed */
};

enum channel_state { CHANNEL_IDLE, CHANNEL_OFFERED, CHANNEL_OPEN, CHANNEL_RESCINDED };

struct channel {
	const char *name;
	struct guid interface, instance;
	u16 flags;
	u8 user[120];
	const struct channel_ops *ops;
	/* private */
	struct vmbus *bus;
	enum channel_state state;
	u32 relid, target_vp;
	struct ring in, out; /* from and to the guest */
	u32 gpadl;
	u64 packets_in, packets_out, signals_in, signals_out;
};

struct vmbus_io { /* the partition, as far as VMBus needs it */
	void *(*memory)(void *ctx, u64 gpa, u64 len);
	bool (*post)(void *ctx, u32 vp, u8 sint, const void *message, u32 len);
	void (*signal)(void *ctx, u32 vp, u8 sint, u16 flag);
	u32 vp_count;
	void *ctx;
};

struct vmbus *vmbus_create(struct loop *loop, const struct vmbus_io *io);
void vmbus_destroy(struct vmbus *bus);
/* the guest is gone: every channel back to idle without a word, closed() and released() called as needed */
void vmbus_reset(struct vmbus *bus);
/* a guest service wants to reach the host over hvsock; loop thread */
void vmbus_on_connect_request(struct vmbus *bus,
			      void (*fn)(void *ctx, const struct guid *endpoint, const struct guid *service),
			      void *ctx);
void vmbus_connect_result(struct vmbus *bus, const struct guid *endpoint, const struct guid *service, u32 status);
/* has the guest asked for offers and not unloaded? */
bool vmbus_connected(struct vmbus *bus);

/* VP threads: HV_STATUS_* at once, the work later */
u16 vmbus_post_message(struct vmbus *bus, const struct hv_post_message *message);
u16 vmbus_signal_event(struct vmbus *bus, u32 connection);

/* Offer now if connected, else when the guest asks. The struct is the caller's until it is released. */
int channel_offer(struct vmbus *bus, struct channel *c) __must_check;
/* Take the offer back; released() follows, at once if the guest never saw it. */
void channel_rescind(struct channel *c);
enum ring_status channel_send(struct channel *c, u16 type, u16 flags, u64 transaction_id, const void *head, u32 head_len,
			      const void *body, u32 body_len);
/*
 * A guest may fill its ring as fast as it is emptied: signalled() takes so many packets, then calls channel_again() and
 * returns, so that others have their turn.
 */
#define CHANNEL_PACKETS_PER_TURN 64u
void channel_again(struct channel *c);
enum ring_status channel_receive(struct channel *c, void *data, u32 max, struct ring_received *ret);
/* a message pipe: payload framed by vmbus_pipe_header */
enum ring_status channel_send_pipe(struct channel *c, const void *data, u32 len);

void vmbus_for_each(struct vmbus *bus, void (*fn)(struct channel *c, void *ctx), void *ctx);
u32 vmbus_version(struct vmbus *bus);
