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

#include "lib/task/exec_sim.h"
#include "vmm/worker/worker.h"

static u32 knob = 3;
static unsigned stops;

static void root(void *object, struct inspect *in)
{
	inspect_rw_u32(in, "knob", &knob, 1, 9);
}

static void stop(struct link_client *link) { stops++; }

static int ask(struct sim *sim, int fd, u8 op, const char *path, const char *value, struct link_reply *r, u8 *body)
{
	u8 raw[128];
	struct link_request q = { .id = 7, .op = op, .depth = 2, .path_len = (u16)strlen(path), .value_len = (u16)strlen(value) };
	size_t len = sizeof(q) + q.path_len + q.value_len;

	q.len = (u32)(len - 4);
	memcpy(raw, &q, sizeof(q));
	memcpy(raw + sizeof(q), path, q.path_len);
	memcpy(raw + sizeof(q) + q.path_len, value, q.value_len);
	assert_int_equal(write(fd, raw, len), len);
	sim_run(sim, sim_now_ns(sim) + 1000000);
	assert_int_equal(read(fd, r, sizeof(*r)), sizeof(*r));
	assert_int_equal(r->id, 7);
	size_t left = r->len - sizeof(*r) + 4;

	assert_int_equal(left ? read(fd, body, left) : 0, left);
	return (int)left;
}

static void change(struct link_client *link, struct pb_writer *answer)
{
	if (link->requests == 2)
		pb_raw(answer, "why", 3);
}

static void settings_are_answered(void **state)
{
	struct sim *sim = sim_create(1);
	struct link_client *link = calloc(1, sizeof(*link));
	struct link_reply r;
	u8 body[16];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	link->stop = stop;
	link->settings = change;
	link_start(link, fds[1], sim_exec(sim, "main"), root, NULL);
	assert_int_equal(ask(sim, fds[0], LINK_SETTINGS, "", "", &r, body), 0);
	assert_int_equal(r.error, 0);
	assert_int_equal(ask(sim, fds[0], LINK_SETTINGS, "", "", &r, body), 3);
	assert_memory_equal(body, "why", 3);
	link->settings = NULL;
	assert_int_equal(ask(sim, fds[0], LINK_SETTINGS, "", "", &r, body), 0);
	assert_int_equal(r.error, -EINVAL);
	close(fds[0]);
	sim_run(sim, sim_now_ns(sim) + 1000000);
	close(fds[1]);
	sim_destroy(sim);
	free(link);
}

static void inspect_and_update(void **state)
{
	struct sim *sim = sim_create(1);
	struct link_client *link = calloc(1, sizeof(*link));
	struct link_reply r;
	struct node *node;
	u8 body[256];
	int fds[2], n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	link->stop = stop;
	link_start(link, fds[1], sim_exec(sim, "main"), root, NULL);
	n = ask(sim, fds[0], LINK_INSPECT, "", "", &r, body);
	assert_int_equal(r.error, 0);
	assert_int_equal(node_decode(bytes_of(body, (size_t)n), "", &node), 0);
	assert_int_equal(node_walk(node, "knob")->number, 3);
	node_destroy(node);
	n = ask(sim, fds[0], LINK_UPDATE, "knob", "5", &r, body);
	assert_int_equal(r.error, 0);
	assert_int_equal(node_decode_value(bytes_of(body, (size_t)n), &node), 0);
	assert_int_equal(node->number, 5);
	node_destroy(node);
	ask(sim, fds[0], LINK_UPDATE, "knob", "50", &r, body);
	assert_int_equal(r.error, -EINVAL);
	ask(sim, fds[0], 9, "", "", &r, body);
	assert_int_equal(r.error, -EINVAL);
	assert_int_equal(knob, 5);
	close(fds[0]);
	sim_run(sim, sim_now_ns(sim) + 1000000);
	assert_int_equal(stops, 1);
	close(fds[1]);
	sim_destroy(sim);
	free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(inspect_and_update), cmocka_unit_test(settings_are_answered) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
