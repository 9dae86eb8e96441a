/* A device's process on the real executor. This program is its own device: it is started again under another name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/bus/bus.h"
#include "vmm/device_worker/process.h"
#include "vmm/device_worker/proxy.h"
#include "vmm/device_worker/sandbox.h"
#include "vmm/device_worker/server.h"

#define DEVICE_NAME "device"
#define NOBODY 65534u

/* ---- the device: each access does what its offset says, behind the sandbox */
static u64 kept;

static void do_it(void *device, struct device_access *a)
{
	void *memory;

	switch (a->offset) {
	case 0: /* a register */
		kept = a->write ? a->value : kept;
		a->value = kept;
		return;
	case 8: /* what a device may: memory, time is not asked for */
		memory = malloc(1 << 20);
		a->value = memory ? (u64)((u8 *)memset(memory, 3, 1 << 20))[99] : 0;
		free(memory);
		return;
	case 16: a->value = (u64)open("/proc/self/mem", O_RDONLY); return;
	case 24: a->value = (u64)socket(AF_INET, SOCK_STREAM, 0); return;
	case 32: a->value = (u64)fork(); return;
	case 40: a->value = (u64)kill(getppid(), 0); return;
	case 48: a->value = (u64)syscall(SYS_mmap, NULL, 4096, 7, 0x22, -1, 0); return; /* to write and to run */
	}
	raise(SIGKILL);
}

static void inspect_it(void *device, struct inspect *in)
{
	inspect_u64(in, "kept", kept);
}

static void save_it(void *device, struct saver *s)
{
	saver_u64(s, kept);
}

static int play_device(void)
{
	static const struct device_server_ops ops = { .access = do_it, .inspect = inspect_it, .save = save_it };

	/* nothing else is open, and nothing is said in the environment */
	if (fcntl(DEVICE_FD_PARENT + 1, F_GETFD) != -1 || environ[0])
		return 10;
	struct device_server *s = device_server_create(DEVICE_FD_EVENTS, DEVICE_FD_COMMANDS, &ops, NULL);

	if (!s || device_sandbox_enter(&(struct device_sandbox){ .uid = NOBODY }))
		return 11;
	/* by the call itself: before _exit() the sanitizer makes one of its own */
	syscall(SYS_exit_group, device_server_run(s) ? 12 : 0);
	return 14;
}

/* ---- who starts it */
struct fixture {
	struct exec *exec;
	struct device_process process;
	struct device_proxy *proxy;
	struct bus bus;
	struct io_token token;
	struct timer limit;
	struct op turn;
	unsigned started, lost, given_up;
	u64 value;
	bool answered, late, refuse;
};

static const struct region regions[] = { { "it", SPACE_MMIO, 0x1000, 128 } };

static int memory(void *context, u64 gpa, void *data, size_t len, bool write)
{
	return -EFAULT;
}

static void line(void *context, unsigned number, bool level)
{
}

static void lost(void *context, int error)
{
	struct fixture *f = context;

	f->lost++;
	device_process_kill(&f->process);
}

static int started(void *context, const struct device_ends *ends)
{
	struct fixture *f = context;

	f->started++;
	close(ends->parent);
	if (!f->refuse)
		return device_proxy_attach(f->proxy, ends->events, ends->commands);
	close(ends->events);
	close(ends->commands);
	return -EIO;
}

static void given_up(void *context)
{
	((struct fixture *)context)->given_up++;
}

static void too_late(struct timer *timer)
{
	struct fixture *f = container_of(timer, struct fixture, limit);

	f->late = true;
	exec_stop(f->exec);
}

static void came(struct io_token *token, u64 value)
{
	struct fixture *f = container_of(token, struct fixture, token);

	f->value = value;
	f->answered = true;
}

static void no_more(struct op *op, int result)
{
	exec_stop(container_of(op, struct fixture, turn)->exec);
}

/* turns of the executor until it is so, or twenty seconds are over */
#define UNTIL(f, condition)                                                                                \
	do {                                                                                               \
		(f)->late = false;                                                                         \
		timer_arm((f)->exec, &(f)->limit, exec_now_ns((f)->exec) + 20000000000ull);                \
		while (!(condition) && !(f)->late) {                                                       \
			exec_post((f)->exec, &(f)->turn, no_more, 0);                                      \
			assert_int_equal(exec_run((f)->exec), 0);                                          \
			usleep(500);                                                                       \
		}                                                                                          \
		timer_disarm((f)->exec, &(f)->limit);                                                      \
		assert_true(condition);                                                                    \
	} while (0)

