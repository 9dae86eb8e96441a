/* A controller under our driver, for nvme_drive: threads, and calls that wait. */
#pragma once

#include <semaphore.h>

#include "vmm/nvme_disk/nvme_disk.h"
#include "vmm/vfio/vfio.h"

#define EXECS_MAX 8u
#define ARENA_LEN (32 * MiB)

struct drive {
	struct nvme_transport transport;
	struct vfio_device *vfio;
	struct dma_pool *dma;
	u8 *registers;
	u64 registers_len;
	struct exec *home, *execs[EXECS_MAX];
	u32 exec_count;
	struct nvme *nvme;
	sem_t started, removed;
	int started_result;
	atomic_uint deaf; /* this I/O queue's submission doorbells do not reach the device; 0: all do */
	struct task request;
	struct op removal;
	/* memory that the device sees at an address of our choice, as it would see a guest's */
	u8 *arena;
	u64 arena_address;
	atomic_uint arena_used;
};

#define FAIL(...) drive_fail(__VA_ARGS__)
void drive_fail(const char *format, ...) __printf(1, 2) __attribute__((noreturn));

/* fn(ctx, arg) on that executor; waits until it has run */
void drive_call(struct exec *exec, void (*fn)(void *ctx, int arg), void *ctx, int arg);
/* false: not in so many seconds */
bool drive_wait(sem_t *sem, u32 seconds);
/* the transport's */
u32 drive_read(struct nvme_transport *t, u32 offset);
void drive_write(struct nvme_transport *t, u32 offset, u32 value);
/* what the driver says about itself at a path, or after setting it to update; the text is the caller's */
char *drive_ask(struct drive *d, const char *path, const char *update);
u64 drive_ask_number(struct drive *d, const char *path);
/* a disk over the namespace; ends the program if there is none */
struct disk *drive_disk(struct drive *d, u32 nsid);
/* of the arena, page aligned; a load gives its own back when it ends */
u8 *drive_memory(struct drive *d, u32 len);
/* one request, waited for; iov may be anywhere */
int drive_request(struct drive *d, struct disk *disk, u32 exec, enum disk_op op, u64 sector, u64 count, void *at);

/* ---- commands.c: NAME[:ARGUMENT]...; ends the program at the first thing that is not as it should be */
void drive_run(struct drive *d, char *text);

/* ---- load.c: random requests from all executors, everything read is checked */
struct load;
/* on each executor, lanes of the namespace's blocks, until load_stop(). plain: no flushes and deallocations. */
struct load *load_start(struct drive *d, u32 nsid, u64 seed, bool plain);
/* true: nothing new begins until false */
void load_hold(struct load *l, bool hold);
/* -ENODEV is an answer too: the device is about to be taken away */
void load_may_end(struct load *l);
/* waits until nothing is under way; prints what was done */
void load_stop(struct load *l);
u64 load_requests(struct load *l);
