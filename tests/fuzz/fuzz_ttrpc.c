/* Frames from a client: the header, both bodies, and a server that is fed the bytes as they are. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/check.h"
#include "lib/rpc/server.h"
#include "lib/task/exec_sim.h"

static void echo(void *context, struct ttrpc_call *call, struct bytes payload)
{
	if (payload.left > 8)
		ttrpc_fail(call, TTRPC_INTERNAL, "no");
	else
		ttrpc_reply(call, payload.at, payload.left);
}

static void serve(const u8 *data, size_t size)
{
	static const struct ttrpc_method methods[] = { { "s", "m", echo } };
	struct ttrpc_config config = { .methods = methods, .method_count = 1, .request_max = 256 };
	struct sim *sim = sim_create(1);
	struct exec *exec = sim_exec(sim, "rpc");
	struct ttrpc_server *server = ttrpc_server_create(exec, &config);
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(ttrpc_server_adopt(server, pair[0]) == 0);
	CHECK(write(pair[1], data, size) == (ssize_t)size);
	shutdown(pair[1], SHUT_WR);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	ttrpc_server_destroy(server);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	close(pair[1]);
	sim_destroy(sim);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct ttrpc_request request;
	struct ttrpc_response response;

	if (size > 4096)
		return 0;
	if (!ttrpc_request_decode(bytes_of(data, size), &request))
		CHECK(request.service.left <= size && request.payload.left <= size);
	if (!ttrpc_response_decode(bytes_of(data, size), &response))
		CHECK(response.payload.left <= size);
	serve(data, size);
	return 0;
}
