/*
 * A core file as the kernel writes it, with one note more: the kernel log (spec/crash.h). It is read as a stream, so a core of
 * any size passes. What is no core of the known shape passes unchanged, and that is logged.
 */
#pragma once

#include "lib/core/types.h"

struct core;

struct core_input {
	/* the core's next bytes: how many, 0 at its end, -errno. May give less than asked for. */
	int (*read)(void *ctx, void *buf, size_t room);
	/* the kernel log's end, at most room bytes; how many */
	size_t (*log)(void *ctx, char *buf, size_t room);
	void *ctx;
};

/* NULL: no memory */
struct core *core_create(const struct core_input *input) __must_check;
/* next bytes of the core with its note: how many, 0 at the end, -errno */
int core_read(struct core *core, void *buf, size_t room) __must_check;
void core_destroy(struct core *core);
