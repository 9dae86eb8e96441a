/* The proxy against a device that the test plays by hand, message by message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/device_worker/proxy.h"

struct access {
	struct io_token token;
	unsigned done;
	u64 value;
};

struct fixture {
	struct sim *sim;
	struct exec *exec;
	struct device_proxy *proxy;
	struct bus bus;
	int events, commands; /* the device's ends */
	int error;
	unsigned lost, line, level;
	u8 memory[8192];      /* of the guest, from 0x10000 on */
};

#define ATTEMPTS 4000

static const struct region regions[] = { { "control", SPACE_PIO, 0x1040, 8 }, { "crb", SPACE_MMIO, 0xfed40000, 0x1000 } };
static const struct device_window windows[] = { { 0x10000, 0x1000, true }, { 0x11000, 0x1000, false } };

static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	struct fixture *f = context;
	u8 *at = f->memory + (gpa - 0x10000);

	memcpy(write ? at : data, write ? data : at, len);
	return 0;
}

static void line(void *context, unsigned number, bool level)
{
	((struct fixture *)context)->line = number;
	((struct fixture *)context)->level = level;
}

static void lost(void *context, int error)
{
	((struct fixture *)context)->lost++;
	((struct fixture *)context)->error = error;
}

static void attach(struct fixture *f)
{
	int events[2], commands[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, events) | socketpair(AF_UNIX, SOCK_SEQPACKET, 0, commands), 0);
	assert_int_equal(device_proxy_attach(f->proxy, events[0], commands[0]), 0);
	f->events = events[1];
	f->commands = commands[1];
}

static void let_go(struct fixture *f)
{
	close(f->events);
	close(f->commands);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_proxy_config config = {
		.name = "tpm", .tag = STATE_TAG('T', 'P', 'M', '0'), .regions = regions, .region_count = 2, .windows = windows,
		.window_count = 2, .memory = memory, .line = line, .lost = lost, .context = f,
	};

	f->sim = sim_create(1);
	config.home = f->exec = sim_exec(f->sim, "main");
	f->proxy = device_proxy_create(&config);
	bus_init(&f->bus);
	assert_int_equal(bus_attach(&f->bus, device_proxy_device(f->proxy)), 0);
	attach(f);
	*state = f;
	return 0;
}

static void settle(struct fixture *f)
{
	sim_run(f->sim, sim_now_ns(f->sim) + 100000000);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	let_go(f);
	device_proxy_destroy(f->proxy);
	settle(f);
	sim_destroy(f->sim);
	free(f);
	return 0;
}

static void came(struct io_token *token, u64 value)
{
	struct access *a = container_of(token, struct access, token);

	a->done++;
	a->value = value;
}

static enum bus_result go(struct fixture *f, struct access *a, enum space space, u64 address, unsigned size, bool write,
			  u64 value)
{
	*a = (struct access){ .token.done = came, .value = value };
	return bus_access(&f->bus, space, address, size, write, &a->value, &a->token);
}

static struct device_message heard(int fd)
{
	struct device_message m = { 0 };

	assert_int_equal(recv(fd, &m, sizeof(m), MSG_DONTWAIT), sizeof(m));
	return m;
}

static void says(int fd, struct device_message m, const void *payload)
{
	assert_int_equal(device_message_send(fd, &m, payload), 0);
}

static void accesses_go_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct access a, b;

	assert_int_equal(go(f, &a, SPACE_MMIO, 0xfed40044, 4, false, 0), BUS_PENDING);
	assert_int_equal(go(f, &b, SPACE_PIO, 0x1042, 2, true, 0x12345), BUS_PENDING);
	struct device_message m = heard(f->events), n = heard(f->events);

	assert_true(m.type == DEVICE_ACCESS && m.region == 1 && m.offset == 0x44 && m.size == 4 && !m.write);
	assert_true(n.type == DEVICE_ACCESS && !n.region && n.offset == 2 && n.size == 2 && n.write && n.value == 0x2345);
	/* in any order */
	says(f->events, (struct device_message){ .type = DEVICE_ACCESS_DONE, .id = n.id }, NULL);
	says(f->events, (struct device_message){ .type = DEVICE_ACCESS_DONE, .id = m.id, .value = 77 }, NULL);
	settle(f);
	assert_true(a.done == 1 && a.value == 77 && b.done == 1);
	/* an answer that nobody waits for is one too many */
	says(f->events, (struct device_message){ .type = DEVICE_ACCESS_DONE, .id = m.id, .value = 77 }, NULL);
	settle(f);
	assert_true(a.done == 1 && f->lost == 1 && f->error == -EPROTO);
}

