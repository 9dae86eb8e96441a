/*
 * gdb on VTL2 from its first instruction: the shim and the firmware's kernel, each VP a thread. The firmware has no part in it,
 * and no word of it. While the debugger looks, the partition is paused: its time stands still. One debugger at a time.
 * Loop thread.
 */
#pragma once

#include <stdio.h>

#include "host/vmbus/loop.h"
#include "host/vtl/partition.h"

struct gdb_host;

struct gdb_host_config {
	const char *at;          /* path of a unix socket, or [ADDRESS:]PORT */
	bool wait;               /* the first instruction waits for a debugger that lets it go */
	/* "monitor WORDS": the answer is written to out */
	void (*monitor)(void *ctx, const char *words, FILE *out);
	/* the debugger ends the machine */
	void (*kill)(void *ctx);
	void *ctx;
};

/* listens; errors are said */
int gdb_host_create(struct loop *loop, const struct gdb_host_config *config, struct gdb_host **ret) __must_check;
/* NULL is fine */
void gdb_host_destroy(struct gdb_host *g);
/* a partition with its image loaded, before partition_start(); and before it is stopped for good. NULL is fine. */
void gdb_host_begin(struct gdb_host *g, struct partition *p);
void gdb_host_end(struct gdb_host *g);
