/*
 * A ttrpc server on an executor: listening sockets, many clients, answers in any order. Every call below runs on that
 * executor's thread. What a client can hold is bounded: clients, calls and bytes; one that breaks the protocol or does not
 * read its answers loses its connection, and nobody else notices.
 */
#pragma once

#include "lib/rpc/ttrpc.h"
#include "lib/task/exec.h"

struct ttrpc_server;
struct ttrpc_call;

/*
 * A request came. payload lives until the call is answered. The handler answers exactly once, at any later time, with
 * ttrpc_reply() or ttrpc_fail(); past the client's deadline, or without the client, the answer is dropped.
 */
struct ttrpc_method {
	const char *service, *method;
	void (*handler)(void *context, struct ttrpc_call *call, struct bytes payload);
};

struct ttrpc_config {
	const struct ttrpc_method *methods; /* must outlive the server */
	unsigned method_count;
	void *context;
	u32 request_max;   /* bytes of a request's body; 0: 64 KiB */
	u32 clients_max;   /* 0: 64. One more evicts the client that has been idle longest */
	u64 stall_ns;      /* a client that takes no byte of its answers so long is dropped; 0: 10 s */
};

struct ttrpc_counts {
	u64 accepted, clients, requests, failed, timed_out, dropped_clients, refused_bytes;
};

struct ttrpc_server *ttrpc_server_create(struct exec *exec, const struct ttrpc_config *config) __must_check;
/* ends all connections; memory goes when the last operation and the last unanswered call have come back */
void ttrpc_server_destroy(struct ttrpc_server *server);
/* serves clients of a listening, non-blocking socket, which it takes over. -EBUSY: it has one. */
int ttrpc_server_listen(struct ttrpc_server *server, int fd) __must_check;
/* serves one connected stream socket; takes fd over, also on failure */
int ttrpc_server_adopt(struct ttrpc_server *server, int fd) __must_check;
void ttrpc_server_counts(const struct ttrpc_server *server, struct ttrpc_counts *ret);

void ttrpc_reply(struct ttrpc_call *call, const void *payload, size_t len);
void ttrpc_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...) __printf(3, 4);
/* how much time the client grants still, at most fallback_ns */
u64 ttrpc_call_time_left(const struct ttrpc_call *call, u64 fallback_ns);
