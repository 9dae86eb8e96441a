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

#include "diag/cli/cli.h"
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

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	control.exec = control.worker.exec = exec_create("serve", -1);
	control.kmsg_path = kmsg_path;
	streams_init(&control.streams, control.exec);
	control.server = ttrpc_server_create(control.exec, &config);
	control.data = data_create(control.exec, 1000000000);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64) ||
	    pthread_create(&thread, NULL, relay, (void *)(intptr_t)fd))
		abort();
	_exit(exec_run(control.exec) ? 1 : 0);
}

/* runs one command line; its exit code and what it printed */
static int run(const char *words, char *out, size_t size)
{
	char line[256], path[] = "/tmp/pvdiag-out.XXXXXX", error[256];
	char *argv[16] = { 0 }, *rest = NULL;
	struct session s = { .fd = -1 };
	struct options o;
	int argc = 1, file = mkstemp(path), saved = dup(1), code;

	snprintf(line, sizeof(line), "%s", words);
	for (char *w = strtok_r(line, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	assert_int_equal(options_parse(argc, argv, &o, error, sizeof(error)), 0);
	assert_int_equal(target_parse(socket_path, &s.target, error, sizeof(error)), 0);
	s.options = &o;
	fflush(stdout);
	dup2(file, 1);
	code = !strcmp(o.command, "ping")   ? command_ping(&s)
	       : !strcmp(o.command, "kmsg") ? command_kmsg(&s)
					    : command_inspect(&s);
	fflush(stdout);
	dup2(saved, 1);
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
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(socket_path);
	unlink(kmsg_path);
	return 0;
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
		cmocka_unit_test(failures_have_their_codes),
	};

	if (argc == 3 && !strcmp(argv[1], "serve")) {
		snprintf(kmsg_path, sizeof(kmsg_path), "/dev/kmsg");
		serve(argv[2]);
	}
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
