/* The driver's parts, for the files of this folder. */
#pragma once

#include "vmm/nvme/nvme.h"

#define LIST_ENTRIES (NVME_TRANSFER_MAX / PAGE_SIZE) /* of one command; a first page not aligned costs one more */
#define LIST_BYTES 1056u                             /* LIST_ENTRIES + 1, rounded so that a list crosses no page... */
#define LISTS_PER_PAGE (PAGE_SIZE / LIST_BYTES)      /* ...when so many share one */
#define TRIES_MAX 4u
#define TICK_NS 250000000ull
#define ADMIN_TIMEOUT_NS 10000000000ull
#define RESETS_IN_A_ROW 3u

/*
 * A command identifier is the slot's index and, above it, how often the slot was used: a completion that comes twice, or late,
 * must not end the command that has the slot now.
 */
#define CID_SLOT (NVME_QUEUE_DEPTH - 1)
#define CID_USES (0x10000 / NVME_QUEUE_DEPTH - 1) /* 0xffff is no identifier: in the error log it means none */

struct slot {
	struct nvme_io *io; /* NULL: free */
	u64 deadline_ns;
	bool aborting;
	u16 uses; /* modulo CID_USES */
};

struct nvme_queue {
	struct nvme *controller;
	struct exec *exec;
	u16 id;
	bool up, broken; /* broken: this life of the queue ends with a reset */
	struct nvme_command *sq;
	struct nvme_completion *cq;
	u64 sq_address, cq_address;
	u32 sq_tail, sq_head, cq_head;
	u32 told;    /* the tail that the device knows */
	u16 phase;
	u8 *lists[(NVME_QUEUE_DEPTH + LISTS_PER_PAGE - 1) / LISTS_PER_PAGE];
	u64 list_addresses[(NVME_QUEUE_DEPTH + LISTS_PER_PAGE - 1) / LISTS_PER_PAGE];
	struct slot slots[NVME_QUEUE_DEPTH];
	u32 free[NVME_QUEUE_DEPTH], free_count, in_flight;
	u32 untimed; /* of those in flight: may take for ever */
	struct list_node waiting;
	struct list_node failing; /* their done() comes in the task's next turn */
	struct task task, doorbell;  /* the second: tells the device of what a turn has put into the queue, once */
	struct timer tick;
	struct op to_queue, to_home; /* orders of the controller and their answers: one at a time */
	struct op abort_op;
	atomic_bool abort_posted, hopeless; /* hopeless: whatever was posted, a reset is what is wanted */
	u16 abort_cid;
	u64 commands, completions, interrupts, doorbells, retries, timeouts, errors, strays, waits;
	u64 latency[32]; /* by log2 of microseconds */
	u64 started_ns[NVME_QUEUE_DEPTH];
};

struct nvme {
	struct nvme_transport *transport;
	struct nvme_config config;
	_Atomic enum nvme_state state; /* written at home, read by the queues */
	struct nvme_queue admin;
	struct nvme_queue *queues[NVME_QUEUES_MAX];
	u32 queue_count; /* granted */
	u32 doorbell_stride, ready_timeout_ms, max_transfer;
	u32 timeout_ms; /* of I/O; an operator may set it */
	bool write_cache, has_write_zeroes, has_dsm;
	void *page; /* identify and log data */
	u64 page_address;
	struct namespaces {
		u32 count;
		struct nvme_namespace list[NVME_NAMESPACES_MAX];
	} tables[2]; /* one is read by queues while the other is filled */
	_Atomic(struct namespaces *) known;
	u32 namespace_at;
	u32 step_queue; /* being created */
	void (*answered)(struct nvme *n); /* all queues have done as they were told */
	u32 pending_queues; /* answers of queues that are still to come */
	u64 deadline_ns;
	struct timer timer;
	struct nvme_io step, abort, event;
	bool abort_busy, reset_wanted, step_busy;
	u8 logs_wanted[3]; /* by type of event: the log to read, 0 none */
	u8 critical_warning;
	u32 resets_in_a_row;
	struct op *shutdown_done, *remove_done;
	char serial[21], model[41], firmware[9];
	u64 resets, aborts, events, rescans;
	u16 last_status;
};

/* ---- queue.c; all on the queue's executor unless it says otherwise */
int queue_init(struct nvme_queue *q, struct nvme *n, struct exec *exec, u16 id) __must_check;
/* indexes and memory as a fresh queue has them; nothing may be in flight */
void queue_clear(struct nvme_queue *q);
void queue_submit(struct nvme_queue *q, struct nvme_io *io);
/* no command is given to the device any more; what was under way waits for another try */
void queue_stop(struct nvme_queue *q);
void queue_resume(struct nvme_queue *q);
/* everything that waits ends with this result */
void queue_fail_all(struct nvme_queue *q, int result);
void queue_inspect(void *q, struct inspect *in);

/* ---- controller.c; home */
/* run fn on every I/O queue's executor, then answered(n) at home; CHECKs that none is under way */
void queues_order(struct nvme *n, void (*fn)(struct op *, int), int arg, void (*answered)(struct nvme *n));
void order_stop(struct op *op, int ignored);
void order_resume(struct op *op, int ignored);
void order_fail(struct op *op, int result);
/* home: stop everything and bring the controller up again */
void controller_reset(struct nvme *n, const char *why);
void event_request(struct nvme *n);
/* a command was not answered in time. cid ~0: nothing helps but a reset. */
void controller_timeout(struct nvme *n, u16 sq, u32 cid);
bool controller_is_gone(struct nvme *n);

/* ---- bringup.c; home */
void bringup_begin(struct nvme *n);
void bringup_fail(struct nvme *n, int result, const char *what);
/* an event of this type names this log */
void bringup_look(struct nvme *n, u32 type, u8 log);
void bringup_timer(struct timer *timer);
const char *bringup_state_name(enum nvme_state state);
void bringup_disable(struct nvme *n);
