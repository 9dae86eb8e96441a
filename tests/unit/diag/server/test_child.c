/* The worker's launch on the real executor. This program is its own worker: it is started again under that name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/server/worker.h"

struct fixture {
	struct child child;
	struct link_query query;
	unsigned notified;
	char text[LINK_TEXT_MAX], answer[8];
	int error;
	bool ended;
};

/* fds as promised? then a word, an answer, and the end that was asked for */
static int play_worker(void)
{
	struct link_notify n = { .type = LINK_STARTED, .vp = 3 };
	struct link_request r;
	char path[LINK_BODY_MAX + 1] = "";

	/* what is not given is open all the same: or something else would get its number */
	for (int fd = LINK_FD_REQUESTS; fd <= LINK_FD_LAST; fd++)
		if (fcntl(fd, F_GETFD) != 0)
			return 10 + fd;
	if (fcntl(LINK_FD_LAST + 1, F_GETFD) != -1)
		return 20;
	strcpy(n.text, "here");
	if (send(LINK_FD_NOTIFY, &n, sizeof(n), 0) != (ssize_t)sizeof(n) || read(LINK_FD_REQUESTS, &r, sizeof(r)) != sizeof(r) ||
	    read(LINK_FD_REQUESTS, path, r.path_len) != r.path_len)
		return 21;
	/* this one is not always a socket */
	if ((getsockopt(LINK_FD_GDB, SOL_SOCKET, SO_TYPE, &(int){ 0 }, &(socklen_t){ sizeof(int) }) == 0) != !strcmp(path, "die"))
		return 23;
	if (!strcmp(path, "die"))
		raise(SIGKILL);
	struct { struct link_reply head; char body[4]; } reply = { { 4 + 4 + 4, r.id, 0 }, "pong" };

	return write(LINK_FD_REQUESTS, &reply, sizeof(reply)) == sizeof(reply) ? 7 : 22;
}

static void notified(struct child *c, const struct link_notify *n)
{
	struct fixture *f = container_of(c, struct fixture, child);

	f->notified++;
	memcpy(f->text, n->text, sizeof(f->text));
	link_ask(c->link, &f->query, 2000000000);
}

static void ended(struct child *c)
{
	container_of(c, struct fixture, child)->ended = true;
	exec_stop(c->exec);
}

static void answered(struct link_query *q, int error, struct bytes body)
{
	struct fixture *f = container_of(q, struct fixture, query);

	f->error = error;
	if (body.left && body.left < sizeof(f->answer))
		memcpy(f->answer, body.at, body.left);
}

static void run(struct fixture *f, const char *path)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct child_fds fds = { null, null, null, null, !strcmp(path, "die") ? listening : -1, -1 };

	memset(f, 0, sizeof(*f));
	f->child.exec = exec_create("test", -1);
	f->child.notified = notified;
	f->child.ended = ended;
	f->query.done = answered;
	f->error = 1;
	assert_non_null(f->child.exec);
	assert_int_equal(link_query_set(&f->query, LINK_INSPECT, path, 1, NULL), 0);
	assert_int_equal(child_start(&f->child, &fds), 0);
	alarm(20);
	assert_int_equal(exec_run(f->child.exec), 0);
	alarm(0);
	exec_destroy(f->child.exec);
	close(null);
	close(listening);
	assert_true(f->ended);
	assert_int_equal(f->notified, 1);
	assert_string_equal(f->text, "here");
}

static void a_worker_runs_and_ends(void **state)
{
	struct fixture f;
	char text[80];

	run(&f, "vm");
	assert_true(WIFEXITED(f.child.status));
	assert_int_equal(WEXITSTATUS(f.child.status), 7);
	assert_int_equal(f.error, 0);
	assert_string_equal(f.answer, "pong");
	child_status_text(f.child.status, text, sizeof(text));
	assert_string_equal(text, "exit status 7");
}

static void a_worker_that_dies_is_seen(void **state)
{
	struct fixture f;

	run(&f, "die");
	assert_true(WIFSIGNALED(f.child.status));
	assert_int_equal(f.error, -EPIPE);
	/* and nobody waits for one that is gone */
	link_ask(f.child.link, &f.query, 1);
	assert_int_equal(f.error, -EPIPE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_runs_and_ends),
		cmocka_unit_test(a_worker_that_dies_is_seen),
	};

	if (!strcmp(argv[0], "worker"))
		return play_worker();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
