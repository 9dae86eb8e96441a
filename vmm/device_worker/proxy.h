/*
 * A device of VTL0 that another process plays (vmm/device_worker/server.h): what the bus sees of it. Accesses go there and are
 * answered later; where nobody answers, the guest reads all ones and its writes go nowhere, never does it hang. The process
 * reaches guest memory only by asking, and only within windows that were given for it.
 */
#pragma once

#include "vmm/bus/device.h"
#include "vmm/device_worker/message.h"

struct device_proxy;

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
	struct exec *home;
	const struct device_window *windows;
	unsigned window_count;
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
struct device *device_proxy_device(struct device_proxy *p);
/* home's thread, while nobody plays it: takes both sockets over, non-blocking. -errno: then they are still the caller's. */
int device_proxy_attach(struct device_proxy *p, int events_fd, int commands_fd) __must_check;
