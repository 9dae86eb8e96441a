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

#include "lib/rpc/server.h"
#include "lib/task/exec_sim.h"

/* derived by hand from message.rs: {length, stream} big endian, type, flags; Request {service 1, method 2, payload 3} */
static const u8 ping[] = {
	0, 0, 0, 12, 0, 0, 0, 1, 1, 0,
	0x0a, 1, 's', 0x12, 4, 'p', 'i', 'n', 'g', 0x1a, 1, 'x',
};

struct fixture {
	struct sim *sim;
	struct ttrpc_server *server;
	struct ttrpc_call *held;
	int client;
};

static void on_ping(void *context, struct ttrpc_call *call, struct bytes payload)
{
	ttrpc_reply(call, payload.at, payload.left);
}

static void on_hold(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct fixture *f = context;

	f->held = call;
}

static void on_fail(void *context, struct ttrpc_call *call, struct bytes payload)
{
	ttrpc_fail(call, TTRPC_UNKNOWN, "no %d", 7);
}

static void on_big(void *context, struct ttrpc_call *call, struct bytes payload)
{
	size_t len = 3u << 20;
	u8 *data = calloc(1, len);

	ttrpc_reply(call, data, len);
	free(data);
}

static int client_of(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(ttrpc_server_adopt(f->server, pair[0]), 0);
	return pair[1];
}

static void start(struct fixture *f)
{
	static const struct ttrpc_method methods[] = {
		{ "s", "ping", on_ping }, { "s", "hold", on_hold }, { "s", "fail", on_fail }, { "s", "big", on_big },
	};
	struct ttrpc_config config = { .methods = methods, .method_count = 4, .context = f, .request_max = 64, .clients_max = 2,
				       .stall_ns = 1000000000 };

	*f = (struct fixture){ .sim = sim_create(7) };
	f->server = ttrpc_server_create(sim_exec(f->sim, "rpc"), &config);
	f->client = client_of(f);
}

static void turn(struct fixture *f)
{
	sim_run(f->sim, sim_now_ns(f->sim) + 100000000);
}

static void end(struct fixture *f)
{
	ttrpc_server_destroy(f->server);
	turn(f);
	close(f->client);
	sim_destroy(f->sim);
}

static void put(struct fixture *f, const void *data, size_t len)
{
	assert_int_equal(write(f->client, data, len), len);
	turn(f);
}

