#include "diag/server/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/os/cleanup.h"

#define CHUNKS_A_TURN 16
#define LINGER_NS 10000000000ull

static void maybe_ended(struct relay *r)
{
	if (r->state != RELAY_ENDING || r->from_busy || r->to_busy || r->hangup_busy || r->end_busy)
		return;
	fd_close(&r->from);
	fd_close(&r->to);
	r->state = RELAY_IDLE;
	r->ended(r);
}

static void end_posted(struct op *op, int arg)
{
	struct relay *r = container_of(op, struct relay, end_op);

	r->end_busy = false;
	maybe_ended(r);
}

static void end(struct relay *r)
{
	if (r->state == RELAY_ENDING || r->state == RELAY_IDLE)
		return;
	r->state = RELAY_ENDING;
	timer_disarm(r->exec, &r->timer);
	if (r->from_busy)
		op_cancel(r->exec, &r->from_op);
	if (r->to_busy)
		op_cancel(r->exec, &r->to_op);
	if (r->hangup_busy)
		op_cancel(r->exec, &r->hangup_op);
	r->end_busy = true;
	exec_post(r->exec, &r->end_op, end_posted, 0);
}

static void timer_fired(struct timer *timer);

/* all was written: a socket's peer is told and waited for, a pipe or terminal is closed */
static void finish(struct relay *r)
{
	if (shutdown(r->to, SHUT_WR)) {
		end(r);
		return;
	}
	r->state = RELAY_LINGERING;
	fd_close(&r->from);
	timer_arm(r->exec, &r->timer, exec_now_ns(r->exec) + LINGER_NS);
	if (!r->hangup_busy)
		end(r);
}

static bool blocked(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

/* true: all of the buffer is written */
static bool write_some(struct relay *r)
{
	while (r->at < r->len) {
		ssize_t n = write(r->to, r->data + r->at, r->len - r->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && blocked(errno)) {
			r->to_busy = true;
			op_poll(r->exec, &r->to_op, r->to, POLLOUT);
			return false;
		}
		if (n < 0) {
			end(r);
			return false;
		}
		r->at += (size_t)n;
		r->bytes += (u64)n;
	}
	r->at = r->len = 0;
	return true;
}

static void wait_from(struct relay *r)
{
	r->from_busy = true;
	op_poll(r->exec, &r->from_op, r->from, POLLIN);
}

/* true: something is in the buffer */
static bool read_some(struct relay *r)
{
	ssize_t n;

	do
		n = read(r->from, r->data, sizeof(r->data));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		r->len = (size_t)n;
		return true;
	}
	if (n < 0 && blocked(errno))
		wait_from(r);
	else if (!n && r->follow_ns)
		timer_arm(r->exec, &r->timer, exec_now_ns(r->exec) + r->follow_ns);
	else
		finish(r); /* EIO is how a terminal says that its last user has gone */
	return false;
}

static void turn(struct relay *r)
{
	for (int i = 0; i < CHUNKS_A_TURN && r->state == RELAY_RUNNING; i++)
		if (!write_some(r) || !read_some(r))
			return;
	/* others get their turn before more of this */
	if (r->state == RELAY_RUNNING)
		wait_from(r);
}

static void timer_fired(struct timer *timer)
{
	struct relay *r = container_of(timer, struct relay, timer);

	if (r->state == RELAY_RUNNING)
		turn(r);
	else
		end(r);
}

static void from_ready(struct op *op, int result)
{
	struct relay *r = container_of(op, struct relay, from_op);

	r->from_busy = false;
	/* what cannot be polled (a file) can be read */
	if (r->state == RELAY_RUNNING)
		turn(r);
	maybe_ended(r);
}

static void to_ready(struct op *op, int result)
{
	struct relay *r = container_of(op, struct relay, to_op);

	r->to_busy = false;
	if (r->state == RELAY_RUNNING && result < 0)
		end(r);
	else if (r->state == RELAY_RUNNING)
		turn(r);
	maybe_ended(r);
}

/* also how a lingering relay learns that its peer has read everything and closed */
static void hung_up(struct op *op, int result)
{
	struct relay *r = container_of(op, struct relay, hangup_op);

	r->hangup_busy = false;
	end(r);
	maybe_ended(r);
}

static void start(struct relay *r)
{
	r->from_op.done = from_ready;
	r->to_op.done = to_ready;
	r->hangup_op.done = hung_up;
	r->timer = (struct timer){ .fire = timer_fired };
	r->hangup_busy = true;
	op_poll(r->exec, &r->hangup_op, r->to, POLLRDHUP);
}

static void make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void relay_start(struct relay *r, int from, int to)
{
	r->from = from;
	r->to = to;
	r->state = RELAY_RUNNING;
	make_nonblocking(from);
	make_nonblocking(to);
	start(r);
	wait_from(r);
}

void relay_linger(struct relay *r, int socket)
{
	r->from = -1;
	r->to = socket;
	r->state = RELAY_RUNNING;
	start(r);
	finish(r);
}

void relay_stop(struct relay *r)
{
	end(r);
}