static void without_a_process_reads_are_all_ones(void **state)
{
	struct fixture *f = *state;
	struct access a, b;
	u64 value = 0;

	/* one that cannot wait is not asked for either */
	assert_int_equal(bus_access(&f->bus, SPACE_MMIO, 0xfed40000, 4, false, &value, NULL), BUS_DONE);
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(go(f, &a, SPACE_MMIO, 0xfed40000, 4, false, 0), BUS_PENDING);
	let_go(f);
	settle(f);
	assert_true(a.done == 1 && a.value == ~0ull && f->lost == 1 && f->error == -EPIPE);
	assert_int_equal(go(f, &b, SPACE_MMIO, 0xfed40000, 4, false, 0), BUS_DONE);
	assert_int_equal(b.value, 0xffffffff);
	assert_int_equal(go(f, &b, SPACE_MMIO, 0xfed40000, 4, true, 1), BUS_DONE);
	/* another process */
	attach(f);
	assert_int_equal(go(f, &a, SPACE_MMIO, 0xfed40000, 4, false, 0), BUS_PENDING);
	says(f->events, (struct device_message){ .type = DEVICE_ACCESS_DONE, .id = heard(f->events).id, .value = 5 }, NULL);
	settle(f);
	assert_true(a.done == 1 && a.value == 5 && f->lost == 1);
}

static void silence_ends(void **state)
{
	struct fixture *f = *state;
	struct access a;

	assert_int_equal(go(f, &a, SPACE_MMIO, 0xfed40000, 4, false, 0), BUS_PENDING);
	sim_run(f->sim, sim_now_ns(f->sim) + 29000000000ull);
	assert_int_equal(a.done, 0);
	sim_run(f->sim, sim_now_ns(f->sim) + 3000000000ull);
	assert_true(a.done == 1 && a.value == ~0ull && f->lost == 1 && f->error == -ETIMEDOUT);
	/* with nothing under way there is nothing to look after */
	assert_true(sim_run(f->sim, UINT64_MAX));
}

static void too_many_accesses_are_not_kept(void **state)
{
	struct fixture *f = *state;
	struct access a[DEVICE_ACCESSES_MAX + 1];

	for (unsigned i = 0; i < DEVICE_ACCESSES_MAX; i++)
		assert_int_equal(go(f, &a[i], SPACE_PIO, 0x1040, 1, false, 0), BUS_PENDING);
	assert_int_equal(go(f, &a[DEVICE_ACCESSES_MAX], SPACE_PIO, 0x1040, 1, false, 0), BUS_DONE);
	assert_int_equal(a[DEVICE_ACCESSES_MAX].value, 0xff);
	let_go(f);
	settle(f);
	for (unsigned i = 0; i < DEVICE_ACCESSES_MAX; i++)
		assert_int_equal(a[i].done, 1);
	attach(f);
}

static struct device_message ask_memory(struct fixture *f, u32 type, u64 gpa, u32 len, const void *data, u8 *ret)
{
	struct { struct device_message m; u8 data[DEVICE_MEMORY_MAX]; } answer;
	bool write = type == DEVICE_MEMORY_WRITE;

	says(f->events, (struct device_message){ .type = type, .id = 9, .offset = gpa, .len = write ? len : 0,
						 .value = write ? 0 : len }, data);
	settle(f);
	ssize_t n = recv(f->events, &answer, sizeof(answer), MSG_DONTWAIT);

	assert_true(n >= (ssize_t)sizeof(answer.m) && answer.m.type == DEVICE_MEMORY_DONE && answer.m.id == 9);
	assert_int_equal(n, sizeof(answer.m) + answer.m.len);
	memcpy(ret, answer.data, answer.m.len);
	return answer.m;
}

