/* A blocking ttrpc client over a connected stream socket: one call at a time. For command-line tools. */
#pragma once

#include "lib/rpc/ttrpc.h"

struct ttrpc_client {
	int fd; /* the caller's */
	u32 next_stream;
};

struct ttrpc_answer {
	u8 *body;                      /* malloc'd; ttrpc_answer_fini() */
	struct ttrpc_response response; /* points into it */
};

void ttrpc_client_init(struct ttrpc_client *client, int fd);
/*
 * 0: an answer came, which may be a status. -ETIMEDOUT: none within timeout_ms (the server is told the same limit; 0 waits for
 * ever), -EPIPE: the connection ended, -EPROTO: not ttrpc, other -errno of the socket. After an error the socket is of no use.
 */
int ttrpc_call_method(struct ttrpc_client *client, const char *service, const char *method, struct bytes payload,
		      unsigned timeout_ms, struct ttrpc_answer *ret) __must_check;
void ttrpc_answer_fini(struct ttrpc_answer *answer);
/* exactly len bytes by then (now_ns() clock); errors as above */
int ttrpc_read_until(int fd, void *data, size_t len, u64 deadline_ns) __must_check;
