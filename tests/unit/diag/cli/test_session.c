/*
 * pvdiag against the real server over a hybrid vsock socket, both on real executors and sockets. `test_session serve PATH`
 * keeps serving, to try pvdiag by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/cli/records.h"
#include "diag/server/control.h"

static struct control control;
static char socket_path[64] = "/tmp/pvdiag-test.XXXXXX", kmsg_path[64];

struct arrival {
	struct op op;
	int fd;
	unsigned port;
};

static void arrived(struct op *op, int arg)
{
	struct arrival *a = container_of(op, struct arrival, op);

	if (a->port == PORT_CONTROL && ttrpc_server_adopt(control.server, a->fd))
		fprintf(stderr, "refused\n");
	else if (a->port == PORT_DATA)
		data_adopt(control.data, a->fd);
	free(a);
}

/* what pvhost does: CONNECT n, OK, then the port's bytes */
static void *relay(void *arg)
{
	int listener = (int)(intptr_t)arg;

	for (;;) {
		struct arrival *a = calloc(1, sizeof(*a));
		char line[32] = "";

		a->fd = accept(listener, NULL, NULL);
		for (size_t i = 0; i < sizeof(line) - 1 && read(a->fd, line + i, 1) == 1 && line[i] != '\n'; i++)
			;
		if (sscanf(line, "CONNECT %u", &a->port) != 1 || a->port > 2) {
			close(a->fd);
			free(a);
			continue;
		}
		if (write(a->fd, "OK 1024\n", 8) != 8)
			abort();
		exec_post(control.exec, &a->op, arrived, 0);
	}
	return NULL;
}

static _Noreturn void serve(const char *path)
{
	struct ttrpc_config config = { .methods = control_methods, .method_count = control_method_count, .context = &control };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pthread_t thread;

	signal(SIGPIPE, SIG_IGN); /* as control_main() does: a client or a program may be gone when it is written to */
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	control.exec = control.worker.exec = exec_create("serve", -1);
	control.kmsg_path = kmsg_path;
	streams_init(&control.streams, control.exec);
	control.server = ttrpc_server_create(control.exec, &config);
	control.data = data_create(control.exec, 1000000000);
	processes_init(&control.processes, control.exec, control.data);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64) ||
	    pthread_create(&thread, NULL, relay, (void *)(intptr_t)fd))
		abort();
	_exit(exec_run(control.exec) ? 1 : 0);
}

static const char *stdin_path;

