/* The controller's parts, for the files of this folder. Everything is under n->lock but what says otherwise. */
#pragma once

#include "host/nvme/backing.h"
#include "host/nvme/nvme.h"
#include "lib/core/list.h"
#include "spec/nvme.h"

#define QUEUE_ENTRIES_MAX 1024u
#define MDTS 8u /* pages, log2 */
#define TRANSFER_MAX ((u64)PAGE_SIZE << MDTS)
#define IOVECS_MAX ((1u << MDTS) + 1)
#define ASYNC_EVENTS_MAX 4u
#define HELD_MAX 256u
#define ERROR_ENTRIES 64u
#define FEATURES 16u
#define NSID 1u

struct sq {
	bool live, stalled;
	u16 cq, size, head, tail;
	u64 base, commands;
};

struct cq {
	bool live, interrupts, phase;
	u16 size, head, tail, vector, users;
	u64 base, completions;
};

struct held { /* a command that has no completion yet: an event request, or a planted fault */
	struct list_node link;
	u16 sq, cid, status;
	u32 dw0;
	u64 due_ns; /* ~0: not by itself */
	bool async_event;
};

struct nvme_counters {
	u64 reads, writes, bytes_read, bytes_written, flushes, zeroes, deallocations, compares, admin;
	u64 errors, protocol_errors, bad_doorbells, register_errors, dma_errors, faults, aborts, resets, shutdowns;
	u64 prps, sgls; /* commands whose data lies where these say */
};

struct nvme_target {
	struct pci_function function;
	struct nvme_target_config config;
	struct nvme_memory memory;
	struct backing backing; /* the thread's alone */
	u8 *bounce;             /* likewise; TRANSFER_MAX */
	u32 block_shift;
	u64 blocks;             /* what the namespace has now, */
	bool readonly;          /* and is: faults change both */
	pthread_mutex_t lock;
	pthread_cond_t work, quiet;
	pthread_t thread;
	bool has_thread, quit, reset_wanted, shutdown_wanted;
	u32 cc, csts, aqa;
	u64 asq, acq;
	struct sq sqs[NVME_IO_QUEUES_MAX + 1];
	struct cq cqs[NVME_IO_QUEUES_MAX + 1];
	u32 next_sq; /* whose turn it is */
	u32 features[FEATURES];
	struct held held[HELD_MAX];
	struct list_node held_free, held_used;
	u32 events_waiting;              /* requests of AER among held */
	u32 events_pending[3];           /* by type, 0: none, else the dw0 to report */
	bool events_masked[3];           /* reported, its log not read yet */
	struct nvme_fault faults[NVME_FAULTS_MAX];
	u32 fault_count;
	u64 fault_seen[NVME_FAULTS_MAX]; /* commands that each was about */
	u64 faults_met[NVME_FAULT_KINDS]; /* commands struck, or for a state: how often it began */
	bool mute;                       /* the next completion has no interrupt */
	bool namespace_changed;          /* and the log that says so was not read */
	struct nvme_error_entry error_log[ERROR_ENTRIES];
	u64 error_count;
	struct nvme_smart smart;
	struct nvme_counters counters;
};

struct execution { /* one command under way, on the worker's thread */
	struct nvme_command command;
	u16 sq;
	u32 dw0;
	u64 error_lba;
	bool silent; /* no completion now: it is held, or lost */
	bool planted; /* the status is a fault's */
};

/* ---- queue.c */
/* a completion entry and its interrupt; false: the completion queue is full */
bool queue_complete(struct nvme_target *n, u16 sq, u16 cid, u32 dw0, u16 status);
bool queue_has_room(const struct nvme_target *n, u16 cq);
/* copies the next command out; false: nothing to fetch, or its memory is not there */
bool queue_fetch(struct nvme_target *n, u16 sq, struct nvme_command *ret);
/* no queue, nothing held */
void queues_clear(struct nvme_target *n);
struct held *held_add(struct nvme_target *n, u16 sq, u16 cid);
void held_remove(struct nvme_target *n, struct held *h);
/* completes what is due; returns when the next is, ~0 never */
u64 held_run(struct nvme_target *n, u64 now);
void event_raise(struct nvme_target *n, u32 type, u32 information, u32 log);
void event_deliver(struct nvme_target *n);

/* ---- prp.c, sgl.c: guest memory of a command; NVME_SC_SUCCESS or what is wrong with it */
struct mapping { /* being filled */
	struct nvme_target *n;
	struct iovec *iov;
	u32 count;
	u64 left;
};
/* the next piece of memory, joined to the one before it where they touch */
u16 mapping_add(struct mapping *m, u64 address, u64 len);
/* of an I/O command: PRPs or an SGL, as it says */
u16 data_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count);
u16 data_copy_in(struct nvme_target *n, const struct nvme_command *c, void *data, u64 len);
/* PRPs only, as admin commands have them (NVMe over PCIe, 1.0) */
u16 prp_copy_out(struct nvme_target *n, const struct nvme_command *c, const void *data, u64 len);
u16 prp_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count);
u16 sgl_map(struct nvme_target *n, const struct nvme_command *c, u64 len, struct iovec iov[IOVECS_MAX], u32 *ret_count);

/* ---- admin.c, identify.c, io.c: a status; the worker's thread */
u16 admin_run(struct nvme_target *n, struct execution *x);
void features_reset(struct nvme_target *n);
u16 identify_run(struct nvme_target *n, const struct nvme_command *c);
u16 log_run(struct nvme_target *n, const struct nvme_command *c);
/* leaves and takes n->lock around the file's I/O */
u16 io_run(struct nvme_target *n, struct execution *x);
/* flush without a command */
void io_flush_all(struct nvme_target *n);

/* ---- fault.c */
/* true: the command is dealt with; *ret_status and x->silent say how */
bool fault_before(struct nvme_target *n, struct execution *x, u16 *ret_status);
/* a completed command may be kept back */
bool fault_after(struct nvme_target *n, struct execution *x, u16 status);
/* faults came or went: what the namespace and the queues are now, and an event if that is news */
void fault_set_states(struct nvme_target *n);
bool fault_stalls(const struct nvme_target *n, u16 sq);
bool fault_is_state(enum nvme_fault_kind kind);
bool fault_keeps_from_ready(const struct nvme_target *n);

/* ---- controller.c */
void controller_fatal(struct nvme_target *n, const char *why);
void error_log_add(struct nvme_target *n, const struct execution *x, u16 status);