static void memory_is_asked_for(void **state)
{
	struct fixture *f = *state;
	u8 data[DEVICE_MEMORY_MAX];

	memset(f->memory + 0x1000, 0x5a, 0x1000);
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_READ, 0x11000, 4096, NULL, data).len, 4096);
	assert_int_equal(data[4095], 0x5a);
	memset(data, 0xa5, sizeof(data));
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_WRITE, 0x10ffe, 2, data, data).error, 0);
	assert_int_equal(f->memory[0xfff], 0xa5);
	/* outside, over an edge, where only reading is allowed, and around the end of all addresses */
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_READ, 0x12000, 1, NULL, data).error, -EACCES);
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_READ, 0x11fff, 2, NULL, data).error, -EACCES);
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_WRITE, 0x11000, 1, data, data).error, -EACCES);
	assert_int_equal(ask_memory(f, DEVICE_MEMORY_READ, UINT64_MAX, 2, NULL, data).error, -EACCES);
	assert_int_equal(f->memory[0x1000], 0x5a);
	assert_int_equal(f->lost, 0);
}

static void lines_and_nonsense(void **state)
{
	struct fixture *f = *state;

	says(f->events, (struct device_message){ .type = DEVICE_LINE, .region = 10, .value = 1 }, NULL);
	settle(f);
	assert_true(f->line == 10 && f->level == 1);
	says(f->events, (struct device_message){ .type = DEVICE_ACCESS }, NULL); /* not in this direction */
	settle(f);
	assert_true(f->lost == 1 && f->error == -EPROTO);
}

/* the answer lies there before the question: ids count from 1 */
static void answers(struct fixture *f, u32 type, u32 id, int error, const void *payload, u32 len)
{
	says(f->commands, (struct device_message){ .type = type, .id = id, .error = error, .len = len }, payload);
}

static void commands_are_asked_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct loader loader;
	struct saver s;

	answers(f, DEVICE_STOP, 1, 0, NULL, 0);
	bus_stop(&f->bus);
	assert_int_equal(heard(f->commands).type, DEVICE_STOP);
	answers(f, DEVICE_SAVE, 2, 0, "state", 5);
	saver_init(&s);
	bus_save(&f->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(heard(f->commands).type, DEVICE_SAVE);
	assert_int_equal(loader_init(&loader, s.data, s.len), 0);
	answers(f, DEVICE_RESTORE, 3, 0, NULL, 0);
	assert_int_equal(bus_restore(&f->bus, loader), 0);
	struct { struct device_message m; char text[5]; } __packed restore;

	assert_int_equal(recv(f->commands, &restore, sizeof(restore), MSG_DONTWAIT), sizeof(restore));
	assert_memory_equal(restore.text, "state", 5);
	saver_fini(&s);
	/* what the device refuses is an error, and no more than that */
	answers(f, DEVICE_SAVE, 4, -EBUSY, NULL, 0);
	saver_init(&s);
	bus_save(&f->bus, &s);
	assert_int_equal(saver_finish(&s), -EBUSY);
	saver_fini(&s);
	assert_int_equal(f->lost, 0);
	/* an answer to another question is the end */
	answers(f, DEVICE_SAVE, 5, 0, "x", 1);
	bus_start(&f->bus);
	settle(f);
	assert_true(f->lost == 1 && f->error == -EPROTO);
}

static void an_inspection_may_be_late(void **state)
{
	struct fixture *f = *state;
	struct node *n = inspect_now("", 8, NULL, bus_inspect, &f->bus); /* nobody answers: 200 ms */

	assert_non_null(node_walk(n, "tpm/attached"));
	assert_null(node_walk(n, "tpm/process"));
	node_destroy(n);
	/* its answer comes when something else is asked */
	answers(f, DEVICE_INSPECT, 1, 0, NULL, 0);
	answers(f, DEVICE_RESET, 2, 0, NULL, 0);
	bus_reset(&f->bus);
	settle(f);
	assert_int_equal(f->lost, 0);
}

