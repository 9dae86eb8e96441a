/*
 * What gdb sees of memory: linear as a VP sees it, or physical, with the original bytes where breakpoints are. And those, by
 * physical address; the ones in debug registers beside them. What memory is comes through struct gdb_memory_ops.
 *
 * gdb's thread, but for gdb_soft_at().
 */
#pragma once

#include <pthread.h>

#include "lib/gdb/gdb.h"

#define GDB_SOFT_MAX 256u
#define GDB_HARD_MAX 4u

#define GDB_OPCODE_INT3 0xccu
/* IN AL, DX: where #BP cannot be intercepted but ports are; for code of CPL 0 */
#define GDB_OPCODE_IN 0xecu

struct gdb_memory_ops {
	/* physical; 0: all of it, or -errno */
	int (*read)(void *ctx, u64 gpa, void *to, size_t len);
	int (*write)(void *ctx, u64 gpa, const void *from, size_t len);
	/* is all of it memory? */
	bool (*there)(void *ctx, u64 gpa, size_t len);
	/* rights aside. -EFAULT: it leads nowhere; -EAGAIN */
	int (*translate)(void *ctx, unsigned vp, u64 linear, u64 *ret_gpa);
};

struct gdb_soft {
	u64 gpa;
	unsigned uses;          /* 0: free */
	u8 original;
};

struct gdb_hard {
	bool used;
	enum gdb_break kind;
	u64 address;
	u8 len;
};

struct gdb_memory {
	const struct gdb_memory_ops *ops;
	void *ctx;
	u8 opcode;              /* of breakpoints in memory; before the first is set */
	pthread_mutex_t lock;   /* of soft */
	struct gdb_soft soft[GDB_SOFT_MAX];
	struct gdb_hard hard[GDB_HARD_MAX];
};

/* The rest of *memory is overwritten. */
void gdb_memory_init(struct gdb_memory *memory, const struct gdb_memory_ops *ops, void *ctx);
void gdb_memory_fini(struct gdb_memory *memory);

/* as of struct gdb_target_ops */
int gdb_memory_read(struct gdb_memory *memory, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len);
int gdb_memory_write(struct gdb_memory *memory, unsigned vp, bool physical, u64 address, const void *from, size_t len);

/* false: what stands for a breakpoint would not exit there: IN, in a program (the lower half, while the VP is in one) */
bool gdb_soft_possible(const struct gdb_memory *memory, const struct gdb_registers *registers, u64 linear);
/* The same address may be set several times. -ENOSPC, -ENOENT, -EFAULT, -EAGAIN. */
int gdb_soft_insert(struct gdb_memory *memory, unsigned vp, u64 linear) __must_check;
int gdb_soft_remove(struct gdb_memory *memory, unsigned vp, u64 linear) __must_check;
/* any thread */
bool gdb_soft_at(struct gdb_memory *memory, u64 gpa);
unsigned gdb_soft_count(const struct gdb_memory *memory);
/* memory has got other contents, as after a reset: the breakpoints are put there again */
void gdb_soft_renew(struct gdb_memory *memory);

/* Only a list of what is wanted: setting registers is the embedder's. -EINVAL: length or alignment; -ENOSPC, -ENOENT. */
int gdb_hard_insert(struct gdb_memory *memory, enum gdb_break kind, u64 address, u64 len, struct gdb_hard **ret) __must_check;
int gdb_hard_remove(struct gdb_memory *memory, enum gdb_break kind, u64 address, u64 len) __must_check;
/* DR7's lower half, 0 if none is wanted; and DR0 to DR3 */
u64 gdb_hard_registers(const struct gdb_memory *memory, u64 ret_address[GDB_HARD_MAX]);
/* the stop that DR6 bits 0 to 3 mean */
void gdb_hard_stop(const struct gdb_memory *memory, u64 hits, struct gdb_stop *ret);

/* all breakpoints go */
void gdb_memory_clear(struct gdb_memory *memory);
