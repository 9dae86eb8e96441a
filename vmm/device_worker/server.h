/*
 * The process that plays a device for a device_proxy: one thread, blocking, no executor, nothing but two sockets. What it is
 * given comes from the VMM worker, which the guest may have taken over: messages are checked like anybody's.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/state/state.h"
#include "vmm/device_worker/message.h"

struct device_server;

struct device_access {
	u32 id, region;
	u64 offset, value; /* value: in on write, out on read, below size */
	u8 size;
	bool write, answered;
};

struct device_server_ops { /* NULL: this device has no such ability */
	/* answer by device_server_answer(), at once or before a longer piece of work; else it is done after this */
	void (*access)(void *device, struct device_access *a);
	void (*start)(void *device);
	void (*stop)(void *device);
	void (*reset)(void *device);
	void (*save)(void *device, struct saver *s);
	int (*restore)(void *device, struct bytes state);
	inspect_fn inspect;
	/* 0 and *ret_len bytes in out (DEVICE_PAYLOAD_MAX of them are there), or -errno */
	int (*call)(void *device, u64 operation, struct bytes in, u8 *out, size_t *ret_len);
};

/* the sockets stay the caller's */
struct device_server *device_server_create(int events_fd, int commands_fd, const struct device_server_ops *ops, void *device)
	__must_check;
void device_server_destroy(struct device_server *s);
/* serves until it is told to end (0), the proxy is gone (0), or it talks nonsense (-EPROTO); other -errno */
int device_server_run(struct device_server *s) __must_check;

/* from within ops: */
void device_server_answer(struct device_server *s, struct device_access *a);
int device_server_line(struct device_server *s, unsigned line, bool level) __must_check;
/* waits for the proxy's answer; at most DEVICE_MEMORY_MAX bytes. -EACCES outside the windows, -EFAULT, -EPIPE. */
int device_server_memory(struct device_server *s, u64 gpa, void *data, size_t len, bool write) __must_check;
