/* The diagnostics server on a simulated executor, one client and, when a test wants one, a worker that the test plays. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"

struct fixture {
	struct sim *sim;
	struct control control;
	int client, data, worker;
	u8 got[65536];
	ssize_t got_len;
};

static inline void turn(struct fixture *f)
{
	sim_run(f->sim, sim_now_ns(f->sim) + 100000000);
}

static inline int pair_of(int *ret_ours)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	*ret_ours = pair[1];
	return pair[0];
}

static inline void link_gone(void *context, int error)
{
}

static inline void start(struct fixture *f)
{
	struct ttrpc_config config = { .methods = control_methods, .method_count = control_method_count,
				       .context = &f->control };
	struct control *c = &f->control;

	memset(f, 0, sizeof(*f));
	f->sim = sim_create(11);
	c->exec = sim_exec(f->sim, "control");
	c->worker.exec = c->exec;
	streams_init(&c->streams, c->exec);
	c->server = ttrpc_server_create(c->exec, &config);
	c->data = data_create(c->exec, 1000000000);
	processes_init(&c->processes, c->exec, c->data);
	assert_int_equal(ttrpc_server_adopt(c->server, pair_of(&f->client)), 0);
	f->worker = -1;
}

static inline void end(struct fixture *f)
{
	link_destroy(f->control.worker.link);
	streams_fini(&f->control.streams);
	ttrpc_server_destroy(f->control.server);
	data_destroy(f->control.data);
	sim_run(f->sim, sim_now_ns(f->sim) + 1000000000);
	close(f->client);
	if (f->worker >= 0)
		close(f->worker);
	sim_destroy(f->sim);
}

static inline void ask(struct fixture *f, const void *frame, size_t len)
{
	assert_int_equal(write(f->client, frame, len), len);
	turn(f);
	f->got_len = read(f->client, f->got, sizeof(f->got));
}
