#include "diag/server/data.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("data");

#define ACCEPT_BUDGET 16
#define ACCEPT_RETRY_NS 100000000ull

struct data_conn {
	struct data_port *port;
	struct list_node link;
	struct op hangup;
	struct timer timer;
	u64 id;
	int fd;            /* -1: claimed */
};

struct data_port {
	struct exec *exec;
	u64 unclaimed_ns, next_id;
	struct list_node conns;
	unsigned waiting, holds;
	int listen_fd;
	bool accepting, closing;
	struct op accept_op;
	struct timer retry;
	u64 accepted, claimed, expired, refused;
};

static void port_put(struct data_port *p)
{
	if (--p->holds == 0)
		free(p);
}

/* out of the table; the struct lives until its poll has come back */
static int conn_take(struct data_conn *c)
{
	struct data_port *p = c->port;
	int fd = c->fd;

	timer_disarm(p->exec, &c->timer);
	list_remove(&c->link);
	p->waiting--;
	c->fd = -1;
	op_cancel(p->exec, &c->hangup);
	return fd;
}

static void conn_hangup(struct op *op, int result)
{
	struct data_conn *c = container_of(op, struct data_conn, hangup);
	struct data_port *p = c->port;

	if (c->fd >= 0) {
		timer_disarm(p->exec, &c->timer);
		list_remove(&c->link);
		p->waiting--;
		close(c->fd);
	}
	free(c);
	port_put(p);
}

static void conn_expired(struct timer *timer)
{
	struct data_conn *c = container_of(timer, struct data_conn, timer);

	c->port->expired++;
	close(conn_take(c));
}

void data_adopt(struct data_port *p, int fd)
{
	struct data_conn *c = p->waiting < DATA_WAITING_MAX && !p->closing ? calloc(1, sizeof(*c)) : NULL;
	u64 id = p->next_id;

	/* eight bytes always fit into an empty socket buffer */
	if (!c || send(fd, &id, sizeof(id), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(id)) {
		p->refused++;
		close(fd);
		free(c);
		return;
	}
	p->next_id++;
	*c = (struct data_conn){ .port = p, .id = id, .fd = fd, .hangup.done = conn_hangup, .timer.fire = conn_expired };
	list_push(&p->conns, &c->link);
	p->waiting++;
	p->holds++;
	p->accepted++;
	timer_arm(p->exec, &c->timer, exec_now_ns(p->exec) + p->unclaimed_ns);
	op_poll(p->exec, &c->hangup, fd, POLLRDHUP);
}

int data_claim(struct data_port *p, u64 id)
{
	list_for_each(pos, &p->conns) {
		struct data_conn *c = container_of(pos, struct data_conn, link);

		if (c->id != id)
			continue;
		p->claimed++;
		return conn_take(c);
	}
	return -ENOENT;
}

static void accept_arm(struct data_port *p)
{
	p->accepting = true;
	op_poll(p->exec, &p->accept_op, p->listen_fd, POLLIN);
}

static void accept_again(struct timer *timer)
{
	accept_arm(container_of(timer, struct data_port, retry));
}

static void accept_ready(struct op *op, int result)
{
	struct data_port *p = container_of(op, struct data_port, accept_op);
	int fd = 0;

	p->accepting = false;
	for (int i = 0; i < ACCEPT_BUDGET && fd >= 0 && !p->closing; i++) {
		fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			data_adopt(p, fd);
	}
	if (p->closing) {
		close(p->listen_fd);
		port_put(p);
	} else if (fd < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ECONNABORTED) {
		log_guest("accept: %s", strerror(errno));
		timer_arm(p->exec, &p->retry, exec_now_ns(p->exec) + ACCEPT_RETRY_NS);
	} else {
		accept_arm(p);
	}
}

void data_listen(struct data_port *p, int fd)
{
	p->listen_fd = fd;
	p->holds++;
	accept_arm(p);
}

struct data_port *data_create(struct exec *exec, u64 unclaimed_ns)
{
	struct data_port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct data_port){ .exec = exec, .unclaimed_ns = unclaimed_ns, .next_id = 1, .holds = 1, .listen_fd = -1,
				 .accept_op.done = accept_ready, .retry.fire = accept_again };
	list_init(&p->conns);
	return p;
}

void data_destroy(struct data_port *p)
{
	if (!p)
		return;
	p->closing = true;
	while (!list_empty(&p->conns))
		close(conn_take(container_of(p->conns.next, struct data_conn, link)));
	timer_disarm(p->exec, &p->retry);
	if (p->accepting) {
		op_cancel(p->exec, &p->accept_op);
	} else if (p->listen_fd >= 0) {
		close(p->listen_fd);
		p->holds--; /* the owner's own is still there */
	}
	port_put(p);
}

void data_inspect(void *object, struct inspect *in)
{
	struct data_port *p = object;

	inspect_u64(in, "waiting", p->waiting);
	inspect_count(in, "accepted", p->accepted);
	inspect_count(in, "claimed", p->claimed);
	inspect_count(in, "expired", p->expired);
	inspect_count(in, "refused", p->refused);
}
