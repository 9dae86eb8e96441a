/* A device in a process of its own, killed and started again; and the server alone, with messages that lie there already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/device_worker/proxy.h"
#include "vmm/device_worker/restart.h"
#include "vmm/device_worker/server.h"

/* four registers; 4: adds one to each of 16 bytes of the guest's at the address in register 0, then raises line 3; 5: kills */
struct toy {
	struct device_server *server;
	u64 registers[4];
	bool stopped;
};

static void toy_access(void *device, struct device_access *a)
{
	struct toy *t = device;
	u8 data[16];

	if (a->offset < 32 && a->write)
		t->registers[a->offset / 8] = a->value;
	else if (a->offset < 32)
		a->value = t->registers[a->offset / 8];
	if (a->offset == 40)
		raise(SIGKILL);
	if (a->offset != 32)
		return;
	device_server_answer(t->server, a); /* the guest goes on meanwhile */
	if (device_server_memory(t->server, t->registers[0], data, sizeof(data), false))
		return;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i]++;
	if (device_server_memory(t->server, t->registers[0], data, sizeof(data), true) || device_server_line(t->server, 3, true))
		t->registers[3] = 0xdead;
}

static void toy_save(void *device, struct saver *s)
{
	size_t mark = saver_open(s, STATE_TAG('R', 'E', 'G', 'S'), 1, 0);

	saver_put(s, ((struct toy *)device)->registers, 32);
	saver_close(s, mark);
}

static int toy_restore(void *device, struct bytes state)
{
	struct loader l;
	struct record r;
	int e = loader_init(&l, state.at, state.left);

	if (!e)
		e = loader_find(l, STATE_TAG('R', 'E', 'G', 'S'), 1, &r);
	return e ? e : bytes_copy(&r.body, ((struct toy *)device)->registers, 32) ? 0 : -EPROTO;
}

static void toy_inspect(void *device, struct inspect *in)
{
	inspect_hex(in, "first", ((struct toy *)device)->registers[0]);
}

static const struct device_server_ops toy_ops = { .access = toy_access, .save = toy_save, .restore = toy_restore,
						  .inspect = toy_inspect };

static int play(int events, int commands)
{
	struct toy t = { 0 };

	t.server = device_server_create(events, commands, &toy_ops, &t);
	int r = device_server_run(t.server);

	device_server_destroy(t.server);
	return r;
}

struct fixture {
	struct sim *sim;
	struct device_proxy *proxy;
	struct bus bus;
	pid_t pid;
	unsigned lost, raised, done;
	u64 value;
	u8 memory[4096];
	struct io_token token;
};

static const struct region regions[] = { { "toy", SPACE_MMIO, 0x1000, 64 } };
static const struct device_window windows[] = { { 0x8000, 4096, true } };

static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	u8 *at = ((struct fixture *)context)->memory + (gpa - 0x8000);

	memcpy(write ? at : data, write ? data : at, len);
	return 0;
}

static void line(void *context, unsigned number, bool level)
{
	((struct fixture *)context)->raised += number == 3 && level;
}

static void lost(void *context, int error)
{
	((struct fixture *)context)->lost++;
}

static void launch(struct fixture *f)
{
	int events[2], commands[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, events) | socketpair(AF_UNIX, SOCK_SEQPACKET, 0, commands), 0);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (!f->pid) {
		close(events[0]);
		close(commands[0]);
		_exit(play(events[1], commands[1]) ? 1 : 0);
	}
	close(events[1]);
	close(commands[1]);
	assert_int_equal(device_proxy_attach(f->proxy, events[0], commands[0]), 0);
}

/* until it is so, or ten seconds are over */
#define UNTIL(condition)                                                                                   \
	do {                                                                                               \
		for (unsigned ms = 0; ms < 10000 && !(condition); ms++) {                                  \
			sim_run(f->sim, sim_now_ns(f->sim) + 1000000);                                     \
			usleep(1000);                                                                      \
		}                                                                                          \
		assert_true(condition);                                                                    \
	} while (0)

static void came(struct io_token *token, u64 value)
{
	struct fixture *f = container_of(token, struct fixture, token);

	f->done++;
	f->value = value;
}

static u64 access_it(struct fixture *f, u64 address, bool write, u64 value)
{
	unsigned before = f->done;

	f->value = value;
	f->token.done = came;
	if (bus_access(&f->bus, SPACE_MMIO, address, 8, write, &value, &f->token) == BUS_DONE)
		return value;
	UNTIL(f->done == before + 1);
	return f->value;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_proxy_config config = {
		.name = "toy", .tag = STATE_TAG('T', 'O', 'Y', '0'), .regions = regions, .region_count = 1, .windows = windows,
		.window_count = 1, .memory = memory, .line = line, .lost = lost, .context = f,
	};

	f->sim = sim_create(1);
	config.home = sim_exec(f->sim, "main");
	f->proxy = device_proxy_create(&config);
	bus_init(&f->bus);
	assert_int_equal(bus_attach(&f->bus, device_proxy_device(f->proxy)), 0);
	launch(f);
	*state = f;
	return 0;
}

