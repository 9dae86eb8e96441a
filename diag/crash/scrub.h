/*
 * A core of a process that keeps secrets, without them: the same file, byte for byte as long, in which is left what a back trace
 * needs. Of the registers: addresses of the program and of the stack, and small numbers; of the stack: words that point into the
 * program or into the stack; of the rest of its memory: what cannot be written (the program itself). All else is zeroes.
 *
 * A stream as the kernel writes it. What is no core of the known shape is not passed on at all.
 */
#pragma once

#include "lib/core/types.h"

struct scrub;

/* read: as core_input.read. NULL: no memory */
struct scrub *scrub_create(int (*read)(void *ctx, void *buf, size_t room), void *ctx) __must_check;
/* the next bytes: how many, 0 at the end, -errno; -EPROTO, said: it is none of the known shape */
int scrub_read(struct scrub *s, void *buf, size_t room) __must_check;
/* wiped; NULL is fine */
void scrub_destroy(struct scrub *s);
