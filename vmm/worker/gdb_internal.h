/* Between the files of the gdbstub. Main's thread, but where a VP's is named. */
#pragma once

#include "lib/gdb/memory.h"
#include "vmm/worker/gdb.h"
#include "vmm/worker/worker.h"

struct gdb_vp {
	struct gdb_server *server;
	struct vp *vp;
	struct op op;                /* main asks its thread: read, write, release */
	struct op hold_op;           /* and to hold, maybe while a release is still on its way */
	struct op met_op;            /* its thread tells main */
	struct op changed_op;
	atomic_bool changed_posted;
	unsigned busy;               /* of these, under way */
	struct gdb_registers regs;   /* its thread's while busy */
	bool stale;                  /* it is to be read again */
	unsigned classes;            /* to be read */
	int result;                  /* of the last reading */
	bool put;                    /* a writing has ended, and nobody has heard of it yet */
	int put_result;
	bool applied;                /* and of setting debug registers */
	int apply_result;
	bool query;                  /* text is the answer to a monitor command */
	int query_result;
	struct gdb_text text;
	bool met;                    /* it stopped by itself, and gdb does not know yet */
	enum vp_debug_stop why;
	u64 value;
	struct gdb_resume resume;
	struct vp_hardware hardware;
};

struct gdb_server {
	struct worker *w;
	/* HOLDING: VPs are asked to stop; LEAVING: the same, to let the guest run on alone */
	enum { GDB_NOBODY, GDB_ATTACHING, GDB_HELD, GDB_RUNNING, GDB_HOLDING, GDB_LEAVING } state;
	int listen_fd, fd;
	struct op accept_op, read_op, write_op;
	bool reading, writing, gone; /* gone: nobody is at the other end any more */
	struct iovec read_iov, write_iov;
	u8 in[GDB_PACKET_MAX * 2];
	size_t in_len;
	struct gdb_writer sending;
	size_t sent;
	struct gdb gdb;
	struct gdb_vp *vps;
	unsigned left;               /* VPs whose answer is awaited */
	bool soft;                   /* #BP is intercepted */
	struct gdb_memory memory;
	struct gdb_stop stop;
	struct inspect_request inspection;
	char inspect_path[256];
	bool inspecting, inspected, inspect_later;
	struct gdb_text inspect_text;
	u64 clients, refused, held, packets, bytes_in, bytes_out;
};

/* gdb_server.c: runs fn on the VP's thread; it ends by gdb_vp_answer() */
void gdb_vp_ask(struct gdb_vp *v, void (*fn)(struct op *, int));
void gdb_vp_answer(struct gdb_vp *v);
/* what a packet waited for is there */
void gdb_server_wake(struct gdb_server *s);

/* gdb_memory.c: struct gdb_target_ops; ctx is a struct gdb_server */
extern const struct gdb_memory_ops gdb_server_memory;
int gdb_target_read(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len);
int gdb_target_write(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len);
int gdb_break_insert(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len);
int gdb_break_remove(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len);
/* the debug registers that the hard ones want */
struct vp_hardware gdb_break_hardware(const struct gdb_server *s);

/* gdb_monitor.c */
int gdb_monitor(void *ctx, unsigned vp, const char *words, struct gdb_text *ret);
