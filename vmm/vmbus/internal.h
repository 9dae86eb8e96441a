/* Between the files of vmm/vmbus. All of it belongs to the home executor, except what is said otherwise. */
#pragma once

#include "lib/core/bytes.h"
#include "spec/hv.h"
#include "vmm/vmbus/vmbus.h"

#define INCOMING_MAX 64u
#define OUTGOING_MAX 1024u
#define OUTGOING_HIGH 512u        /* past it no message of the guest is taken: it has to read its answers first */
#define GPADLS_MAX 512u
#define MESSAGE_RETRY_NS 20000000u

struct incoming {
	struct op op;
	struct incoming *next;
	struct vmbus *bus;
	u32 len;
	u8 data[HV_MESSAGE_PAYLOAD_LEN];
};

struct outgoing {
	u32 len;
	u8 data[HV_MESSAGE_PAYLOAD_LEN];
};

struct gpadl {
	struct list_node link;
	u32 id, relid;
	u32 range_count, len, got;       /* bytes of ranges: said, and here so far */
	u32 page_count;
	bool complete, aligned;          /* aligned: whole pages only, fit for rings */
	bool teardown;                   /* wanted by the guest, put off until the channel has stopped */
	u8 *ranges;
};

/* a VP's part of the server: which channels live there. The executor's, but for `pending` and task_wake(). */
struct vmbus_vp {
	struct vmbus *bus;
	struct exec *exec;
	struct task task;
	atomic_uint_fast64_t pending[VMBUS_RELIDS / 64];
	struct vmbus_channel *running[VMBUS_RELIDS];
};

enum after_reset { RESET_NONE, RESET_CONTACT, RESET_UNLOAD };

struct vmbus {
	struct vmbus_io io;
	struct guest *guest;
	struct exec *home;

	/* connection */
	u32 version;                     /* 0: none */
	u32 message_vp;
	bool offers_requested;
	enum after_reset after_reset;
	struct vmbus_initiate_contact contact;

	struct vmbus_channel *channels[VMBUS_RELIDS]; /* in the order of offering; relid is the index */
	u32 channel_count;
	struct list_node gpadls;
	u32 gpadl_count;

	/* in: the pool is any thread's, under the lock */
	pthread_mutex_t lock;
	struct incoming incoming[INCOMING_MAX], *free_incoming;
	/* out */
	struct outgoing *outgoing;       /* OUTGOING_MAX */
	u32 out_first;
	atomic_uint out_count;
	struct task send_task;
	struct timer retry;

	atomic_uint route[VMBUS_RELIDS]; /* VP of an open channel + 1; 0: nobody listens */
	struct vmbus_vp *vps;

	atomic_uint_fast64_t posts, refused_posts, unknown_signals;
	u64 messages, mistakes, sent, busy, dropped, resets, ignored;

	/* saved state */
	bool held;
	struct op *held_op;              /* NULL: told, or nobody waits */
	void (*held_fn)(struct op *, int);
};

/* a protocol mistake of the guest: counted, said a few times */
void vmbus_mistake(struct vmbus *bus, const char *what, u32 which);
void vmbus_send(struct vmbus *bus, const void *message, u32 len);
void vmbus_drop_outgoing(struct vmbus *bus);
void vmbus_message_init(struct vmbus *bus);
void message_save_all(struct vmbus *bus, struct saver *s);

#define TAG_GPADL STATE_TAG('G', 'P', 'A', 'D')
#define TAG_CHANNEL STATE_TAG('C', 'H', 'A', 'N')
#define TAG_MESSAGE STATE_TAG('M', 'E', 'S', 'S')

/* state.c: a channel has stopped; tells who waits for all, once none is on its way any more */
void vmbus_held(struct vmbus *bus);

/* server.c: one message of the guest */
void vmbus_receive(struct vmbus *bus, struct bytes message);
/* a channel has closed, or a revoked one is gone: does a reset wait for it? */
void vmbus_reset_progress(struct vmbus *bus);

/* gpadl.c */
void gpadl_header(struct vmbus *bus, struct bytes b);
void gpadl_body(struct vmbus *bus, struct bytes b);
void gpadl_teardown(struct vmbus *bus, struct bytes b);
struct gpadl *gpadl_find(struct vmbus *bus, u32 id);
/* addresses of all its pages in order, malloc'd; NULL: not whole pages, or no memory */
u8 **gpadl_pages(struct vmbus *bus, const struct gpadl *gpadl);
/* the channel no longer uses it */
void gpadl_release(struct vmbus *bus, struct gpadl *gpadl);
/* those of one relid, or of all (0); none may be in use */
void gpadl_free_all(struct vmbus *bus, u32 relid);
void gpadl_save(const struct gpadl *gpadl, struct saver *s);
/* -EPROTO: it cannot be one; -ENOMEM */
int gpadl_restore(struct vmbus *bus, struct bytes b) __must_check;

/* channel.c */
int channel_init_vps(struct vmbus *bus) __must_check;
void channel_open(struct vmbus *bus, struct bytes b);
void channel_close(struct vmbus *bus, struct bytes b);
void channel_modify(struct vmbus *bus, struct bytes b);
void channel_relid_released(struct vmbus *bus, struct bytes b);
void channel_send_offers(struct vmbus *bus);
/* begins to close all; vmbus_reset_progress() as they close */
void channel_reset_all(struct vmbus *bus);
bool channel_all_closed(const struct vmbus *bus);
/* all are hidden again, revoked ones gone; after channel_all_closed() */
void channel_forget_relids(struct vmbus *bus);
void channel_inspect_all(void *bus, struct inspect *in);
bool gpadl_in_use(const struct vmbus *bus, const struct gpadl *gpadl);
/* out of the table, and the device's */
void channel_gone(struct vmbus_channel *c);
/* rings over the GPADL's pages: the guest's first, ours from downstream_page on; false: they cannot be */
bool channel_make_rings(struct vmbus_channel *c, const struct vmbus_open *m);
/* those that are open stop; vmbus_held() when the last one has */
void channel_hold_all(struct vmbus *bus);
void channel_go_on_all(struct vmbus *bus);

/* channel_state.c */
void channel_save_all(struct vmbus *bus, struct saver *s);
/* as if the guest had never been: every page list is free then, sub-channels are gone, the others in `ret` and in no table */
unsigned channel_forget_all(struct vmbus *bus, struct vmbus_channel *ret[VMBUS_RELIDS]);
/* those of the record, each out of `known`, whose places become NULL; what is left is offered anew */
int channel_restore_all(struct vmbus *bus, struct loader l, struct vmbus_channel **known, unsigned count) __must_check;
