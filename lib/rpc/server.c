#include "lib/rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("rpc");

#define REQUEST_MAX_DEFAULT 65536u
#define CLIENTS_MAX_DEFAULT 64u
#define STALL_DEFAULT_NS 10000000000ull
#define CALLS_PER_CLIENT 16u      /* past it the client is not read from until one is answered */
#define CALLS_MAX 64u              /* of all clients together: each may hold a timer, and an executor has 256 */
#define OUT_HIGH (1u << 20)       /* nor while so many bytes of answers wait */
#define READ_BUDGET 65536u        /* bytes of one client a turn */
#define ACCEPT_BUDGET 16
#define ACCEPT_RETRY_NS 100000000ull

struct ttrpc_server {
	struct exec *exec;
	struct ttrpc_config config;
	struct ttrpc_counts counts;
	struct list_node clients;
	unsigned calls;
	unsigned holds; /* owner, listening operation, clients, calls */
	bool closing, accepting;
	int listen_fd;
	struct op accept_op;
	struct timer accept_retry;
};

struct client {
	struct ttrpc_server *server;
	struct list_node link, calls;
	int fd;
	struct op rx, tx;
	bool rx_busy, tx_busy, eof, closing;
	struct timer stall;
	u64 active_ns;
	unsigned call_count;
	u8 head[TTRPC_HEADER_LEN];
	u32 head_len, body_len, body_room, skip;
	struct ttrpc_header header;
	u8 *body;
	struct pb_writer out;
	size_t out_at;
};

struct ttrpc_call {
	struct ttrpc_server *server;
	struct client *client; /* NULL: nobody waits any more */
	struct list_node link;
	struct timer timer;
	u64 deadline_ns;       /* 0: none */
	u32 stream;
	u8 *body;
};

static void client_read(struct client *c);
static void client_close(struct client *c);

static void server_put(struct ttrpc_server *s)
{
	if (--s->holds == 0)
		free(s);
}

/* ---- a client's end */
static void client_put(struct client *c)
{
	if (c->rx_busy || c->tx_busy)
		return;
	struct ttrpc_server *s = c->server;

	close(c->fd);
	free(c->body);
	pb_fini(&c->out);
	free(c);
	server_put(s);
}

static void call_detach(struct ttrpc_call *call)
{
	timer_disarm(call->server->exec, &call->timer);
	if (!call->client)
		return;
	list_remove(&call->link);
	call->client->call_count--;
	call->client = NULL;
}

static void client_close(struct client *c)
{
	struct ttrpc_server *s = c->server;

	if (c->closing)
		return;
	c->closing = true;
	list_remove(&c->link);
	s->counts.clients--;
	timer_disarm(s->exec, &c->stall);
	while (!list_empty(&c->calls))
		call_detach(container_of(c->calls.next, struct ttrpc_call, link));
	shutdown(c->fd, SHUT_RDWR);
	if (c->rx_busy)
		op_cancel(s->exec, &c->rx);
	if (c->tx_busy)
		op_cancel(s->exec, &c->tx);
}

static void client_drop(struct client *c)
{
	c->server->counts.dropped_clients++;
	client_close(c);
}

static void stalled(struct timer *timer)
{
	struct client *c = container_of(timer, struct client, stall);

	log_at(LOG_DEBUG, "a client does not read its answers: dropped");
	client_drop(c);
	client_put(c);
}

/* ---- answers */
static size_t out_left(const struct client *c)
{
	return c->out.len - c->out_at;
}

/* false: the client is gone */
static bool client_flush(struct client *c)
{
	struct ttrpc_server *s = c->server;
	bool moved = false;

	while (out_left(c)) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, out_left(c), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			client_drop(c);
			return false;
		}
		c->out_at += (size_t)n;
		moved = true;
	}
	if (!out_left(c)) {
		/* the memory of a large answer is not kept for an idle client */
		pb_fini(&c->out);
		c->out_at = 0;
		timer_disarm(s->exec, &c->stall);
		return true;
	}
	if (moved || !c->stall.slot)
		timer_arm(s->exec, &c->stall, exec_now_ns(s->exec) + s->config.stall_ns);
	if (!c->tx_busy) {
		c->tx_busy = true;
		op_poll(s->exec, &c->tx, c->fd, POLLOUT);
	}
	return true;
}