static int status_of_end(struct fixture *f)
{
	int status = -1;

	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	return status;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	device_proxy_destroy(f->proxy); /* end of file ends the process */
	sim_run(f->sim, sim_now_ns(f->sim) + 100000000);
	int status = status_of_end(f);

	sim_destroy(f->sim);

	free(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_device_lives_elsewhere(void **state)
{
	struct fixture *f = *state;

	access_it(f, 0x1000, true, 0x8010);
	access_it(f, 0x1018, true, 0x1234567890abcdef);
	assert_int_equal(access_it(f, 0x1018, false, 0), 0x1234567890abcdef);
	f->memory[0x10] = 7;
	access_it(f, 0x1020, true, 0);
	UNTIL(f->raised);
	assert_true(f->memory[0x10] == 8 && f->memory[0x1f] == 1 && !f->memory[0x20]);
	/* outside its window it gets nothing, and lives on */
	access_it(f, 0x1000, true, 0x7ff8);
	access_it(f, 0x1020, true, 0);
	assert_int_equal(access_it(f, 0x1000, false, 0), 0x7ff8);
	assert_int_equal(f->raised, 1);
	struct node *n = inspect_now("", 8, NULL, bus_inspect, &f->bus);
	struct text t = node_print_tree(n);

	assert_non_null(strstr(t.data, "first: 0x7ff8"));
	free(t.data);
	node_destroy(n);
	assert_int_equal(f->lost, 0);
}

static void it_dies_and_comes_back_with_its_state(void **state)
{
	struct fixture *f = *state;
	struct loader l;
	struct saver s;

	access_it(f, 0x1008, true, 42);
	bus_stop(&f->bus);
	saver_init(&s);
	bus_save(&f->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	bus_start(&f->bus);
	/* killed by an access of the guest's: that one reads all ones, as do all until it is there again */
	assert_int_equal(access_it(f, 0x1028, false, 0), ~0ull);
	UNTIL(f->lost == 1);
	assert_int_equal(WTERMSIG(status_of_end(f)), SIGKILL);
	assert_int_equal(access_it(f, 0x1008, false, 0), ~0ull);
	launch(f);
	assert_int_equal(access_it(f, 0x1008, false, 0), 0);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(bus_restore(&f->bus, l), 0);
	assert_int_equal(access_it(f, 0x1008, false, 0), 42);
	saver_fini(&s);
}

/* ---- the server alone: what it is told lies there before it starts */
static int serve(const struct device_message *events, unsigned event_count, const struct device_message *commands,
		 unsigned command_count, int out[2])
{
	int e[2], c[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, e) | socketpair(AF_UNIX, SOCK_SEQPACKET, 0, c), 0);
	for (unsigned i = 0; i < event_count; i++)
		assert_int_equal(device_message_send(e[0], &events[i], NULL), 0);
	for (unsigned i = 0; i < command_count; i++)
		assert_int_equal(device_message_send(c[0], &commands[i], NULL), 0);
	if (!command_count) {
		shutdown(e[0], SHUT_WR);
		shutdown(c[0], SHUT_WR);
	}
	r = play(e[1], c[1]);
	close(e[1]);
	close(c[1]);
	out[0] = e[0];
	out[1] = c[0];
	return r;
}

static void an_end_is_an_answer(void **state)
{
	const struct device_message events[] = {
		{ .type = DEVICE_ACCESS, .id = 5, .offset = 8, .size = 8, .write = 1, .value = 3 },
		{ .type = DEVICE_ACCESS, .id = 6, .offset = 8, .size = 8 },
	};
	const struct device_message commands[] = { { .type = DEVICE_RESTORE, .id = 1 }, { .type = DEVICE_END, .id = 2 } };
	struct device_message m;
	int out[2];

	/* accesses that came before are answered before the end is */
	assert_int_equal(serve(events, 2, commands + 1, 1, out), 0);
	assert_int_equal(recv(out[0], &m, sizeof(m), 0), sizeof(m));
	assert_true(m.type == DEVICE_ACCESS_DONE && m.id == 5);
	assert_int_equal(recv(out[0], &m, sizeof(m), 0), sizeof(m));
	assert_true(m.id == 6 && m.value == 3);
	assert_int_equal(recv(out[1], &m, sizeof(m), 0), sizeof(m));
	assert_true(m.type == DEVICE_END && m.id == 2 && !m.error);
	close(out[0]);
	close(out[1]);
	/* a state of no bytes is no message; nor is an answer to nothing */
	assert_int_equal(serve(NULL, 0, commands, 1, out), -EPROTO);
	close(out[0]);
	close(out[1]);
	assert_int_equal(serve(&(struct device_message){ .type = DEVICE_MEMORY_DONE }, 1, commands + 1, 1, out), -EPROTO);
	close(out[0]);
	close(out[1]);
	assert_int_equal(serve(NULL, 0, NULL, 0, out), 0);
	close(out[0]);
	close(out[1]);
}

static void restarts_have_an_end(void **state)
{
	struct restart r = { 0 };
	u64 now = 5000000000ull, at, total = 0;
	unsigned n = 0;

	restart_started(&r, now);
	for (; restart_died(&r, now, &at); n++) {
		assert_true(at >= now && at - now <= 60000000000ull);
		total += at - now;
		now = at;
		restart_started(&r, now);
	}
	assert_int_equal(n, RESTART_ROW_MAX);
	assert_int_equal(total / 1000000000, 0 + 1 + 2 + 4 + 8 + 16 + 32 + 60);
	assert_false(restart_died(&r, now, &at));
	/* one that lives long begins anew, for ever */
	r = (struct restart){ 0 };
	for (n = 0; n < 100; n++) {
		restart_started(&r, now);
		now += 600000000000ull;
		assert_true(restart_died(&r, now, &at));
		assert_int_equal(at, now);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_lives_elsewhere), TEST(it_dies_and_comes_back_with_its_state),
		cmocka_unit_test(an_end_is_an_answer), cmocka_unit_test(restarts_have_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
