#include "diag/server/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORDS_A_TURN 64

struct stream {
	struct streams *owner;
	struct list_node link;
	int source, conn;
	bool follow, ended, source_busy, conn_busy, hangup_busy;
	struct op source_op, conn_op, hangup_op;
	struct op again;
	bool again_busy;
	u8 record[STREAM_RECORD_MAX];
	size_t len, sent;
};

static void stream_put(struct stream *s)
{
	if (s->source_busy || s->conn_busy || s->hangup_busy || s->again_busy)
		return;
	close(s->source);
	close(s->conn);
	free(s);
}

static void stream_end(struct stream *s)
{
	if (s->ended)
		return;
	s->ended = true;
	list_remove(&s->link);
	s->owner->count--;
	if (s->source_busy)
		op_cancel(s->owner->exec, &s->source_op);
	if (s->conn_busy)
		op_cancel(s->owner->exec, &s->conn_op);
	if (s->hangup_busy)
		op_cancel(s->owner->exec, &s->hangup_op);
}

/* the record's rest goes out: 1 all of it, 0 the socket is full, -errno */
static int send_record(struct stream *s)
{
	while (s->sent < s->len) {
		ssize_t n = send(s->conn, s->record + s->sent, s->len - s->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		s->sent += (size_t)n;
	}
	return 1;
}

/* the next record: 1 there is one, 0 none now, -errno at the end */
static int read_record(struct stream *s)
{
	for (;;) {
		ssize_t n = read(s->source, s->record, sizeof(s->record) - 1);

		if (n > 0) {
			s->record[n] = 0;
			s->len = (size_t)n + 1;
			s->sent = 0;
			s->owner->records++;
			return 1;
		}
		if (!n)
			return -ENODATA;
		/* EPIPE: records were overwritten under us; EINVAL: one is longer than the protocol allows (kernel/printk) */
		if (errno == EPIPE || errno == EINVAL)
			s->owner->lost++;
		else if (errno != EINTR)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	}
}

static void wait_source(struct stream *s)
{
	s->source_busy = true;
	op_poll(s->owner->exec, &s->source_op, s->source, POLLIN);
}

static void wait_conn(struct stream *s)
{
	s->conn_busy = true;
	op_poll(s->owner->exec, &s->conn_op, s->conn, POLLOUT);
}

static void run_again(struct op *op, int arg);

static void stream_turn(struct stream *s)
{
	for (int i = 0; i < RECORDS_A_TURN && !s->ended; i++) {
		int r = send_record(s);

		if (r < 0) {
			stream_end(s);
		} else if (!r) {
			wait_conn(s);
			return;
		} else if ((r = read_record(s)) < 0 || (!r && !s->follow)) {
			stream_end(s);
		} else if (!r) {
			wait_source(s);
			return;
		}
	}
	if (s->ended)
		return;
	/* a long log is sent in pieces, so that others get their turn */
	s->again_busy = true;
	exec_post(s->owner->exec, &s->again, run_again, 0);
}

static void run_again(struct op *op, int arg)
{
	struct stream *s = container_of(op, struct stream, again);

	s->again_busy = false;
	if (!s->ended)
		stream_turn(s);
	if (s->ended)
		stream_put(s);
}

static void source_ready(struct op *op, int result)
{
	struct stream *s = container_of(op, struct stream, source_op);

	s->source_busy = false;
	if (!s->ended && result >= 0)
		stream_turn(s);
	else
		stream_end(s);
	if (s->ended)
		stream_put(s);
}

static void conn_ready(struct op *op, int result)
{
	struct stream *s = container_of(op, struct stream, conn_op);

	s->conn_busy = false;
	if (!s->ended && result >= 0)
		stream_turn(s);
	else
		stream_end(s);
	if (s->ended)
		stream_put(s);
}

static void hung_up(struct op *op, int result)
{
	struct stream *s = container_of(op, struct stream, hangup_op);

	s->hangup_busy = false;
	stream_end(s);
	stream_put(s);
}

int stream_start(struct streams *owner, int source, int conn, bool follow)
{
	struct stream *s = owner->count < STREAMS_MAX ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		close(source);
		close(conn);
		return owner->count < STREAMS_MAX ? -ENOMEM : -EBUSY;
	}
	*s = (struct stream){ .owner = owner, .source = source, .conn = conn, .follow = follow,
			      .source_op.done = source_ready, .conn_op.done = conn_ready, .hangup_op.done = hung_up };
	list_push(&owner->list, &s->link);
	owner->count++;
	owner->started++;
	s->hangup_busy = true;
	op_poll(owner->exec, &s->hangup_op, conn, POLLRDHUP);
	/* not from here: the answer to the request goes first */
	s->again_busy = true;
	exec_post(owner->exec, &s->again, run_again, 0);
	return 0;
}

void streams_init(struct streams *streams, struct exec *exec)
{
	*streams = (struct streams){ .exec = exec };
	list_init(&streams->list);
}

void streams_fini(struct streams *streams)
{
	while (!list_empty(&streams->list))
		stream_end(container_of(streams->list.next, struct stream, link));
}

void streams_inspect(void *object, struct inspect *in)
{
	struct streams *s = object;

	inspect_u64(in, "open", s->count);
	inspect_count(in, "started", s->started);
	inspect_count(in, "records", s->records);
	inspect_count(in, "lost", s->lost);
}
