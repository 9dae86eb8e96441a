/* The diagnostics server's methods, driven by frames written by hand from diag.proto and inspect_service.proto. */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/diag/server/server_fixture.h"

#define ASK(f, ...) ask(f, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
#define EXPECT(f, ...)                                                                                     \
	do {                                                                                               \
		const u8 want[] = { __VA_ARGS__ };                                                         \
		assert_int_equal((f)->got_len, sizeof(want));                                              \
		assert_memory_equal((f)->got, want, sizeof(want));                                         \
	} while (0)

#define DIAG_SERVICE 0x0a, 16, 'd', 'i', 'a', 'g', '.', 'O', 'p', 'e', 'n', 'h', 'c', 'l', 'D', 'i', 'a', 'g'
#define OLD_SERVICE 0x0a, 18, 'd', 'i', 'a', 'g', '.', 'U', 'n', 'd', 'e', 'r', 'h', 'i', 'l', 'l', 'D', 'i', 'a', 'g'
#define INSPECT_SERVICE                                                                                    \
	0x0a, 22, 'i', 'n', 's', 'p', 'e', 'c', 't', '.', 'I', 'n', 's', 'p', 'e', 'c', 't', 'S', 'e', 'r', 'v', 'i', 'c', 'e'
#define INSPECT_METHOD 0x12, 7, 'I', 'n', 's', 'p', 'e', 'c', 't'
#define UPDATE_METHOD 0x12, 6, 'U', 'p', 'd', 'a', 't', 'e'
#define KMSG_METHOD 0x12, 4, 'K', 'm', 's', 'g'

static void ping(void **state)
{
	struct fixture f;

	start(&f);
	ASK(&f, 0, 0, 0, 24, 0, 0, 0, 1, 1, 0, DIAG_SERVICE, 0x12, 4, 'P', 'i', 'n', 'g');
	EXPECT(&f, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0x12, 0);
	end(&f);
}

static void inspect_a_leaf(void **state)
{
	struct fixture f;

	start(&f);
	/* InspectRequest {path 1 "build_info/program", depth 2 1}; Node{3:{1:Value{1:Kind{6:{1:"paravane"}}}}} */
	ASK(&f, 0, 0, 0, 57, 0, 0, 0, 3, 1, 0, INSPECT_SERVICE, INSPECT_METHOD, 0x1a, 22, 0x0a, 18, 'b', 'u', 'i', 'l', 'd',
	    '_', 'i', 'n', 'f', 'o', '/', 'p', 'r', 'o', 'g', 'r', 'a', 'm', 0x10, 1);
	EXPECT(&f, 0, 0, 0, 22, 0, 0, 0, 3, 2, 0, 0x12, 20, 0x0a, 18, 0x1a, 16, 0x0a, 14, 0x0a, 12, 0x32, 10, 0x0a, 8, 'p', 'a',
	       'r', 'a', 'v', 'a', 'n', 'e');
	end(&f);
}

static void without_a_worker_vm_says_so(void **state)
{
	struct fixture f;
	/* Node{2:{1:Error{2:{1:"no worker runs"}}}} */
	ASK((start(&f), &f), 0, 0, 0, 41, 0, 0, 0, 5, 1, 0, INSPECT_SERVICE, INSPECT_METHOD, 0x1a, 6, 0x0a, 2, 'v', 'm', 0x10, 3);
	assert_true(f.got_len > 20);
	assert_non_null(memmem(f.got, (size_t)f.got_len, "no worker runs", 14));
	assert_int_equal(f.got[10], 0x12);
	end(&f);
}

