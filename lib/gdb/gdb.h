/*
 * The GDB remote serial protocol, stub side, for a machine whose VPs are gdb's threads (VP n is thread n + 1). Knows packets and
 * registers; what a machine is comes through struct gdb_target_ops, so that it is tested on a fake one. All-stop only.
 *
 * One owner, one thread. The embedder gives it what comes in (gdb_receive), sends what is in gdb->out, and tells of stops.
 */
#pragma once

#include "lib/gdb/packet.h"
#include "lib/gdb/registers.h"

#define GDB_VPS_MAX 256u

enum gdb_action { GDB_STAY, GDB_CONTINUE, GDB_STEP };

struct gdb_resume {
	enum gdb_action action;
	u64 from, to;           /* GDB_STEP: on while RIP is in [from, to); both 0: one step */
};

enum gdb_break { GDB_BREAK_SOFT, GDB_BREAK_HARD, GDB_WATCH_WRITE, GDB_WATCH_READ, GDB_WATCH_ACCESS }; /* of Z and z */

enum gdb_stop_reason { GDB_STOP_INTERRUPTED, GDB_STOP_STEP, GDB_STOP_SOFT, GDB_STOP_HARD, GDB_STOP_WATCH, GDB_STOP_FAULT };

struct gdb_stop {
	unsigned vp;
	enum gdb_stop_reason reason;
	enum gdb_break watch;   /* STOP_WATCH */
	u64 address;
};

/*
 * -EAGAIN from registers(), put(), read(), write(), insert(), remove() and monitor(): it takes a while; gdb_ready() when it is
 * worth asking again, for all of the packet from its beginning.
 * Everything but count() and interrupt() is called only while all VPs are stopped.
 */
struct gdb_target_ops {
	unsigned (*count)(void *ctx);
	/* all VPs are to leave the guest; gdb_stopped() follows */
	void (*interrupt)(void *ctx);
	/* one entry a VP; gdb_stopped() follows, not from within */
	void (*resume)(void *ctx, const struct gdb_resume *vps);
	/* 0: *ret has these classes, and stays the target's. -EAGAIN, -errno */
	int (*registers)(void *ctx, unsigned vp, unsigned classes, struct gdb_registers **ret);
	/* what was changed there goes to the VP. -EAGAIN; -errno: it was refused */
	int (*put)(void *ctx, unsigned vp);
	/* physical, or linear as that VP sees it. Reads as much as there is: 0 with *ret_len > 0, or -EFAULT */
	int (*read)(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len);
	/* all or -EFAULT */
	int (*write)(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len);
	/* -ENOTSUP: not this kind; -ENOSPC; -EFAULT; -ENOENT */
	int (*insert)(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len);
	int (*remove)(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len);
	/* words after "monitor" with the answer as text; -ENOENT: no such command */
	int (*monitor)(void *ctx, unsigned vp, const char *words, struct gdb_text *ret);
	/* a few words about a VP for `info threads` */
	void (*describe)(void *ctx, unsigned vp, char *text, size_t size);
	/* breakpoints go, everything runs on; nothing is asked any more */
	void (*detach)(void *ctx);
	/* the guest is to be switched off; nothing is asked any more */
	void (*kill)(void *ctx);
};

struct gdb {
	const struct gdb_target_ops *ops;
	void *ctx;
	struct gdb_reader reader;
	struct gdb_writer out;    /* to be sent; the embedder takes it away with gdb_sent() */
	struct gdb_text text;     /* the monitor's answer */
	u8 *last;                 /* the last packet sent, for a NAK */
	size_t last_len;
	bool running;             /* the guest runs: a stop has to be told */
	bool waits;               /* the packet in reader is to be looked at again */
	bool no_ack, physical;
	bool ended;               /* nothing more will be answered; the connection may go once out is empty */
	unsigned general, resumed; /* thread of registers and memory; of c and s: 0 for all */
	struct gdb_stop stop;     /* the last one */
	u64 packets, replies, errors, bad, stops;
};

/* all VPs are stopped. The rest of *gdb is overwritten. */
void gdb_init(struct gdb *gdb, const struct gdb_target_ops *ops, void *ctx);
void gdb_fini(struct gdb *gdb);
/* returns how many bytes were taken: the others are to come again after gdb_ready() */
size_t gdb_receive(struct gdb *gdb, const void *data, size_t len);
void gdb_ready(struct gdb *gdb);
/* all VPs are stopped, for that reason */
void gdb_stopped(struct gdb *gdb, const struct gdb_stop *stop);
/* that many bytes at the beginning of gdb->out are on their way */
void gdb_sent(struct gdb *gdb, size_t len);
