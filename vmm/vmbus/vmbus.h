/*
 * The VMBus server for VTL0. What the guest posts and signals comes in by vmbus_post() and vmbus_signal(); messages and
 * interrupts go out through struct vmbus_io. The server belongs to its home executor. An open channel belongs to the
 * executor of its target VP: that one touches its rings. To close it or to move it to another VP the device is told to stop,
 * and the server goes on once the device has said that it has.
 */
#pragma once

#include <pthread.h>

#include "lib/inspect/inspect.h"
#include "lib/state/state.h"
#include "lib/vmbus/ring.h"
#include "spec/hv_synic.h"
#include "vmm/mem/guest.h"

#define VMBUS_RELIDS 256u         /* 1 to 255 are given out */
#define VMBUS_VPS_MAX 256u

struct vmbus;
struct vmbus_channel;

struct vmbus_io { /* the hypervisor; any thread may call these */
	/* HV_STATUS_*; OBJECT_IN_USE: the slot is taken, want_slot() follows */
	u16 (*post)(void *ctx, u32 vp, u8 sint, const struct hv_message *message);
	/* vmbus_slot_free() is wanted once that slot is free; a retry on a timer covers a host that forgets */
	void (*want_slot)(void *ctx, u32 vp, u8 sint);
	void (*signal)(void *ctx, u32 vp, u8 sint, u16 flag);
	/* asked for at the first use of a VP, when all executors are there */
	struct exec *(*exec)(void *ctx, u32 vp);
	void *ctx;
	u32 vp_count;
};

/* NULL, said: no memory */
struct vmbus *vmbus_server_create(const struct vmbus_io *io, struct guest *guest, struct exec *home) __must_check;
/* nothing may be under way; channels are their devices' */
void vmbus_server_destroy(struct vmbus *bus);

/* any thread: HvPostMessage and HvSignalEvent of the guest; HV_STATUS_* */
u16 vmbus_post(struct vmbus *bus, u32 connection, u32 type, const void *payload, u32 len);
u16 vmbus_signal(struct vmbus *bus, u32 connection, u16 flag);
/* any thread */
void vmbus_slot_free(struct vmbus *bus);
/* on home */
void vmbus_inspect(void *bus, struct inspect *in);

/*
 * ---- saved state; on home, while no VP runs and so nothing of the guest is on its way
 * The open channels' devices stop as for a move; held() comes on home when none of them touches rings or buffers any more. No
 * message goes to the guest, and no channel starts, until vmbus_go_on(). One at a time.
 */
void vmbus_hold(struct vmbus *bus, struct op *op, void (*held)(struct op *, int));
/* it takes too long: held() will not come, and all goes on. false: it is on its way already */
bool vmbus_hold_cancel(struct vmbus *bus);
/* one record: the connection, page lists, channels with what their devices keep of them, and messages that wait */
void vmbus_save(struct vmbus *bus, struct saver *s);
/*
 * Into a server that is held: what its guest set up is forgotten, and what the record has takes its place. Every channel of it
 * needs a device here that offers the same interface and instance, or makes the same sub-channel. Offers that are not in it are
 * new to the guest. -EPROTO, -ENOENT, -ENOTSUP, -ENODEV, said; the server is then in no state to be used.
 */
int vmbus_restore(struct vmbus *bus, struct loader l) __must_check;
void vmbus_go_on(struct vmbus *bus);

/* ---- devices */
struct vmbus_channel_ops {
	/* on channel->exec: in and out are ready: after an open (fresh), or after a move to another VP; run() follows */
	void (*start)(struct vmbus_channel *, bool fresh);
	/* on channel->exec, after a start: the guest signalled, or vmbus_channel_wake() was called */
	void (*run)(struct vmbus_channel *);
	/* on channel->exec: vmbus_channel_stopped() once neither rings nor the guest's buffers are touched any more */
	void (*stop)(struct vmbus_channel *);
	/* on home: closed by the guest or a reset */
	void (*closed)(struct vmbus_channel *);
	/* on home, after vmbus_revoke(): the guest has let go, the channel may be freed. Also a sub-channel that is forgotten. */
	void (*gone)(struct vmbus_channel *);
	/* on home, the server being held: what the device keeps of a channel, in whatever state, and back. NULL: nothing */
	void (*save)(struct vmbus_channel *, struct saver *);
	int (*restore)(struct vmbus_channel *, struct bytes);
	/* a sub-channel of this one, not offered yet, for saved state; NULL: it has none of that index */
	struct vmbus_channel *(*create_sub)(struct vmbus_channel *, u16 sub_index);
};

enum channel_state {
	CHANNEL_HIDDEN,    /* offered to nobody yet: no guest is connected */
	CHANNEL_OFFERED,   /* the guest knows its relid */
	CHANNEL_OPEN,
	CHANNEL_STOPPING,  /* open, and the device was told to stop */
	CHANNEL_HELD,      /* open, and not started before vmbus_go_on() */
	CHANNEL_REVOKED,   /* RESCIND is sent, RELID_RELEASED has not come */
};

struct gpadl;

struct vmbus_channel {
	/* filled in by the device */
	const struct vmbus_channel_ops *ops;
	const char *name;
	struct guid interface, instance;
	u16 flags, sub_index;
	u8 user[120];

	/* the executor's, between start and stop */
	struct ring in, out;
	struct exec *exec;
	bool broken;                     /* the guest broke the ring: nothing is read from it until it is opened again */

	/* the server's */
	struct vmbus *bus;
	enum channel_state state;
	bool listed, revoke, close, move, fresh;
	u32 relid, vp, next_vp, open_id;
	bool interrupts, next_interrupts;
	struct gpadl *gpadl;
	u8 **pages;
	struct op start_op, stop_op, stopped_op;
	atomic_uint_fast64_t interrupts_sent;
	u64 opens;
};

/* on home. -ENOSPC: no relid or place is left. A connected guest hears of it at once. */
int vmbus_offer(struct vmbus *bus, struct vmbus_channel *channel) __must_check;
/* on home, once; ops->gone() follows, perhaps before this returns */
void vmbus_revoke(struct vmbus_channel *channel);

/* on home: run() comes on the channel's executor, if it is open */
void vmbus_channel_poke(struct vmbus_channel *channel);
/* on home: open, and nobody wants it closed; it may be held, or on its way to another VP */
bool vmbus_channel_stays_open(const struct vmbus_channel *channel);

/* ---- on channel->exec, between start and stopped */
void vmbus_channel_stopped(struct vmbus_channel *channel);
/* run() again, after other work had its turn */
void vmbus_channel_wake(struct vmbus_channel *channel);
/* ring functions say when the guest waits to hear */
void vmbus_channel_interrupt(struct vmbus_channel *channel);
