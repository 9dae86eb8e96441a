/* Call stacks and how often each was seen; its text is what flame-graph tools read: "thread;outermost;…;innermost count". */
#pragma once

#include <stdio.h>

#include "lib/core/types.h"

#define STACK_DEPTH_MAX 64
#define STACKS_MAX 16384

struct stacks;

struct stacks *stacks_create(void) __must_check;
void stacks_destroy(struct stacks *stacks);
/* frames from the innermost out, as perf_event gives them; at most STACK_DEPTH_MAX are kept. Too many different ones: counted. */
void stacks_add(struct stacks *stacks, const char *thread, const u64 *frames, unsigned count);
/* frames in hexadecimal; what was lost is a stack of its own, so that no sample disappears */
void stacks_print(const struct stacks *stacks, FILE *out);
