/*
 * VTL2's end of the crash channel (spec/crash.h): asks whether the host takes a core, and sends one. Belongs to one executor.
 * The host's bytes are checked; what makes no sense ends it.
 */
#pragma once

#include "lib/core/bytes.h"

struct sender;

struct sender_port {
	int (*send)(void *ctx, const void *data, size_t len);  /* 0, -EAGAIN (sender_run() when there is room), -errno */
	int (*read)(void *ctx, void *buf, size_t room);        /* the core: how many bytes, 0 at its end, -errno */
	void (*done)(void *ctx, int error);                    /* once; 0: all is in the ring, which may still have to be read */
};

struct sender_kernel {
	u32 major, minor;
	char banner[256]; /* /proc/version */
};

/* NULL: no memory. The first message goes with sender_run(). */
struct sender *sender_create(const struct sender_port *port, void *ctx, const struct sender_kernel *kernel) __must_check;
void sender_destroy(struct sender *s);
/* sends until there is no room or the host has to answer; true: it could go on, after others had their turn */
bool sender_run(struct sender *s) __must_check;
/* a message of the host, valid during the call; sender_run() is due then */
void sender_received(struct sender *s, const void *data, size_t len);
/* the channel is gone: done() with that error, unless it has come */
void sender_closed(struct sender *s, int error);
/* bytes of the core that went out; whether the host's limit cut it */
u64 sender_sent(const struct sender *s, bool *ret_cut);
