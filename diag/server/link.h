/*
 * Questions to the worker over its request socket (vmm/worker/link.h). Belongs to the control process's executor. At most
 * LINK_REQUESTS_MAX are under way, more wait; each has a time limit, also while it waits.
 */
#pragma once

#include "lib/task/exec.h"
#include "lib/core/bytes.h"
#include "lib/inspect/inspect.h"
#include "vmm/worker/link.h"

struct link;

struct link_query {
	enum link_op op;
	unsigned depth;
	enum node_sensitivity limit;  /* may be set after link_query_set(); 0: everything */
	char text[LINK_BODY_MAX + 1]; /* path, then value */
	u16 path_len, value_len;
	/* once; error -errno, or 0 and the reply's body (valid during the call). -ETIMEDOUT, -EPIPE without a worker. */
	void (*done)(struct link_query *, int error, struct bytes body);
	struct timer timer;
	struct list_node node;
	struct link *link;
	int slot; /* -1: waits */
};

/* takes fd over; ended() once when the worker's side is gone or talks nonsense, after all queries were answered -EPIPE */
struct link *link_create(struct exec *exec, int fd, void (*ended)(void *context, int error), void *context) __must_check;
/* queries end with -EPIPE before this returns; memory goes when the operations in flight have ended */
void link_destroy(struct link *link);
/* fills op, depth and text; -ENAMETOOLONG */
int link_query_set(struct link_query *query, enum link_op op, const char *path, unsigned depth, const char *value) __must_check;
/* link may be NULL (no worker): done() runs before this returns */
void link_ask(struct link *link, struct link_query *query, u64 timeout_ns);
void link_inspect(void *link, struct inspect *in);
