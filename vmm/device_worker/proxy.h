/*
 * A device of VTL0 that another process plays (vmm/device_worker/server.h): what the bus sees of it. Accesses go there and are
 * answered later; where nobody answers, the guest reads all ones and its writes go nowhere, never does it hang. The process
 * reaches guest memory only by asking, and only within windows that were given for it.
 */
#pragma once

#include "vmm/bus/device.h"
#include "vmm/device_worker/message.h"

struct device_proxy;

#define DEVICE_WINDOWS_MAX 8u

/* guest memory that the process may ask for */
struct device_window {
	u64 gpa, len;
	bool writable;
};

struct device_proxy_config {
	const char *name;
	u32 tag;
	const struct region *regions; /* the caller's, as windows are */
	unsigned region_count;
	/*
	 * Serves the process's wishes: not a thread that calls the device's ops, which wait for the process while it may be
	 * waiting for memory.
	 */
	struct exec *home;
	const struct device_window *windows; /* at most DEVICE_WINDOWS_MAX */
	unsigned window_count;
	/* NULL, or told of each access before it goes to the process. On the VP's thread, under the device's lock. */
	void (*seen)(void *context, unsigned region, const struct io_access *a);
	/* all on home's thread. memory: copies to or from the guest; 0 or -errno */
	int (*memory)(void *context, u64 gpa, void *data, size_t len, bool write);
	void (*line)(void *context, unsigned line, bool level);
	/* once for each device_proxy_attach(): the process is gone (-EPIPE), does not answer (-ETIMEDOUT) or talks nonsense
	 * (-EPROTO). It is to be ended; another may be attached, from here on. */
	void (*lost)(void *context, int error);
	void *context;
};

/* for bus_attach(). NULL: no memory. Nobody plays it yet. */
struct device_proxy *device_proxy_create(const struct device_proxy_config *config) __must_check;
/* home's thread, VPs stopped. lost() is not called any more; memory goes when what is in flight has ended. NULL is fine. */
void device_proxy_destroy(struct device_proxy *p);
/* any thread, but not from within memory() or lost(). A window of no length is none. */
void device_proxy_set_window(struct device_proxy *p, unsigned index, const struct device_window *window);
/*
 * Something that only this device knows (device_server_ops.call). Not home's thread; waits for the answer. 0, -E2BIG, -ENOSPC
 * (the answer is longer than room), -ENODEV nobody plays it, the device's own word, or as lost() would hear.
 */
int device_proxy_call(struct device_proxy *p, u64 operation, struct bytes in, void *out, size_t room, size_t *ret_len)
	__must_check;
struct device *device_proxy_device(struct device_proxy *p);
/* home's thread, while nobody plays it: takes both sockets over, non-blocking. -errno: then they are still the caller's. */
int device_proxy_attach(struct device_proxy *p, int events_fd, int commands_fd) __must_check;