static void expect(struct fixture *f, const void *want, size_t len)
{
	u8 got[512];

	assert_int_equal(read(f->client, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
}

static void request(struct fixture *f, const char *service, const char *method, u64 timeout_ns)
{
	struct pb_writer w;

	pb_init(&w);
	ttrpc_request_frame(&w, 3, service, method, bytes_of("", 0), timeout_ns);
	put(f, w.data, w.len);
	pb_fini(&w);
}

static void frames_match_bytes(void **state)
{
	struct pb_writer w;
	struct ttrpc_header h;
	struct ttrpc_request r;

	pb_init(&w);
	ttrpc_request_frame(&w, 1, "s", "ping", bytes_of("x", 1), 0);
	assert_int_equal(w.len, sizeof(ping));
	assert_memory_equal(w.data, ping, sizeof(ping));
	ttrpc_header_decode(w.data, &h);
	assert_int_equal(h.length, 12);
	assert_int_equal(h.type, TTRPC_REQUEST);
	assert_int_equal(ttrpc_request_decode(bytes_of(w.data + 10, 12), &r), 0);
	assert_memory_equal(r.method.at, "ping", 4);
	assert_int_equal(ttrpc_request_decode(bytes_of(w.data + 10, 11), &r), -EPROTO);
	pb_fini(&w);
	const u8 status[] = { 0, 0, 0, 9, 1, 2, 3, 4, 2, 0, 0x0a, 7, 0x08, 5, 0x12, 3, 'w', 'h', 'y' };
	struct ttrpc_response answer;

	pb_init(&w);
	ttrpc_status_frame(&w, 0x01020304, TTRPC_NOT_FOUND, "why");
	assert_int_equal(w.len, sizeof(status));
	assert_memory_equal(w.data, status, sizeof(status));
	assert_int_equal(ttrpc_response_decode(bytes_of(w.data + 10, 9), &answer), 0);
	assert_int_equal(answer.code, TTRPC_NOT_FOUND);
	assert_int_equal(answer.message.left, 3);
	pb_fini(&w);
}

static void a_request_is_answered_in_any_pieces(void **state)
{
	const u8 pong[] = { 0, 0, 0, 3, 0, 0, 0, 1, 2, 0, 0x12, 1, 'x' };
	struct fixture f;

	start(&f);
	put(&f, ping, sizeof(ping));
	expect(&f, pong, sizeof(pong));
	for (size_t i = 0; i < sizeof(ping); i++)
		put(&f, ping + i, 1);
	expect(&f, pong, sizeof(pong));
	end(&f);
}

static void refusals_have_codes(void **state)
{
	struct fixture f;
	u8 bytes[sizeof(ping)], got[200], long_head[10] = { 0, 0, 0, 65, 0, 0, 0, 1, 1, 0 }, junk[65] = { 0 };
	const struct { const char *service, *method; u8 code; } bad[] = {
		{ "t", "ping", TTRPC_UNIMPLEMENTED }, { "s", "pong", TTRPC_UNIMPLEMENTED }, { "s", "fail", TTRPC_UNKNOWN },
	};

	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		request(&f, bad[i].service, bad[i].method, 0);
		assert_true(read(f.client, got, sizeof(got)) > 14);
		assert_int_equal(got[13], bad[i].code);
	}
	memcpy(bytes, ping, sizeof(ping));
	bytes[7] = 2;
	put(&f, bytes, sizeof(bytes));
	assert_true(read(f.client, got, sizeof(got)) > 14);
	assert_int_equal(got[13], TTRPC_INVALID_ARGUMENT);
	put(&f, long_head, sizeof(long_head));
	put(&f, junk, sizeof(junk));
	assert_true(read(f.client, got, sizeof(got)) > 14);
	assert_int_equal(got[13], TTRPC_RESOURCE_EXHAUSTED);
	/* and the stream is still in step */
	put(&f, ping, sizeof(ping));
	assert_int_equal(read(f.client, got, sizeof(got)), 13);
	end(&f);
}

static void deadlines_are_the_servers_too(void **state)
{
	struct fixture f;
	u8 got[200];

	start(&f);
	request(&f, "s", "hold", 50000000);
	turn(&f);
	assert_true(read(f.client, got, sizeof(got)) > 14);
	assert_int_equal(got[13], TTRPC_DEADLINE_EXCEEDED);
	ttrpc_reply(f.held, "late", 4);
	turn(&f);
	assert_int_equal(read(f.client, got, sizeof(got)), -1);
	end(&f);
}

static void half_closed_clients_get_their_answer(void **state)
{
	struct fixture f;
	u8 got[200];

	start(&f);
	request(&f, "s", "hold", 0);
	shutdown(f.client, SHUT_WR);
	turn(&f);
	ttrpc_reply(f.held, "", 0);
	turn(&f);
	assert_int_equal(read(f.client, got, sizeof(got)), 12);
	assert_int_equal(read(f.client, got, sizeof(got)), 0);
	end(&f);
}

static void a_client_may_leave_before_the_answer(void **state)
{
	struct fixture f;

	start(&f);
	request(&f, "s", "hold", 0);
	close(f.client);
	f.client = client_of(&f);
	turn(&f);
	ttrpc_reply(f.held, "x", 1);
	put(&f, ping, sizeof(ping));
	u8 got[64];

	assert_int_equal(read(f.client, got, sizeof(got)), 13);
	end(&f);
}

static void a_client_that_does_not_read_is_dropped(void **state)
{
	struct fixture f;
	struct ttrpc_counts counts;

	start(&f);
	request(&f, "s", "big", 0);
	for (int i = 0; i < 15; i++)
		turn(&f);
	ttrpc_server_counts(f.server, &counts);
	assert_int_equal(counts.clients, 0);
	assert_int_equal(counts.dropped_clients, 1);
	end(&f);
}

static void idle_clients_give_way(void **state)
{
	struct fixture f;
	struct ttrpc_counts counts;
	u8 byte;

	start(&f);
	turn(&f);
	int second = client_of(&f), third = client_of(&f);

	turn(&f);
	ttrpc_server_counts(f.server, &counts);
	assert_int_equal(counts.clients, 2);
	assert_int_equal(read(f.client, &byte, 1), 0);
	end(&f);
	close(second);
	close(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_match_bytes),
		cmocka_unit_test(a_request_is_answered_in_any_pieces),
		cmocka_unit_test(refusals_have_codes),
		cmocka_unit_test(deadlines_are_the_servers_too),
		cmocka_unit_test(half_closed_clients_get_their_answer),
		cmocka_unit_test(a_client_may_leave_before_the_answer),
		cmocka_unit_test(a_client_that_does_not_read_is_dropped),
		cmocka_unit_test(idle_clients_give_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
