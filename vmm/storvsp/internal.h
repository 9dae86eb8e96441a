/* Between storvsp.c, channel.c and packet.c */
#pragma once

#include "lib/core/bytes.h"
#include "spec/storvsp.h"
#include "vmm/storvsp/storvsp.h"

#define CHANNEL_REQUESTS 128u     /* under way in one channel; more wait in the ring */
#define CHANNEL_BATCH 64u         /* packets before other work of the executor has its turn */
#define REQUEST_IOV_MAX (SCSI_MAX_TRANSFER / PAGE_SIZE + 2)
#define PACKET_MAX 2048u          /* 130 page numbers and a request: more than the largest transfer needs */
#define CHANNEL_BUSY 8u           /* with so many under way completions come soon: no signals are asked for until they do */
#define CHANNEL_LOOK_NS 1000000u  /* ... or this time is over: one slow disk must not keep the others' commands in the ring */
#define SUB_CHANNELS_MAX 64u

enum protocol_state { PROTOCOL_NEW, PROTOCOL_BEGUN, PROTOCOL_VERSION, PROTOCOL_PROPERTIES, PROTOCOL_READY };

struct storvsp_request {
	struct storvsp_request *next;
	struct storvsp_channel *channel;
	u64 transaction;
	bool answer;                     /* the guest wants a completion */
	u32 reply_len;
	struct vstor_packet packet;
	struct scsi_request scsi;
	struct iovec iov[REQUEST_IOV_MAX];
};

struct storvsp_channel {
	struct vmbus_channel channel;
	struct storvsp *owner;
	bool is_sub, offered;

	/* the channel's executor's */
	enum protocol_state state;
	u16 version;
	bool stopping, running, interrupt;
	unsigned under_way;
	struct storvsp_request *requests, *free;
	struct storvsp_request *completed, **completed_tail;
	u8 data[PACKET_MAX];
	struct timer look;               /* armed while signals are not asked for */

	atomic_bool rescan;              /* the guest is owed an ENUMERATE_BUS; set on home */
	u64 packets, mistakes, ring_full, max_under_way, batches, looks;
};

struct storvsp {
	struct vmbus *bus;
	struct guest *guest;
	struct exec *home;
	struct guid instance;
	unsigned max_sub_channels;
	struct scsi_target target;
	struct scsi_unit *removed;       /* structs that old pointers may still name */
	struct storvsp_channel *primary, *subs[SUB_CHANNELS_MAX];
	unsigned wanted_subs;            /* by the guest; posted from the primary's executor */
	struct op create_subs;
	atomic_bool creating;
	u64 hot_adds, hot_removes;
};

static inline struct storvsp_channel *storvsp_channel_of(struct vmbus_channel *channel)
{
	return container_of(channel, struct storvsp_channel, channel);
}

extern const struct vmbus_channel_ops storvsp_channel_ops;

/* NULL, said */
struct storvsp_channel *storvsp_channel_create(struct storvsp *s, unsigned sub_index) __must_check;
void storvsp_channel_destroy(struct storvsp_channel *c);
/* on home: a channel's life ends */
void storvsp_channel_closed(struct storvsp_channel *c);
void storvsp_channel_gone(struct storvsp_channel *c);
void storvsp_channel_inspect(void *channel, struct inspect *in);

/* channel.c, on the channel's executor: the request's packet goes back to the guest */
void storvsp_complete(struct storvsp_request *r, u32 status);
/* packet.c: a request whose transaction, answer and reply_len are set. It ends in storvsp_complete(). */
void storvsp_handle(struct storvsp_request *r, struct bytes head, struct bytes payload, bool gpa_direct);
/* storvsp.c, any thread */
void storvsp_want_subs(struct storvsp *s, unsigned count);

/* state.c; on home, the channel being held */
void storvsp_channel_save(struct vmbus_channel *channel, struct saver *s);
int storvsp_channel_restore(struct vmbus_channel *channel, struct bytes b) __must_check;
struct vmbus_channel *storvsp_create_sub(struct vmbus_channel *primary, u16 sub_index);
/* channel.c: answers that wait for room are forgotten */
void storvsp_drop_completed(struct storvsp_channel *c);
/* channel.c: one more of them; its packet is filled in by the caller. NULL: so many cannot be */
struct storvsp_request *storvsp_add_completed(struct storvsp_channel *c);
