/* What a device is. Contract: every op runs with the device's lock held (by the bus, or device_lock()): never two at a time. */
#pragma once

#include <pthread.h>

#include "lib/inspect/inspect.h"
#include "lib/state/state.h"
#include "lib/task/exec.h"

enum io_status { IO_OK, IO_NO_REGISTER, IO_BAD_SIZE, IO_UNALIGNED, IO_PENDING };

/* an access that is answered later; it belongs to the one who made the access */
struct io_token {
	void (*done)(struct io_token *, u64 value);
};

struct io_access {
	u64 offset;              /* from the start of the region */
	u64 value;               /* in on write, out on read */
	u8 size;                 /* 1, 2, 4 or 8 */
	bool write;
	struct io_token *token;  /* keep it when returning IO_PENDING; NULL: the caller cannot wait */
};

struct device;

struct device_ops {              /* NULL = the device does not have this ability */
	enum io_status (*access)(struct device *, unsigned region, struct io_access *);
	void (*start)(struct device *);
	void (*stop)(struct device *);           /* after it: no interrupts, no timers, state is stable */
	void (*reset)(struct device *);
	void (*save)(struct device *, struct saver *);
	int (*restore)(struct device *, struct bytes);
	void (*inspect)(struct device *, struct inspect *);
};

enum space { SPACE_PIO, SPACE_MMIO, SPACES };

struct region {
	const char *name;
	enum space space;
	u64 base, len;
};

struct device {                  /* embed it; container_of back */
	const char *name;
	u32 tag;                 /* of its saved state */
	const struct device_ops *ops;
	const struct region *regions;
	unsigned region_count;
	struct exec *home;       /* timers and posts of the device */
	pthread_mutex_t lock;
	u64 reads, writes, faults;
};

static inline void device_lock(struct device *dev) { pthread_mutex_lock(&dev->lock); }
static inline void device_unlock(struct device *dev) { pthread_mutex_unlock(&dev->lock); }
/* any thread, exactly once per IO_PENDING */
static inline void io_complete(struct io_token *token, u64 value) { token->done(token, value); }
