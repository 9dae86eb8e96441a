#include "diag/server/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("link");

#define REPLY_MAX (4u << 20)

struct slot {
	struct link_query *query; /* NULL with busy: nobody waits any more, the worker's reply is still due */
	u32 id;
	bool busy;
};

struct link {
	struct exec *exec;
	int fd;
	void (*ended)(void *context, int error);
	void *context;
	struct slot slots[LINK_REQUESTS_MAX];
	struct list_node waiting;
	u32 next_id;
	struct op rx, tx;
	bool rx_busy, tx_busy, dead, destroyed;
	struct iovec rx_iov, tx_iov;
	u8 *in;
	size_t in_len, in_room;
	u8 out[LINK_REQUESTS_MAX * (sizeof(struct link_request) + LINK_BODY_MAX)];
	size_t out_len;
	u64 asked, replies, timeouts;
};

static void flush(struct link *l);
static void submit_waiting(struct link *l);

static void link_put(struct link *l)
{
	if (!l->destroyed || l->rx_busy || l->tx_busy)
		return;
	close(l->fd);
	free(l->in);
	free(l);
}

static void finish(struct link_query *q, int error, struct bytes body)
{
	struct link *l = q->link;

	timer_disarm(l->exec, &q->timer);
	list_remove(&q->node);
	if (q->slot >= 0)
		l->slots[q->slot].query = NULL;
	q->done(q, error, body);
}

static void fail_all(struct link *l)
{
	while (!list_empty(&l->waiting))
		finish(container_of(l->waiting.next, struct link_query, node), -EPIPE, bytes_of(NULL, 0));
	for (unsigned i = 0; i < LINK_REQUESTS_MAX; i++)
		if (l->slots[i].query)
			finish(l->slots[i].query, -EPIPE, bytes_of(NULL, 0));
}

static void die(struct link *l, int error)
{
	if (l->dead)
		return;
	l->dead = true;
	shutdown(l->fd, SHUT_RDWR);
	fail_all(l);
	if (!l->destroyed)
		l->ended(l->context, error);
}

static void timed_out(struct timer *timer)
{
	struct link_query *q = container_of(timer, struct link_query, timer);

	q->link->timeouts++;
	finish(q, -ETIMEDOUT, bytes_of(NULL, 0));
}

/* ---- to the worker */
static void written(struct op *op, int result)
{
	struct link *l = container_of(op, struct link, tx);

	l->tx_busy = false;
	if (result <= 0) {
		die(l, result ? result : -EPIPE);
	} else {
		l->out_len -= (size_t)result;
		memmove(l->out, l->out + result, l->out_len);
		flush(l);
	}
	link_put(l);
}

static void flush(struct link *l)
{
	if (l->tx_busy || l->dead || !l->out_len)
		return;
	l->tx_busy = true;
	l->tx_iov = (struct iovec){ l->out, l->out_len };
	op_writev(l->exec, &l->tx, l->fd, &l->tx_iov, 1, ~0ull);
}

/* a free slot has room in out too: each slot's request is there at most once until it is answered */
static void submit(struct link *l, struct link_query *q, unsigned slot)
{
	struct link_request r = { .id = l->next_id++, .op = (u8)q->op, .depth = (u8)MIN(q->depth, 255u),
				  .path_len = q->path_len, .value_len = q->value_len, .limit = (u16)q->limit };
	size_t len = (size_t)q->path_len + q->value_len;

	r.len = (u32)(sizeof(r) - sizeof(r.len) + len);
	l->slots[slot] = (struct slot){ q, r.id, true };
	q->slot = (int)slot;
	memcpy(l->out + l->out_len, &r, sizeof(r));
	memcpy(l->out + l->out_len + sizeof(r), q->text, len);
	l->out_len += sizeof(r) + len;
	l->asked++;
}

static void submit_waiting(struct link *l)
{
	for (unsigned i = 0; i < LINK_REQUESTS_MAX && !l->dead && !list_empty(&l->waiting); i++) {
		if (l->slots[i].busy)
			continue;
		struct link_query *q = container_of(l->waiting.next, struct link_query, node);

		list_remove(&q->node);
		submit(l, q, i);
	}
	flush(l);
}

