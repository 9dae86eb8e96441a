/*
 * The data port: a client connects, is told an id, and names it in a later request (facts B6). Belongs to one executor.
 * A connection nobody claims goes after a while; only so many wait at once.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

#define DATA_WAITING_MAX 32

struct data_port;

struct data_port *data_create(struct exec *exec, u64 unclaimed_ns) __must_check;
/* memory goes when the operations in flight have ended */
void data_destroy(struct data_port *port);
/* takes a listening, non-blocking socket over */
void data_listen(struct data_port *port, int fd);
/* takes a connected socket over: sends its id, 8 bytes little endian. For data_listen() and tests. */
void data_adopt(struct data_port *port, int fd);
/* the connection of that id, non-blocking and the caller's from now on; -ENOENT */
int data_claim(struct data_port *port, u64 id) __must_check;
void data_inspect(void *port, struct inspect *in);