/* after anything changed: send, read on, or end */
static void client_turn(struct client *c)
{
	if (!c->closing && client_flush(c)) {
		if (c->out_at > OUT_HIGH) {
			memmove(c->out.data, c->out.data + c->out_at, out_left(c));
			c->out.len -= c->out_at;
			c->out_at = 0;
		}
		if (!c->eof)
			client_read(c);
		else if (!c->call_count && !out_left(c))
			client_close(c);
	}
	if (c->closing)
		client_put(c);
}

static void tx_done(struct op *op, int result)
{
	struct client *c = container_of(op, struct client, tx);

	c->tx_busy = false;
	client_turn(c);
}

static void client_send_status(struct client *c, u32 stream, enum ttrpc_code code, const char *text)
{
	c->server->counts.failed++;
	ttrpc_status_frame(&c->out, stream, code, text);
	if (c->out.failed)
		client_drop(c);
}

static void call_end(struct ttrpc_call *call)
{
	struct ttrpc_server *s = call->server;

	free(call->body);
	free(call);
	s->calls--;
	server_put(s);
}

void ttrpc_reply(struct ttrpc_call *call, const void *payload, size_t len)
{
	struct client *c = call->client;

	call_detach(call);
	if (c) {
		size_t before = c->out.len;

		ttrpc_payload_frame(&c->out, call->stream, bytes_of(payload, len));
		if (c->out.failed && len > TTRPC_BODY_MAX - 16) {
			/* too long for the protocol: the frame goes, the client stays */
			c->out.failed = false;
			c->out.len = before;
			client_send_status(c, call->stream, TTRPC_RESOURCE_EXHAUSTED, "the answer is too long");
		} else if (c->out.failed) {
			client_drop(c);
		}
		client_turn(c);
	}
	call_end(call);
}

void ttrpc_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *format, ...)
{
	struct client *c = call->client;
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	call_detach(call);
	if (c) {
		client_send_status(c, call->stream, code, text);
		client_turn(c);
	}
	call_end(call);
}

u64 ttrpc_call_time_left(const struct ttrpc_call *call, u64 fallback_ns)
{
	u64 now = exec_now_ns(call->server->exec);

	if (!call->deadline_ns)
		return fallback_ns;
	return call->deadline_ns <= now ? 1 : MIN(call->deadline_ns - now, fallback_ns);
}

static void call_timed_out(struct timer *timer)
{
	struct ttrpc_call *call = container_of(timer, struct ttrpc_call, timer);
	struct client *c = call->client;

	call_detach(call);
	call->server->counts.timed_out++;
	if (!c)
		return;
	client_send_status(c, call->stream, TTRPC_DEADLINE_EXCEEDED, "deadline exceeded");
	client_turn(c);
}

/* ---- requests */
static bool text_is(struct bytes b, const char *text)
{
	return b.left == strlen(text) && !memcmp(b.at, text, b.left);
}

static const struct ttrpc_method *method_find(struct ttrpc_server *s, const struct ttrpc_request *r, bool *ret_service)
{
	*ret_service = false;
	for (unsigned i = 0; i < s->config.method_count; i++) {
		const struct ttrpc_method *m = &s->config.methods[i];

		if (!text_is(r->service, m->service))
			continue;
		*ret_service = true;
		if (text_is(r->method, m->method))
			return m;
	}
	return NULL;
}

static void refuse_unknown(struct client *c, const struct ttrpc_request *r, bool service_known)
{
	struct bytes name = service_known ? r->method : r->service;
	char text[128];

	snprintf(text, sizeof(text), "unknown %s %.*s", service_known ? "method" : "service", (int)MIN(name.left, 80u),
		 (const char *)name.at);
	client_send_status(c, c->header.stream, TTRPC_UNIMPLEMENTED, text);
}

/* the call takes the body over */
static void call_start(struct client *c, const struct ttrpc_method *m, const struct ttrpc_request *r)
{
	struct ttrpc_server *s = c->server;
	struct ttrpc_call *call = s->calls < CALLS_MAX ? calloc(1, sizeof(*call)) : NULL;

	if (!call) {
		client_send_status(c, c->header.stream, TTRPC_RESOURCE_EXHAUSTED, "too many calls at once");
		return;
	}
	*call = (struct ttrpc_call){ .server = s, .client = c, .stream = c->header.stream, .body = c->body,
				     .timer.fire = call_timed_out };
	c->body = NULL;
	c->body_room = 0;
	list_push(&c->calls, &call->link);
	c->call_count++;
	s->calls++;
	s->holds++;
	if (r->timeout_ns && !add_overflow(exec_now_ns(s->exec), r->timeout_ns, &call->deadline_ns))
		timer_arm(s->exec, &call->timer, call->deadline_ns);
	m->handler(s->config.context, call, r->payload);
}

