/*
 * A disk: sectors, asynchronous, no allocation and no copy a request. Filters and views are disks in front of disks. A disk
 * takes requests from several executors at once; one request belongs to the executor it names, where it is submitted and
 * where done() runs (perhaps before disk_submit() returns). A write without DISK_FUA may be lost at a power cut until a
 * flush submitted after its done() has succeeded; with DISK_FUA done() itself says that it is on stable storage.
 */
#pragma once

#include "lib/core/guid.h"
#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_UNMAP, DISK_WRITE_ZEROES, DISK_OPS };

#define DISK_FUA 1u          /* WRITE, WRITE_ZEROES */
#define DISK_FRAMES_MAX 8u   /* filters and views in front of one another */

struct disk;
struct disk_request;

/* what a layer keeps of a request that it passed on */
struct disk_frame {
	void (*done)(struct disk_request *, struct disk_frame *, int result);
	struct disk *disk;
	u64 word[4];
	u8 state;
	int result;
};

/*
 * The submitter fills the first part. Layers below may change it while the request is theirs, the iovecs too, and put it
 * back before they pass the result up. Buffers need no alignment; a disk that wants one copies and counts that.
 */
struct disk_request {
	enum disk_op op;
	u32 flags;
	u64 sector, count;                 /* in the disk's sectors; FLUSH: both 0 */
	struct iovec *iov;                 /* READ, WRITE: at least skip + count * sector_size bytes */
	unsigned iov_count;
	size_t skip;                       /* bytes of iov that are not of this transfer */
	struct exec *exec;
	void (*done)(struct disk_request *, int result); /* 0 or -errno: EIO, ENOSPC, EROFS, EINVAL, ENODEV, ... */

	/* the layers' own */
	struct op io;
	struct timer timer;
	struct iovec saved;
	u64 progress;
	unsigned depth;
	struct disk_frame frames[DISK_FRAMES_MAX];
};

struct disk_ops {
	/* ends in disk_done() exactly once; the range, the direction and read_only were checked */
	void (*submit)(struct disk *, struct disk_request *);
	void (*inspect)(struct disk *, struct inspect *);
	void (*destroy)(struct disk *);
	/* how many sectors there are now; NULL: as many as the disk below, or as at first */
	u64 (*measure)(struct disk *);
};

#define DISK_ID_MAX 64

struct disk {
	const struct disk_ops *ops;
	const char *kind;
	struct disk *below;                /* the layer's; NULL: not a layer, or one of several disks */
	u32 sector_size;                   /* 512 or 4096 */
	_Atomic u64 sectors;               /* disk_measure() may change it at any time: read it once */
	u32 physical_size;                 /* a multiple of sector_size: what is written without reading first */
	u32 unmap_granularity;             /* in sectors; 0: unmapped sectors are not given back */
	bool read_only, unmap_zeroes;      /* unmapped sectors read as zero */
	struct guid id;                    /* stable over the disk's life, also across restarts */
};

void disk_submit(struct disk *disk, struct disk_request *request);
/* for implementations: the request goes up a layer */
void disk_done(struct disk_request *request, int result);
/* for layers: done() is called with the frame when the request comes back from the disk below; NULL: too many layers */
struct disk_frame *disk_push(struct disk *layer, struct disk_request *request,
			     void (*done)(struct disk_request *, struct disk_frame *, int));
/* submits to the disk below what was checked already */
static inline void disk_pass(struct disk *below, struct disk_request *request) { below->ops->submit(below, request); }

/* NULL is fine; a layer also destroys what is below it. No request may be under way. */
void disk_destroy(struct disk *disk);
void disk_inspect(void *disk, struct inspect *in);
/* geometry and identity of a layer are those of the disk below; it sets `below` itself */
void disk_like(struct disk *layer, const struct disk_ops *ops, const char *kind, const struct disk *below);
/*
 * Looks how large the disk is now, and all below it; true: not as large as it was. On the home of what is at the bottom; requests
 * may be under way, and those for what is no more there end with an error. What has no sector at all keeps the size it had.
 */
bool disk_measure(struct disk *disk);
/* for layers: likewise; its sectors */
u64 disk_measured(struct disk *below);
static inline u64 disk_bytes(const struct disk *disk) { return disk->sectors * disk->sector_size; }
const char *disk_op_name(enum disk_op op);

/* ---- walking a request's buffer */
struct disk_cursor {
	const struct iovec *iov;
	unsigned count;
	size_t at, left; /* within iov[0]; of the whole transfer */
};
struct disk_cursor disk_cursor(const struct disk_request *request, u64 len);
/* the next piece of at most max bytes; false at the end */
bool disk_cursor_next(struct disk_cursor *c, size_t max, struct iovec *ret);

/* ---- implementations. NULL: said why. */
struct disk *disk_ram(u64 bytes, u32 sector_size, const struct guid *id) __must_check;
/* the file's descriptor becomes the disk's; its size is what it is now */
struct disk *disk_file(int fd, u32 sector_size, bool read_only, const struct guid *id) __must_check;
/* below becomes the layer's in all of these, also when NULL is returned */
struct disk *disk_read_only(struct disk *below) __must_check;
struct disk *disk_partition(struct disk *below, u64 first, u64 sectors, const struct guid *id) __must_check;
/* equal sector sizes; the smallest decides. chunk in sectors */
#define DISK_COLUMNS_MAX 16u
struct disk *disk_stripe(struct disk **columns, unsigned count, u32 chunk, const struct guid *id) __must_check;
/* each request waits so long before it is passed on; at most 128 wait at a time, more pass at once */
struct disk *disk_delay(struct disk *below, u64 delay_ns) __must_check;
/* the newest 64 requests, in inspect */
struct disk *disk_trace(struct disk *below) __must_check;
/* counts, bytes, errors and latencies by powers of two */
struct disk *disk_stats(struct disk *below) __must_check;

enum disk_fault_kind { FAULT_NONE, FAULT_ERROR, FAULT_CORRUPT, FAULT_LOSE, FAULT_MISDIRECT };
/* kinds of requests (bit per enum disk_op) meet the fault with a chance of one in `one_in`; set in inspect or here, any thread */
struct disk *disk_fault(struct disk *below, u64 seed) __must_check;
void disk_fault_set(struct disk *fault, enum disk_fault_kind kind, u32 op_mask, u32 one_in, int error);