/* a worker played here: it is asked for "vm" one level less deep, and its answer stands in the tree */
static void the_workers_answer_is_embedded(void **state)
{
	const u8 answer[] = { 0x1a, 8, 0x0a, 6, 0x0a, 4, 0x12, 2, 0x08, 42 }; /* unsigned 42 */
	struct fixture f;
	struct link_request r;
	char path[8] = "";

	start(&f);
	f.control.worker.link = link_create(f.control.exec, pair_of(&f.worker), link_gone, NULL);
	ASK(&f, 0, 0, 0, 37, 0, 0, 0, 5, 1, 0, INSPECT_SERVICE, INSPECT_METHOD, 0x1a, 2, 0x10, 3);
	assert_int_equal(f.got_len, -1);
	assert_int_equal(read(f.worker, &r, sizeof(r)), sizeof(r));
	assert_int_equal(read(f.worker, path, 2), 2);
	assert_string_equal(path, "vm");
	assert_int_equal(r.op, LINK_INSPECT);
	assert_int_equal(r.depth, 3);
	assert_int_equal(r.len, sizeof(r) - 4 + 2);
	struct link_reply reply = { .len = sizeof(reply) - 4 + sizeof(answer), .id = r.id };

	assert_int_equal(write(f.worker, &reply, sizeof(reply)), sizeof(reply));
	assert_int_equal(write(f.worker, answer, sizeof(answer)), sizeof(answer));
	turn(&f);
	f.got_len = read(f.client, f.got, sizeof(f.got));
	assert_true(f.got_len > 100);
	assert_non_null(memmem(f.got, (size_t)f.got_len, answer, sizeof(answer)));
	assert_non_null(memmem(f.got, (size_t)f.got_len, "control_state", 13));
	end(&f);
}

static void a_mute_worker_costs_only_its_part(void **state)
{
	struct fixture f;

	start(&f);
	f.control.worker.link = link_create(f.control.exec, pair_of(&f.worker), link_gone, NULL);
	ASK(&f, 0, 0, 0, 37, 0, 0, 0, 5, 1, 0, INSPECT_SERVICE, INSPECT_METHOD, 0x1a, 2, 0x10, 3);
	sim_run(f.sim, sim_now_ns(f.sim) + 11000000000ull);
	f.got_len = read(f.client, f.got, sizeof(f.got));
	assert_true(f.got_len > 100);
	assert_non_null(memmem(f.got, (size_t)f.got_len, "does not answer", 15));
	end(&f);
}

static void the_log_filter_can_be_set(void **state)
{
	struct fixture f;
	char filter[64];

	start(&f);
	/* UpdateRequest {path 1, value 2} → UpdateResponse {1: Value{1:Kind{6:{1:"warn"}}}} */
	ASK(&f, 0, 0, 0, 54, 0, 0, 0, 1, 1, 0, INSPECT_SERVICE, UPDATE_METHOD, 0x1a, 20, 0x0a, 12, 't', 'r', 'a', 'c', 'e', '/',
	    'f', 'i', 'l', 't', 'e', 'r', 0x12, 4, 'w', 'a', 'r', 'n');
	EXPECT(&f, 0, 0, 0, 14, 0, 0, 0, 1, 2, 0, 0x12, 12, 0x0a, 10, 0x0a, 8, 0x32, 6, 0x0a, 4, 'w', 'a', 'r', 'n');
	log_get_filter(filter, sizeof(filter));
	assert_string_equal(filter, "warn");
	/* and a value that is none is refused with status "unknown" (2) */
	ASK(&f, 0, 0, 0, 54, 0, 0, 0, 3, 1, 0, INSPECT_SERVICE, UPDATE_METHOD, 0x1a, 20, 0x0a, 12, 't', 'r', 'a', 'c', 'e', '/',
	    'f', 'i', 'l', 't', 'e', 'r', 0x12, 4, 'w', 'a', 'r', 'm');
	assert_true(f.got_len > 14);
	assert_int_equal(f.got[10], 0x0a);
	assert_int_equal(f.got[13], 2);
	log_get_filter(filter, sizeof(filter));
	assert_string_equal(filter, "warn");
	assert_int_equal(log_set_filter("info"), 0);
	end(&f);
}