static void client_message(struct client *c)
{
	struct ttrpc_server *s = c->server;
	struct ttrpc_request r;
	bool service_known;

	s->counts.requests++;
	if (c->header.stream % 2 == 0) {
		client_send_status(c, c->header.stream, TTRPC_INVALID_ARGUMENT, "stream id must be odd for client requests");
	} else if (c->header.type != TTRPC_REQUEST) {
		client_send_status(c, c->header.stream, TTRPC_INVALID_ARGUMENT, "invalid message type");
	} else if (c->header.length > s->config.request_max) {
		client_send_status(c, c->header.stream, TTRPC_RESOURCE_EXHAUSTED, "the request is too long");
	} else if (ttrpc_request_decode(bytes_of(c->body, c->body_len), &r)) {
		client_send_status(c, c->header.stream, TTRPC_INVALID_ARGUMENT, "malformed request");
	} else {
		const struct ttrpc_method *m = method_find(s, &r, &service_known);

		if (m)
			call_start(c, m, &r);
		else
			refuse_unknown(c, &r, service_known);
	}
}

/* room for the next bytes of the body: as many as came, not as many as were announced */
static bool body_grow(struct client *c)
{
	u32 room = MIN(c->body_room ? c->body_room * 2 : 1024, c->header.length);
	u8 *body = c->body_len < c->body_room ? c->body : realloc(c->body, room ? room : 1);

	if (!body)
		return false;
	if (c->body_len >= c->body_room)
		c->body_room = room;
	c->body = body;
	return true;
}

static void header_complete(struct client *c)
{
	ttrpc_header_decode(c->head, &c->header);
	c->body_len = 0;
	c->skip = 0;
	if (c->header.length > c->server->config.request_max) {
		c->skip = c->header.length;
		c->server->counts.refused_bytes += c->header.length;
	}
}

/* where the next bytes go; *ret_room > 0 */
static u8 *read_place(struct client *c, size_t *ret_room)
{
	static u8 sink[4096]; /* nobody reads it */

	if (c->head_len < TTRPC_HEADER_LEN) {
		*ret_room = TTRPC_HEADER_LEN - c->head_len;
		return c->head + c->head_len;
	}
	if (c->skip) {
		*ret_room = MIN(c->skip, sizeof(sink));
		return sink;
	}
	if (!body_grow(c))
		return NULL;
	*ret_room = c->body_room - c->body_len;
	return c->body + c->body_len;
}

static void took(struct client *c, size_t n)
{
	if (c->head_len < TTRPC_HEADER_LEN) {
		c->head_len += (u32)n;
		if (c->head_len < TTRPC_HEADER_LEN)
			return;
		header_complete(c);
	} else if (c->skip) {
		c->skip -= (u32)n;
	} else {
		c->body_len += (u32)n;
	}
	if (c->skip || (c->header.length <= c->server->config.request_max && c->body_len < c->header.length))
		return;
	c->head_len = 0;
	client_message(c);
	free(c->body);
	c->body = NULL;
	c->body_room = c->body_len = 0;
}

static bool client_full(const struct client *c)
{
	return c->call_count >= CALLS_PER_CLIENT || out_left(c) > OUT_HIGH;
}

/* reads what is there, up to the budget; a handler may answer, or end the client, while we are in took() */
static void client_drain(struct client *c)
{
	size_t budget = READ_BUDGET, room;

	c->active_ns = exec_now_ns(c->server->exec);
	while (!c->closing && !client_full(c) && budget) {
		u8 *place = read_place(c, &room);
		ssize_t n = place ? recv(c->fd, place, MIN(room, budget), MSG_DONTWAIT) : -1;

		if (!place) {
			client_drop(c);
		} else if (n > 0) {
			budget -= (size_t)n;
			took(c, (size_t)n);
		} else if (n == 0) {
			c->eof = true;
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			client_drop(c);
		}
	}
}

static void client_read(struct client *c)
{
	if (c->rx_busy || c->eof || client_full(c))
		return;
	c->rx_busy = true;
	op_poll(c->server->exec, &c->rx, c->fd, POLLIN);
}

