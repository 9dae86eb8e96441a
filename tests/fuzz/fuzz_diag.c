/*
 * The diagnostics services behind their frames: methods with any payload, data connections that are claimed, used and dropped, in
 * any order. Methods that act on this machine (Exec, ReadFile, Crash, Start) are left to their parsers' own targets.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/server/control.h"
#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/task/exec_sim.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const struct { const char *service, *method; } methods[] = {
	{ "inspect.InspectService", "Inspect" }, { "inspect.InspectService", "Update" }, { "diag.UnderhillDiag", "Wait" },
	{ "diag.UnderhillDiag", "Kmsg" }, { "diag.UnderhillDiag", "PacketCapture" }, { "diag.UnderhillDiag", "Pause" },
	{ "diag.UnderhillDiag", "DumpSavedState" }, { "diag.UnderhillDiag", "Restart" }, { "diag.OpenhclDiag", "Ping" },
};

struct play {
	struct sim *sim;
	struct control control;
	int client, data[8];
};

static void quiet(enum log_level level, const char *domain, const char *text) {}

static int socket_for(int *ret_ours)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	*ret_ours = pair[1];
	return pair[0];
}

static void turn(struct play *p)
{
	u8 answer[4096];

	sim_run(p->sim, sim_now_ns(p->sim) + 10000000);
	while (read(p->client, answer, sizeof(answer)) > 0)
		;
}

static void call(struct play *p, u8 which, struct bytes payload)
{
	struct pb_writer w;

	pb_init(&w);
	which %= ARRAY_SIZE(methods);
	ttrpc_request_frame(&w, 1, methods[which].service, methods[which].method, payload, 0);
	CHECK(!w.failed);
	if (write(p->client, w.data, w.len) != (ssize_t)w.len)
		CHECK(!"the server does not read");
	pb_fini(&w);
}

static void step(struct play *p, struct bytes *in)
{
	u8 kind, len;
	struct bytes body;

	if (!bytes_u8(in, &kind) || !bytes_u8(in, &len))
		return;
	int *data = &p->data[len % ARRAY_SIZE(p->data)];

	if (kind < 0xc0) {
		if (bytes_take(in, MIN((size_t)len, in->left), &body))
			call(p, kind, body);
	} else if (kind < 0xe0 && *data < 0) {
		data_adopt(p->control.data, socket_for(data));
	} else if (*data >= 0) {
		close(*data);
		*data = -1;
	}
	turn(p);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct ttrpc_config config = { .methods = control_methods, .method_count = control_method_count };
	struct bytes in = bytes_of(data, size);
	struct play p = { .sim = sim_create(1) };
	struct control *c = &p.control;

	if (size > 2048) {
		sim_destroy(p.sim);
		return 0;
	}
	log_set_sink(quiet);
	memset(p.data, 0xff, sizeof(p.data));
	config.context = c;
	c->exec = c->worker.exec = sim_exec(p.sim, "control");
	c->kmsg_path = "/dev/null";
	streams_init(&c->streams, c->exec);
	c->server = ttrpc_server_create(c->exec, &config);
	c->data = data_create(c->exec, 1000000000);
	processes_init(&c->processes, c->exec, c->data);
	CHECK(!ttrpc_server_adopt(c->server, socket_for(&p.client)));
	while (in.left)
		step(&p, &in);
	streams_fini(&c->streams);
	ttrpc_server_destroy(c->server);
	data_destroy(c->data);
	sim_run(p.sim, sim_now_ns(p.sim) + 20000000000ull);
	CHECK(c->inspections == 0);
	close(p.client);
	for (unsigned i = 0; i < ARRAY_SIZE(p.data); i++)
		if (p.data[i] >= 0)
			close(p.data[i]);
	sim_destroy(p.sim);
	return 0;
}
