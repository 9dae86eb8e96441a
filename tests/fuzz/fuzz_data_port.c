/*
 * Data connections: they come, are told a number each, are claimed by numbers true and false, hang up, send before they may, wait
 * too long, and the port goes with whatever is left. Nothing is claimed twice and nothing leaks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/server/data.h"
#include "lib/core/bytes.h"
#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"

#define CLIENTS 40 /* more than may wait */
#define UNCLAIMED_NS 1000000000u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct client {
	int fd; /* -1: none */
	u64 id; /* 0: refused */
	bool claimed;
};

struct play {
	struct sim *sim;
	struct data_port *port;
	struct client clients[CLIENTS];
};

static void quiet(enum log_level level, const char *domain, const char *text) {}

static void leave(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct client){ .fd = -1 };
}

static void come(struct play *p, struct client *c)
{
	int pair[2];

	leave(c);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	c->fd = pair[0];
	data_adopt(p->port, pair[1]);
	if (recv(c->fd, &c->id, sizeof(c->id), 0) != (ssize_t)sizeof(c->id))
		c->id = 0;
}

static void claim(struct play *p, u64 id)
{
	int fd = data_claim(p->port, id);

	if (fd < 0) {
		CHECK(fd == -ENOENT);
		return;
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		if (p->clients[i].id == id) {
			CHECK(!p->clients[i].claimed);
			p->clients[i].claimed = true;
		}
	close(fd);
}

static void step(struct play *p, struct bytes *in)
{
	u8 kind, which;
	u64 id;

	if (!bytes_u8(in, &kind) || !bytes_u8(in, &which))
		return;
	struct client *c = &p->clients[which % CLIENTS];

	switch (kind % 8) {
	case 0:
	case 1: come(p, c); break;
	case 2: claim(p, c->id); break;
	case 3:
		if (bytes_u64(in, &id))
			claim(p, id);
		break;
	case 4: leave(c); break;
	case 5:
		if (c->fd >= 0)
			shutdown(c->fd, SHUT_WR);
		break;
	case 6:
		if (c->fd >= 0 && send(c->fd, in->at, MIN(in->left, (size_t)which), MSG_NOSIGNAL) > 0)
			bytes_skip(in, MIN(in->left, (size_t)which));
		break;
	case 7: sim_run(p->sim, sim_now_ns(p->sim) + which * 10000000ull); break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct sim *sim; /* one for all: making it costs more than what it does here */
	static struct exec *exec;
	struct bytes in = bytes_of(data, size);

	if (!sim) {
		log_set_sink(quiet);
		sim = sim_create(1);
		exec = sim_exec(sim, "control");
	}
	struct play p = { .sim = sim };

	for (unsigned i = 0; i < CLIENTS; i++)
		p.clients[i].fd = -1;
	p.port = data_create(exec, UNCLAIMED_NS);
	CHECK(p.port);
	while (in.left)
		step(&p, &in);
	if (size & 1)
		sim_run(p.sim, sim_now_ns(p.sim) + 2 * UNCLAIMED_NS);
	for (unsigned i = 0; size & 1 && i < CLIENTS; i++)
		CHECK(!p.clients[i].id || data_claim(p.port, p.clients[i].id) == -ENOENT); /* whoever waits too long is gone */
	data_destroy(p.port);
	sim_run(p.sim, sim_now_ns(p.sim) + UNCLAIMED_NS);
	for (unsigned i = 0; i < CLIENTS; i++)
		leave(&p.clients[i]);
	return 0;
}