static void rx_done(struct op *op, int result)
{
	struct client *c = container_of(op, struct client, rx);

	/* rx stays busy while handlers run, so that a reply from inside one cannot free the client under us */
	if (!c->closing && result >= 0)
		client_drain(c);
	else if (!c->closing)
		client_drop(c);
	c->rx_busy = false;
	client_turn(c);
}

/* ---- clients come */
static bool evict_idle(struct ttrpc_server *s)
{
	struct client *oldest = NULL;

	list_for_each(pos, &s->clients) {
		struct client *c = container_of(pos, struct client, link);

		if (!c->call_count && (!oldest || c->active_ns < oldest->active_ns))
			oldest = c;
	}
	if (!oldest)
		return false;
	client_drop(oldest);
	client_put(oldest);
	return true;
}

int ttrpc_server_adopt(struct ttrpc_server *s, int fd)
{
	struct client *c = NULL;

	if (!s->closing && (s->counts.clients < s->config.clients_max || evict_idle(s)))
		c = calloc(1, sizeof(*c));
	if (!c) {
		s->counts.dropped_clients++;
		close(fd);
		return -EBUSY;
	}
	*c = (struct client){ .server = s, .fd = fd, .rx.done = rx_done, .tx.done = tx_done, .stall.fire = stalled,
			      .active_ns = exec_now_ns(s->exec) };
	list_init(&c->calls);
	list_push(&s->clients, &c->link);
	s->counts.accepted++;
	s->counts.clients++;
	s->holds++;
	client_read(c);
	return 0;
}

static void accept_arm(struct ttrpc_server *s)
{
	s->accepting = true;
	op_poll(s->exec, &s->accept_op, s->listen_fd, POLLIN);
}

static void accept_again(struct timer *timer)
{
	accept_arm(container_of(timer, struct ttrpc_server, accept_retry));
}

static void accept_ready(struct op *op, int result)
{
	struct ttrpc_server *s = container_of(op, struct ttrpc_server, accept_op);
	int fd = 0;

	s->accepting = false;
	for (int i = 0; i < ACCEPT_BUDGET && fd >= 0 && !s->closing; i++) {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0 && ttrpc_server_adopt(s, fd))
			log_guest("too many clients at once");
	}
	if (s->closing) {
		close(s->listen_fd);
		server_put(s);
	} else if (fd < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED) {
		/* out of descriptors, say: the socket stays readable, so poll would spin */
		log_guest("accept: %s", strerror(errno));
		timer_arm(s->exec, &s->accept_retry, exec_now_ns(s->exec) + ACCEPT_RETRY_NS);
	} else {
		accept_arm(s);
	}
}

int ttrpc_server_listen(struct ttrpc_server *s, int fd)
{
	if (s->listen_fd >= 0)
		return -EBUSY;
	s->listen_fd = fd;
	s->holds++;
	accept_arm(s);
	return 0;
}

struct ttrpc_server *ttrpc_server_create(struct exec *exec, const struct ttrpc_config *config)
{
	struct ttrpc_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->exec = exec;
	s->config = *config;
	s->config.request_max = MIN(config->request_max ? config->request_max : REQUEST_MAX_DEFAULT, TTRPC_BODY_MAX);
	s->config.clients_max = config->clients_max ? config->clients_max : CLIENTS_MAX_DEFAULT;
	s->config.stall_ns = config->stall_ns ? config->stall_ns : STALL_DEFAULT_NS;
	s->holds = 1;
	s->listen_fd = -1;
	s->accept_op.done = accept_ready;
	s->accept_retry.fire = accept_again;
	list_init(&s->clients);
	return s;
}

void ttrpc_server_destroy(struct ttrpc_server *s)
{
	if (!s)
		return;
	s->closing = true;
	while (!list_empty(&s->clients)) {
		struct client *c = container_of(s->clients.next, struct client, link);

		client_close(c);
		client_put(c);
	}
	timer_disarm(s->exec, &s->accept_retry);
	if (s->accepting) {
		op_cancel(s->exec, &s->accept_op);
	} else if (s->listen_fd >= 0) {
		close(s->listen_fd);
		s->holds--; /* the owner's own is still there */
	}
	server_put(s);
}

void ttrpc_server_counts(const struct ttrpc_server *s, struct ttrpc_counts *ret)
{
	*ret = s->counts;
}