static u64 access_it(struct fixture *f, u64 offset, bool write, u64 value)
{
	f->answered = false;
	f->token.done = came;
	if (bus_access(&f->bus, SPACE_MMIO, 0x1000 + offset, 8, write, &value, &f->token) == BUS_DONE)
		return value;
	UNTIL(f, f->answered);
	return f->value;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_process_config process = { .name = DEVICE_NAME, .started = started, .given_up = given_up, .context = f };
	struct device_proxy_config proxy = { .name = "it", .tag = 7, .regions = regions, .region_count = 1, .memory = memory,
					     .line = line, .lost = lost, .context = f };

	process.exec = proxy.home = f->exec = exec_create("test", -1);
	f->limit.fire = too_late;
	f->proxy = device_proxy_create(&proxy);
	bus_init(&f->bus);
	assert_int_equal(bus_attach(&f->bus, device_proxy_device(f->proxy)), 0);
	device_process_init(&f->process, &process);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	device_process_end(&f->process);
	UNTIL(f, !f->process.pid);
	device_proxy_destroy(f->proxy);
	for (unsigned i = 0; i < 50; i++) {
		exec_post(f->exec, &f->turn, no_more, 0);
		assert_int_equal(exec_run(f->exec), 0);
		usleep(500);
	}
	exec_destroy(f->exec);
	free(f);
	return 0;
}

static void it_runs_and_comes_back(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(device_process_start(&f->process), 0);
	assert_int_equal(device_process_start(&f->process), -EBUSY);
	access_it(f, 0, true, 0x55);
	assert_int_equal(access_it(f, 0, false, 0), 0x55);
	assert_int_equal(access_it(f, 8, false, 0), 3);
	/* it lives behind its sandbox with all that the proxy asks */
	struct node *n = inspect_now("", 8, NULL, bus_inspect, &f->bus);

	assert_non_null(node_walk(n, "it/process/kept"));
	node_destroy(n);
	struct saver s;

	saver_init(&s);
	bus_save(&f->bus, &s);
	assert_int_equal(s.error, 0);
	saver_fini(&s);
	/* dead, and there again: at once the first time */
	assert_int_equal(access_it(f, 120, false, 0), ~0ull);
	UNTIL(f, f->started == 2);
	assert_int_equal(access_it(f, 0, false, 0), 0);
	assert_int_equal(f->lost, 1);
	assert_int_equal(f->process.restart.deaths, 1);
}

/* what it must not do ends it, by SIGSYS */
static void it_can_do_nothing_else(void **state)
{
	struct fixture *f = *state;

	for (u64 offset = 16; offset <= 48; offset += 8) {
		assert_int_equal(device_process_start(&f->process), 0);
		assert_int_equal(access_it(f, offset, false, 0), ~0ull);
		UNTIL(f, !f->process.pid || f->process.restart.deaths);
		if (!WIFSIGNALED(f->process.status) || WTERMSIG(f->process.status) != SIGSYS)
			fail_msg("offset %lu: status %#x", offset, f->process.status);
		device_process_end(&f->process);
		UNTIL(f, !f->process.pid);
		f->process.restart.deaths = 0;
	}
}

static void nobody_reads_its_memory(void **state)
{
	struct fixture *f = *state;
	char path[64];

	assert_int_equal(device_process_start(&f->process), 0);
	assert_int_equal(access_it(f, 0, true, 1), 1); /* it is behind the sandbox now */
	snprintf(path, sizeof(path), "/proc/%d/status", f->process.pid);
	FILE *in = fopen(path, "r");
	char line_text[128];
	unsigned found = 0;

	while (fgets(line_text, sizeof(line_text), in)) {
		found += !strcmp(line_text, "CapEff:\t0000000000000000\n") || !strcmp(line_text, "CapPrm:\t0000000000000000\n");
		found += !strcmp(line_text, "NoNewPrivs:\t1\n") || !strcmp(line_text, "Seccomp:\t2\n");
	}
	fclose(in);
	assert_int_equal(found, 4);
	/* root may; the same user may not, as it might in a process that makes cores */
	snprintf(path, sizeof(path), "/proc/%d/mem", f->process.pid);
	pid_t other = fork();

	if (!other)
		_exit((!getuid() && setresuid(NOBODY, NOBODY, NOBODY)) || open(path, O_RDONLY) >= 0);
	int status;

	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
}

static void one_that_nobody_wants_is_ended(void **state)
{
	struct fixture *f = *state;

	f->refuse = true;
	assert_int_equal(device_process_start(&f->process), -EIO);
	UNTIL(f, !f->process.pid);
	assert_int_equal(f->started, 1);
	assert_false(f->process.wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(it_runs_and_comes_back), TEST(it_can_do_nothing_else), TEST(nobody_reads_its_memory),
		TEST(one_that_nobody_wants_is_ended),
	};

	return !strcmp(argv[0], DEVICE_NAME) ? play_device() : cmocka_run_group_tests(tests, NULL, NULL);
}
