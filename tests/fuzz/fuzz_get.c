/* Messages of a hostile host: input is a run of {u16 length, bytes}. */
#include <string.h>

#include "lib/core/check.h"
#include "lib/task/exec_sim.h"
#include "vmm/get/get.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static int take(void *context, const void *data, size_t len)
{
	CHECK(len >= sizeof(struct get_header) && len <= GET_MESSAGE_MAX);
	return 0;
}

static void ready(void *context, int error)
{
	CHECK(++*(int *)context == 1);
}

static void notified(void *context, u16 id, struct bytes body)
{
	CHECK(body.left <= GET_MESSAGE_MAX);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct get_port port = { .send = take };
	static const struct get_events events = { ready, notified };
	struct bytes b = bytes_of(data, size), message;
	struct sim *sim = sim_create(1);
	int readies = 0;
	struct get *get = get_create(sim_exec(sim, "get"), &port, NULL, &events, &readies);
	u16 len;

	get_start(get);
	while (bytes_u16(&b, &len) && bytes_take(&b, len, &message))
		get_received(get, message.at, message.left);
	CHECK(strlen(get_settings(get)) <= size);
	get_destroy(get);
	sim_destroy(sim);
	return 0;
}