void link_ask(struct link *l, struct link_query *q, u64 timeout_ns)
{
	q->link = l;
	q->slot = -1;
	if (!l || l->dead) {
		q->done(q, -EPIPE, bytes_of(NULL, 0));
		return;
	}
	q->timer = (struct timer){ .fire = timed_out };
	q->node = (struct list_node){ 0 };
	timer_arm(l->exec, &q->timer, exec_now_ns(l->exec) + timeout_ns);
	list_push(&l->waiting, &q->node);
	submit_waiting(l);
}

int link_query_set(struct link_query *q, enum link_op op, const char *path, unsigned depth, const char *value)
{
	size_t path_len = strlen(path), value_len = value ? strlen(value) : 0;

	if (path_len + value_len > LINK_BODY_MAX)
		return -ENAMETOOLONG;
	q->op = op;
	q->depth = depth;
	q->limit = 0;
	q->path_len = (u16)path_len;
	q->value_len = (u16)value_len;
	memcpy(q->text, path, path_len);
	if (value)
		memcpy(q->text + path_len, value, value_len);
	return 0;
}

/* ---- from the worker */
static void on_reply(struct link *l, const struct link_reply *r, struct bytes body)
{
	l->replies++;
	for (unsigned i = 0; i < LINK_REQUESTS_MAX; i++) {
		if (!l->slots[i].busy || l->slots[i].id != r->id)
			continue;
		struct link_query *q = l->slots[i].query;

		l->slots[i] = (struct slot){ 0 };
		if (q) {
			q->slot = -1;
			finish(q, r->error, body);
		}
		return;
	}
	log_at(LOG_WARN, "a reply nobody asked for");
}

/* one reply from the front of the buffer; false: more bytes are needed, or the stream is broken */
static bool take(struct link *l)
{
	struct link_reply r;

	if (l->in_len < sizeof(r))
		return false;
	memcpy(&r, l->in, sizeof(r));
	if (r.len < sizeof(r) - sizeof(r.len) || r.len > REPLY_MAX || r.error > 0) {
		die(l, log_err(-EPROTO, "malformed reply from the worker"));
		return false;
	}
	size_t total = r.len + sizeof(r.len);

	if (l->in_len < total)
		return false;
	on_reply(l, &r, bytes_of(l->in + sizeof(r), total - sizeof(r)));
	l->in_len -= total;
	memmove(l->in, l->in + total, l->in_len);
	return true;
}

static bool read_more(struct link *l)
{
	if (l->in_len == l->in_room) {
		size_t room = l->in_room ? l->in_room * 2 : 16384;
		u8 *in = room > 2 * REPLY_MAX ? NULL : realloc(l->in, room);

		if (!in)
			return false;
		l->in = in;
		l->in_room = room;
	}
	l->rx_busy = true;
	l->rx_iov = (struct iovec){ l->in + l->in_len, l->in_room - l->in_len };
	op_readv(l->exec, &l->rx, l->fd, &l->rx_iov, 1, ~0ull);
	return true;
}

static void have_read(struct op *op, int result)
{
	struct link *l = container_of(op, struct link, rx);

	/* rx stays busy meanwhile: what a query's done() does cannot free the link under us */
	if (result > 0 && !l->dead) {
		l->in_len += (size_t)result;
		while (take(l))
			;
		submit_waiting(l);
	}
	l->rx_busy = false;
	if (result <= 0)
		die(l, result ? result : -EPIPE);
	else if (!l->dead && !read_more(l))
		die(l, -ENOMEM);
	link_put(l);
}

struct link *link_create(struct exec *exec, int fd, void (*ended)(void *context, int error), void *context)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l) {
		close(fd);
		return NULL;
	}
	l->exec = exec;
	l->fd = fd;
	l->ended = ended;
	l->context = context;
	l->next_id = 1;
	l->rx.done = have_read;
	l->tx.done = written;
	list_init(&l->waiting);
	if (!read_more(l)) {
		close(fd);
		free(l);
		return NULL;
	}
	return l;
}

void link_destroy(struct link *l)
{
	if (!l)
		return;
	l->destroyed = true;
	die(l, -ECANCELED);
	if (l->rx_busy)
		op_cancel(l->exec, &l->rx);
	if (l->tx_busy)
		op_cancel(l->exec, &l->tx);
	link_put(l);
}

void link_inspect(void *object, struct inspect *in)
{
	struct link *l = object;

	inspect_count(in, "asked", l->asked);
	inspect_count(in, "replies", l->replies);
	inspect_count(in, "timeouts", l->timeouts);
}