/* ---- with real time and a thread for home, which looks after the time while accesses come */
struct real {
	struct exec *exec;
	struct op op;
	struct timer stop;
	struct device_proxy *proxy;
	int events[2], commands[2];
	atomic_uint posted, lost, came;
};

static void *home(void *arg)
{
	assert_int_equal(exec_run(((struct real *)arg)->exec), 0);
	return NULL;
}

static void real_lost(void *context, int error)
{
	atomic_fetch_add(&((struct real *)context)->lost, 1);
}

static atomic_uint *real_came_count;

static void real_came(struct io_token *token, u64 value)
{
	atomic_fetch_add(real_came_count, 1);
}

static void home_attaches(struct op *op, int unused)
{
	struct real *r = container_of(op, struct real, op);

	assert_int_equal(device_proxy_attach(r->proxy, r->events[0], r->commands[0]), 0);
	atomic_fetch_add(&r->posted, 1);
}

static void home_destroys(struct op *op, int unused)
{
	struct real *r = container_of(op, struct real, op);

	device_proxy_destroy(r->proxy);
	atomic_fetch_add(&r->posted, 1);
}

static void home_stops(struct timer *timer)
{
	exec_stop(container_of(timer, struct real, stop)->exec);
}

/* what was let go has ended by then */
static void home_stops_soon(struct op *op, int unused)
{
	struct real *r = container_of(op, struct real, op);

	r->stop.fire = home_stops;
	timer_arm(r->exec, &r->stop, exec_now_ns(r->exec) + 50000000);
	atomic_fetch_add(&r->posted, 1);
}

static void on_home(struct real *r, void (*what)(struct op *, int))
{
	unsigned before = r->posted;

	exec_post(r->exec, &r->op, what, 0);
	while (r->posted == before)
		sched_yield();
}

/* one access behind the other, without a pause: the test is guest and device */
static void hurry(struct real *r, struct bus *bus, unsigned accesses)
{
	struct io_token token = { .done = real_came };
	struct device_message m;

	for (unsigned i = 0; i < accesses && !r->lost; i++) {
		unsigned before = r->came;
		u64 value = 0;

		assert_int_equal(bus_access(bus, SPACE_MMIO, 0xfed40000, 4, false, &value, &token), BUS_PENDING);
		assert_int_equal(recv(r->events[1], &m, sizeof(m), 0), sizeof(m));
		says(r->events[1], (struct device_message){ .type = DEVICE_ACCESS_DONE, .id = m.id }, NULL);
		while (r->came == before && !r->lost)
			sched_yield();
	}
}

static void what_has_just_begun_is_not_overdue(void **state)
{
	struct real r = { .exec = exec_create("home", -1) };
	const struct device_proxy_config config = {
		.name = "tpm", .tag = STATE_TAG('T', 'P', 'M', '0'), .regions = regions, .region_count = 2, .memory = memory,
		.line = line, .lost = real_lost, .context = &r, .home = r.exec,
	};
	pthread_t thread;

	real_came_count = &r.came;
	assert_int_equal(pthread_create(&thread, NULL, home, &r), 0);
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		struct bus bus;

		r.proxy = device_proxy_create(&config);
		bus_init(&bus);
		assert_int_equal(bus_attach(&bus, device_proxy_device(r.proxy)), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, r.events), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, r.commands), 0);
		on_home(&r, home_attaches);
		hurry(&r, &bus, 8);
		on_home(&r, home_destroys);
		close(r.events[1]);
		close(r.commands[1]);
	}
	on_home(&r, home_stops_soon);
	pthread_join(thread, NULL);
	exec_destroy(r.exec);
	assert_int_equal(r.lost, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(accesses_go_there_and_back), TEST(without_a_process_reads_are_all_ones), TEST(silence_ends),
		TEST(too_many_accesses_are_not_kept), TEST(memory_is_asked_for), TEST(lines_and_nonsense),
		TEST(commands_are_asked_one_by_one), TEST(an_inspection_may_be_late),
		cmocka_unit_test(what_has_just_begun_is_not_overdue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