static void kmsg_goes_to_the_named_connection(void **state)
{
	char path[] = "/tmp/kmsg.XXXXXX", text[64];
	struct fixture f;
	int fd = mkstemp(path);
	u64 id;

	start(&f);
	f.control.kmsg_path = path;
	assert_int_equal(write(fd, "6,1,2,-;hello\n", 14), 14);
	data_adopt(f.control.data, pair_of(&f.data));
	turn(&f);
	assert_int_equal(read(f.data, &id, sizeof(id)), 8);
	assert_int_equal(id, 1);
	/* KmsgRequest {follow 1 false, conn 2 = 1} */
	ASK(&f, 0, 0, 0, 30, 0, 0, 0, 1, 1, 0, OLD_SERVICE, KMSG_METHOD, 0x1a, 2, 0x10, 1);
	EXPECT(&f, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0x12, 0);
	assert_int_equal(read(f.data, text, sizeof(text)), 15);
	assert_string_equal(text, "6,1,2,-;hello\n");
	assert_int_equal(read(f.data, text, sizeof(text)), 0);
	/* the id is used up */
	ASK(&f, 0, 0, 0, 30, 0, 0, 0, 3, 1, 0, OLD_SERVICE, KMSG_METHOD, 0x1a, 2, 0x10, 1);
	assert_int_equal(f.got[10], 0x0a);
	close(f.data);
	close(fd);
	unlink(path);
	end(&f);
}

static void unclaimed_connections_end(void **state)
{
	struct fixture f;
	u64 id;

	start(&f);
	data_adopt(f.control.data, pair_of(&f.data));
	turn(&f);
	assert_int_equal(read(f.data, &id, sizeof(id)), 8);
	sim_run(f.sim, sim_now_ns(f.sim) + 1500000000ull);
	assert_int_equal(read(f.data, &id, sizeof(id)), 0);
	assert_int_equal(data_claim(f.control.data, 1), -ENOENT);
	close(f.data);
	/* one that leaves by itself is forgotten too */
	data_adopt(f.control.data, pair_of(&f.data));
	close(f.data);
	turn(&f);
	assert_int_equal(data_claim(f.control.data, 2), -ENOENT);
	end(&f);
}

#define CRASH(f, pid) ASK(f, 0, 0, 0, 31, 0, 0, 0, 7, 1, 0, OLD_SERVICE, 0x12, 5, 'C', 'r', 'a', 's', 'h', 0x1a, 2, 8, pid)

static void only_our_processes_are_made_to_crash(void **state)
{
	struct fixture f;
	int status;

	start(&f);
	CRASH(&f, 1);
	assert_non_null(memmem(f.got, (size_t)f.got_len, "neither the control process", 27));
	CRASH(&f, 0);
	assert_non_null(memmem(f.got, (size_t)f.got_len, "neither", 7));
	/* a worker whose id fits one byte of a varint is not to be had: the request with the real one is built */
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL); /* the sanitizer's handler would tell a story */
		for (;;)
			pause();
	}
	f.control.worker.pid = child;
	const u8 head[] = { 0, 0, 0, 34, 0, 0, 0, 9, 1, 0, OLD_SERVICE, 0x12, 5, 'C', 'r', 'a', 's', 'h', 0x1a, 5, 8 };
	u8 frame[sizeof(head) + 4];

	usleep(50000);
	memcpy(frame, head, sizeof(head));
	for (int i = 0; i < 4; i++)
		frame[sizeof(head) + (size_t)i] = (u8)(child >> 7 * i & 0x7f) | (i < 3 ? 0x80 : 0);
	ask(&f, frame, sizeof(frame));
	EXPECT(&f, 0, 0, 0, 2, 0, 0, 0, 9, 2, 0, 0x12, 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	f.control.worker.pid = 0;
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ping),
		cmocka_unit_test(inspect_a_leaf),
		cmocka_unit_test(without_a_worker_vm_says_so),
		cmocka_unit_test(the_workers_answer_is_embedded),
		cmocka_unit_test(a_mute_worker_costs_only_its_part),
		cmocka_unit_test(the_log_filter_can_be_set),
		cmocka_unit_test(kmsg_goes_to_the_named_connection),
		cmocka_unit_test(unclaimed_connections_end),
		cmocka_unit_test(only_our_processes_are_made_to_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
