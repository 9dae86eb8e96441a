/*
 * Driver of one NVMe controller (NVM Express base 2.0, NVM command set 1.0): bring-up, one queue pair per executor, I/O
 * without copies or allocation, and what to do when the device does not answer. It reaches the device through struct
 * nvme_transport, so that it runs against a model in simulation and against VFIO in the firmware.
 *
 * Threads: a controller belongs to its home executor, a queue to its own. The functions say which they want.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"
#include "spec/nvme.h"

struct nvme;
struct nvme_queue;

/* ---- the way to the device */
struct nvme_transport;

struct nvme_transport_ops {
	/* 32-bit registers; a device that is gone reads all ones. Any thread. */
	u32 (*read)(struct nvme_transport *t, u32 offset);
	/* orders all earlier stores to DMA memory before it. Any thread. */
	void (*write)(struct nvme_transport *t, u32 offset, u32 value);
	/* memory the device may access: zeroed, whole pages, contiguous; lives as long as the transport. NULL: none left */
	void *(*dma_alloc)(struct nvme_transport *t, u32 len, u64 *ret_address);
	/* wake the task, on its own executor, at each interrupt of the vector; before the device raises any. -errno */
	int (*listen)(struct nvme_transport *t, u32 vector, struct task *task);
	/* a piece that no command knows any more; NULL: pieces stay until the transport goes */
	void (*dma_free)(struct nvme_transport *t, void *at, u32 len, u64 address);
};

struct nvme_transport {
	const struct nvme_transport_ops *ops;
	u32 vector_count;
	bool translated; /* its addresses are its own: a guest physical address means nothing to the device */
};

/* ---- requests */
enum nvme_operation { NVME_READ, NVME_WRITE, NVME_FLUSH, NVME_WRITE_ZEROES, NVME_DEALLOCATE };

/*
 * A piece of memory as the device sees it: a guest physical address of VTL0 is one. There may be no IOMMU: the caller has
 * checked that it is VTL0's RAM, or else the guest reads VTL2's. All but the first begin on a page, all
 * but the last end on one, all are multiples of 4 bytes: callers bounce what is not.
 */
struct nvme_segment {
	u64 address;
	u32 len;
};

#define NVME_TRANSFER_MAX (512 * KiB) /* bytes of one request, or less: nvme_max_transfer() */
#define NVME_QUEUE_DEPTH 64u
#define NVME_NAMESPACES_MAX 16u
#define NVME_QUEUES_MAX 64u /* one an executor */

struct nvme_io { /* one command; private */
	struct list_node link;
	struct nvme_command command;
	void (*done)(struct nvme_io *io, int result, u32 dw0);
	const struct nvme_segment *segments;
	u32 segment_count;
	int refusal; /* of one that is not given to the device */
	u16 status;
	u8 tries;
};

struct nvme_request { /* the caller's until done(), with its segments and their memory; embed it */
	enum nvme_operation operation;
	u32 nsid;
	u64 lba;
	u32 blocks;   /* not for NVME_FLUSH; at most 65536, for NVME_DEALLOCATE 2^32 - 1 */
	bool fua;     /* of writes: on the medium before done() */
	const struct nvme_segment *segments; /* of NVME_READ and NVME_WRITE: blocks * block size bytes in all */
	u32 segment_count;
	/*
	 * On the queue's executor, once. 0, or -EIO (the device failed it; status says how), -EINVAL (segments, range),
	 * -EOPNOTSUPP (it has no such command), -EROFS, -ENODEV (the device is gone or given
	 * up), -ETIMEDOUT (never answered, and it was tried again).
	 * A write that failed may or may not have reached the medium.
	 */
	void (*done)(struct nvme_request *r, int result);
	u16 status; /* out: NVMe status, type << 8 | code; 0 when the device gave none */
	struct nvme_io io;
};

/* The queue's executor. done() never runs before it returns. Waits in order when the queue is full or being reset. */
void nvme_submit(struct nvme_queue *q, struct nvme_request *r);

/* ---- controller */
enum nvme_state {
	NVME_OFF, NVME_STOPPING, NVME_DISABLING, NVME_ENABLING, NVME_IDENTIFYING, NVME_ASKING_EVENTS, NVME_COUNTING,
	NVME_LISTING, NVME_NAMESPACES, NVME_QUEUES, NVME_READY, NVME_SHUTDOWN_QUEUES, NVME_SHUTDOWN,
	NVME_SHUT_DOWN, NVME_FAILED, NVME_GONE,
};

struct nvme_namespace {
	u32 nsid, block_size;
	u64 blocks;
	bool readonly, deallocates;
	u8 nguid[16], eui64[8];
};

struct nvme_config {
	const char *name;          /* outlives the controller */
	struct exec *home;
	struct exec *const *execs; /* queue i runs on execs[i]; the list outlives the controller */
	u32 exec_count;            /* at most NVME_QUEUES_MAX */
	/* home, once a start or a reset has ended: 0 or -errno */
	void (*started)(struct nvme *n, int result);
	/* home: a namespace came, went or changed its size; NULL: not interested */
	void (*changed)(struct nvme *n);
	void *ctx;
};

/* Allocates queues; nothing is asked of the device yet. */
int nvme_create(struct nvme_transport *t, const struct nvme_config *config, struct nvme **ret) __must_check;
/* home; in NVME_SHUT_DOWN, NVME_FAILED, NVME_GONE or NVME_OFF, with no executor running any more or none of ours busy */
void nvme_destroy(struct nvme *n);
/* home: bring-up; started() tells how it ended */
void nvme_start(struct nvme *n);
/* home: waits for what is under way, flushes by the device's own shutdown; done() on home: 0 or -ETIMEDOUT */
void nvme_shutdown(struct nvme *n, struct op *done);
/* home: the device is being taken away. Nothing touches it once done() ran; everything ended and ends with -ENODEV. */
void nvme_remove(struct nvme *n, struct op *done);
/* home: a controller reset; what is under way is given to it again. In another state than NVME_READY: when it gets there. */
void nvme_reset(struct nvme *n);
void *nvme_context(struct nvme *n);
enum nvme_state nvme_state(const struct nvme *n);

/* after started(): NULL when the controller granted fewer queues than there are executors */
struct nvme_queue *nvme_queue_of(struct nvme *n, u32 exec_index);
/* home */
u32 nvme_namespace_count(const struct nvme *n);
const struct nvme_namespace *nvme_namespace_at(const struct nvme *n, u32 i);
const struct nvme_namespace *nvme_namespace_of(const struct nvme *n, u32 nsid);
u32 nvme_max_transfer(const struct nvme *n);
bool nvme_has_write_cache(const struct nvme *n);
/* commands that a controller need not have: NVME_WRITE_ZEROES and NVME_DEALLOCATE end with -EOPNOTSUPP without them */
bool nvme_has_write_zeroes(const struct nvme *n);
bool nvme_has_deallocate(const struct nvme *n);
/* the device sees only what nvme_dma_alloc() gave */
bool nvme_is_translated(const struct nvme *n);
/* home: the transport's dma_alloc(), for users' own buffers */
void *nvme_dma_alloc(struct nvme *n, u32 len, u64 *ret_address);
/* home: a piece of nvme_dma_alloc(), which no request knows any more */
void nvme_dma_free(struct nvme *n, void *at, u32 len, u64 address);
/* home; queues are deferred to their executors */
void nvme_inspect(void *n, struct inspect *in);