/* runs one command line; its exit code and what it printed */
static int run(const char *words, char *out, size_t size)
{
	char line[256], path[] = "/tmp/pvdiag-out.XXXXXX", error[256];
	char *argv[16] = { 0 }, *rest = NULL;
	struct session s = { .fd = -1 };
	struct options o;
	int argc = 1, file = mkstemp(path), saved = dup(1), in = dup(0), code;

	snprintf(line, sizeof(line), "%s", words);
	for (char *w = strtok_r(line, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	/* a tab stands for a space inside a word */
	for (int i = 1; i < argc; i++)
		for (char *c = argv[i]; *c; c++)
			*c = *c == '\t' ? ' ' : *c;
	assert_int_equal(options_parse(argc, argv, &o, error, sizeof(error)), 0);
	assert_int_equal(target_parse(socket_path, &s.target, error, sizeof(error)), 0);
	s.options = &o;
	fflush(stdout);
	dup2(file, 1);
	if (stdin_path) {
		int fd = open(stdin_path, O_RDONLY);

		dup2(fd, 0);
		close(fd);
	}
	code = o.command->run(&s);
	fflush(stdout);
	dup2(saved, 1);
	dup2(in, 0);
	close(in);
	ssize_t n = pread(file, out, size - 1, 0);

	out[n < 0 ? 0 : n] = 0;
	session_close(&s);
	close(saved);
	close(file);
	unlink(path);
	return code;
}

static pid_t server;

static int start_server(void **state)
{
	int fd = mkstemp(socket_path);

	close(fd);
	snprintf(kmsg_path, sizeof(kmsg_path), "%s.kmsg", socket_path);
	unlink(socket_path);
	fd = open(kmsg_path, O_CREAT | O_WRONLY, 0600);
	if (write(fd, "6,1,2000001,-;hello\n", 20) != 20)
		return -1;
	close(fd);
	server = fork();
	if (!server)
		serve(socket_path);
	for (int i = 0; i < 500 && access(socket_path, F_OK); i++)
		usleep(10000);
	usleep(100000);
	return 0;
}

static int stop_server(void **state)
{
	int status = 0;

	kill(server, SIGKILL);
	waitpid(server, &status, 0);
	unlink(socket_path);
	unlink(kmsg_path);
	if (status == SIGKILL)
		return 0;
	fprintf(stderr, "the server had ended by itself: status %#x\n", (unsigned)status);
	return -1;
}

static void commands_work(void **state)
{
	char out[65536];

	assert_int_equal(run("ping", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "answers after"));
	assert_int_equal(run("inspect", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "control_state: starting"));
	assert_int_equal(run("inspect build_info/program", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "paravane\n");
	assert_int_equal(run("inspect -r --json build_info uhdiag", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "\"uhdiag\":{"));
	assert_int_equal(run("inspect -r", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "MemTotal"));
	assert_int_equal(run("inspect trace/filter -u debug", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "debug\n");
	assert_int_equal(run("inspect trace/filter", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "debug\n");
	assert_int_equal(run("kmsg", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "[    2.000001] hello\n");
}

static void programs_run(void **state)
{
	static char out[2 << 20];
	char big[] = "/tmp/pvdiag-big.XXXXXX", line[128];
	int fd = mkstemp(big);

	assert_int_equal(run("run echo a b", out, sizeof(out)), 0);
	assert_string_equal(out, "a b\n");
	assert_int_equal(run("run sh -c exit\t7", out, sizeof(out)), 7);
	assert_int_equal(run("run sh -c kill\t-TERM\t$$", out, sizeof(out)), 128 + SIGTERM);
	assert_int_equal(run("run -e A=one -e HOME= --clear-env /usr/bin/env", out, sizeof(out)), 0);
	assert_non_null(strstr(out, "A=one\nHOME=\n"));
	assert_null(strstr(out, "PWD"));
	assert_int_equal(run("run /nowhere/program", out, sizeof(out)), EXIT_FAILED);
	/* more than pipe, socket and relay hold, in and out */
	for (unsigned i = 0; i < 1500000 / 8; i++)
		assert_int_equal(dprintf(fd, "%07u\n", i), 8);
	stdin_path = big;
	assert_int_equal(run("run cat", out, sizeof(out)), 0);
	assert_int_equal(strlen(out), 1500000 / 8 * 8);
	assert_memory_equal(out + strlen(out) - 8, "0187499\n", 8);
	/* its output is taken before it takes its input */
	assert_int_equal(run("run sh -c yes|head\t-c\t1500000;cat>/dev/null", out, sizeof(out)), 0);
	assert_int_equal(strlen(out), 1500000);
	stdin_path = NULL;
	snprintf(line, sizeof(line), "file %s", big);
	assert_int_equal(run(line, out, sizeof(out)), 0);
	assert_int_equal(strlen(out), 1500000 / 8 * 8);
	assert_int_equal(run("file /", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("file /nowhere", out, sizeof(out)), EXIT_FAILED);
	close(fd);
	unlink(big);
	/* without a worker, and with none to come */
	assert_int_equal(run("pause", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("restart", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("start", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("packet-capture", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("inspect -r uhdiag/processes", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "failed: 1"));
	assert_non_null(strstr(out, "reaped: 6"));
}

static void patterns_are_expanded(void **state)
{
	char out[4096];

	assert_int_equal(run("inspect uhdiag/*/accepted", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "uhdiag/rpc/accepted:\n"));
	assert_non_null(strstr(out, "uhdiag/data/accepted:\n"));
	assert_int_equal(run("inspect build_info/[pv]*", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "build_info/program:\nparavane\n"));
	assert_null(strstr(out, "compiler"));
	assert_int_equal(run("inspect build_info/x*", out, sizeof(out)), EXIT_FAILED);
	/* what grows is a rate; what does not is itself */
	assert_int_equal(run("inspect uhdiag build_info --watch=0.1 -n 1", out, sizeof(out)), EXIT_OK);
	assert_non_null(strstr(out, "program: paravane"));
	assert_non_null(strstr(out, "ping: 0.0/s"));
}

static void records_are_taken_apart(void **state)
{
	char out[4096];
	struct record r;

	assert_true(record_parse("12,7,2000001,-;vmm/vmbus: hello: there\n SUBSYSTEM=x", &r));
	assert_int_equal(r.level, 4);
	assert_string_equal(r.process, "vmm");
	assert_string_equal(r.domain, "vmbus");
	assert_int_equal(r.message_len, 12);
	assert_memory_equal(r.message, "hello: there", 12);
	assert_true(record_parse("6,1,5,-;pci/0: from the kernel", &r));
	assert_string_equal(r.process, "kernel");
	assert_true(record_parse("14,1,5,-;no origin here/at all: x", &r));
	assert_string_equal(r.process, "user");
	assert_false(record_parse("nonsense", &r));
	assert_int_equal(run("events --level debug -j", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "{\"sequence\":1,\"us\":2000001,\"level\":\"info\",\"process\":\"kernel\",\"domain\":\"\","
				 "\"text\":\"hello\"}\n");
	assert_int_equal(run("events --level warn", out, sizeof(out)), EXIT_OK);
	assert_string_equal(out, "");
	assert_int_equal(run("events --level loud", out, sizeof(out)), EXIT_USAGE);
}

static void a_bundle_has_what_there_is(void **state)
{
	char out[4096], path[] = "/tmp/pvdiag-bundle.XXXXXX", line[64], command[160];
	int fd = mkstemp(path);

	close(fd);
	snprintf(line, sizeof(line), "bundle %s", path);
	assert_int_equal(run(line, out, sizeof(out)), EXIT_OK);
	/* tar has the last word on what a tar archive is */
	snprintf(command, sizeof(command),
		 "tar xOf %s paravane/inspect.json | grep -q '\"build_info\"' && tar xOf %s paravane/kmsg.txt | grep -q hello",
		 path, path);
	assert_int_equal(system(command), 0);
	unlink(path);
}

static void failures_have_their_codes(void **state)
{
	char out[4096];

	assert_int_equal(run("inspect nowhere", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("inspect vm", out, sizeof(out)), EXIT_FAILED);
	assert_int_equal(run("inspect build_info/program -u x", out, sizeof(out)), EXIT_FAILED);
	struct target nobody = { .kind = TARGET_HYBRID, .path = "/nowhere/x", .text = "/nowhere/x" };

	assert_true(target_connect(&nobody, 1, 1000, out, sizeof(out)) < 0);
	assert_non_null(strstr(out, "is pvhost running?"));
	nobody = (struct target){ .kind = TARGET_HYBRID };
	snprintf(nobody.path, sizeof(nobody.path), "%s", socket_path);
	assert_int_equal(target_connect(&nobody, 9, 1000, out, sizeof(out)), -EHOSTUNREACH);
	assert_non_null(strstr(out, "no paravisor answers on its port 9"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_work),
		cmocka_unit_test(programs_run),
		cmocka_unit_test(patterns_are_expanded),
		cmocka_unit_test(records_are_taken_apart),
		cmocka_unit_test(a_bundle_has_what_there_is),
		cmocka_unit_test(failures_have_their_codes),
	};

	if (argc == 3 && !strcmp(argv[1], "serve")) {
		snprintf(kmsg_path, sizeof(kmsg_path), "/dev/kmsg");
		serve(argv[2]);
	}
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
