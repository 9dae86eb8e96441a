/*
 * A VMBus channel of VTL2 that the kernel bound to uio_hv_generic, message pipe mode. Belongs to its executor. What the host
 * puts into the ring is not trusted: nonsense closes the channel.
 */
#pragma once

#include "lib/core/guid.h"
#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

#define UIO_MESSAGE_MAX 16384u

struct uio_channel;

struct uio_ops {
	void (*receive)(void *context, const u8 *data, size_t len); /* valid during the call */
	void (*writable)(void *context);     /* after -EAGAIN: try again */
	void (*closed)(void *context, int error); /* once; no more callbacks; uio_close() is still due */
};

/* -ENOENT: no such channel, or not bound to uio (not said: the caller knows whether it must be there); else said */
int uio_open(const struct guid *instance, struct exec *exec, const struct uio_ops *ops, void *context,
	     struct uio_channel **ret) __must_check;
/* 0; -EAGAIN: writable() follows; -EMSGSIZE; -EPIPE after closed() */
int uio_send(struct uio_channel *channel, const void *data, size_t len) __must_check;
/* has the host read everything that was sent? A channel closed before that takes the rest with it. */
bool uio_drained(struct uio_channel *channel);
/* memory goes when the operation in flight has ended; NULL is fine. No callbacks any more. */
void uio_close(struct uio_channel *channel);
void uio_inspect(void *channel, struct inspect *in);
