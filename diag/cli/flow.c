#include "diag/cli/flow.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/types.h"

void flow_want(const struct flow *f, struct pollfd ret[2])
{
	ret[0] = (struct pollfd){ f->len || f->to < 0 ? -1 : f->from, POLLIN, 0 };
	ret[1] = (struct pollfd){ f->len ? f->to : -1, POLLOUT, 0 };
}

static void end(struct flow *f)
{
	if (!f->shared)
		shutdown(f->to, SHUT_WR);
	f->from = f->to = -1;
	f->len = 0;
}

static bool later(ssize_t n)
{
	return n < 0 && (errno == EINTR || errno == EAGAIN);
}

static void fill(struct flow *f)
{
	ssize_t n = read(f->from, f->data, sizeof(f->data));

	if (later(n))
		return;
	f->at = 0;
	f->len = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		end(f);
}

/* a pipe that can be written to takes PIPE_BUF at once; it has no MSG_DONTWAIT */
static void drain(struct flow *f)
{
	ssize_t n = send(f->to, f->data + f->at, f->len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK)
		n = write(f->to, f->data + f->at, MIN(f->len, (size_t)PIPE_BUF));
	if (later(n))
		return;
	if (n < 0) {
		end(f);
		return;
	}
	f->at += (size_t)n;
	f->len -= (size_t)n;
}

void flow_move(struct flow *f, const struct pollfd ready[2])
{
	if (ready[1].fd >= 0 && ready[1].revents)
		drain(f);
	else if (ready[0].fd >= 0 && ready[0].revents)
		fill(f);
}

void flow_join(int in, int out, int there)
{
	struct flow forth = { .from = in, .to = there }, back = { .from = there, .to = out };

	while (!flow_ended(&forth) || !flow_ended(&back)) {
		struct pollfd p[4];

		flow_want(&forth, p);
		flow_want(&back, p + 2);
		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno != EINTR)
				return;
			continue;
		}
		flow_move(&forth, p);
		flow_move(&back, p + 2);
		if (flow_ended(&back) && in != out)
			return; /* a pipe is closed by ending */
	}
}
