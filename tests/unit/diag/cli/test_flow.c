/* Bytes from one descriptor to another: all of them, in order, with both directions full, and with ends that go away */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/cli/flow.h"
#include "lib/core/types.h"

#define MUCH 1500000u /* more than two sockets and a flow hold */

struct joined {
	int in, out, there;
	pthread_t thread;
};

static void *join(void *arg)
{
	const struct joined *j = arg;

	flow_join(j->in, j->out, j->there);
	return NULL;
}

/* ret: the client's and the server's end of two connections with a relay between them */
static void start(struct joined *j, int ret[2])
{
	int client[2], server[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, client), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, server), 0);
	ret[0] = client[0];
	ret[1] = server[0];
	*j = (struct joined){ .in = client[1], .out = client[1], .there = server[1] };
	assert_int_equal(pthread_create(&j->thread, NULL, join, j), 0);
}

static void end(struct joined *j)
{
	pthread_join(j->thread, NULL);
	close(j->in);
	close(j->there);
}

static u8 nth(size_t i, u8 who)
{
	return (u8)(i * 7 + i / 251 + who);
}

static void *write_much(void *arg)
{
	int fd = *(int *)arg;
	u8 *data = malloc(MUCH);

	for (size_t i = 0; data && i < MUCH; i++)
		data[i] = nth(i, 1);
	for (size_t at = 0; data && at < MUCH;) {
		ssize_t n = write(fd, data + at, MUCH - at);

		if (n < 0)
			break;
		at += (size_t)n;
	}
	free(data);
	shutdown(fd, SHUT_WR);
	return NULL;
}

static size_t read_all(int fd, u8 who)
{
	u8 data[4096];
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(data[i], nth(got, who));
	return got;
}

/* the server writes and reads as it can; the client reads nothing before it has written all */
static void client_writes_first(void **state)
{
	size_t sent = 0, got = 0;
	struct joined j;
	pthread_t client;
	bool ended = false;
	int fds[2];

	start(&j, fds);
	assert_int_equal(pthread_create(&client, NULL, write_much, &fds[0]), 0);
	while (sent < MUCH || !ended) {
		struct pollfd p = { fds[1], (short)((sent < MUCH ? POLLOUT : 0) | (ended ? 0 : POLLIN)), 0 };
		u8 data[4096];
		ssize_t n;

		assert_int_equal(poll(&p, 1, 20000), 1); /* the relay waits for nobody; 0: it stands still */
		n = recv(fds[1], data, sizeof(data), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(data[i], nth(got, 1));
		ended |= !n;
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = nth(sent + i, 2);
		n = sent < MUCH ? send(fds[1], data, MIN(sizeof(data), MUCH - sent), MSG_DONTWAIT) : 0;
		sent += n > 0 ? (size_t)n : 0;
		if (ended) { /* the client is done with writing: it reads now */
			shutdown(fds[1], SHUT_WR);
			break;
		}
	}
	pthread_join(client, NULL);
	assert_int_equal(got, MUCH);
	assert_true(sent > 0);
	assert_int_equal(read_all(fds[0], 2), sent);
	end(&j);
	close(fds[0]);
	close(fds[1]);
}

/* what was written before an end is there after it, the other way stays open until its own */
static void halves_end_by_themselves(void **state)
{
	struct joined j;
	char data[8];
	int fds[2];

	start(&j, fds);
	assert_int_equal(write(fds[0], "abc", 3), 3);
	shutdown(fds[0], SHUT_WR);
	assert_int_equal(recv(fds[1], data, 3, MSG_WAITALL), 3);
	assert_memory_equal(data, "abc", 3);
	assert_int_equal(read(fds[1], data, 1), 0);
	assert_int_equal(write(fds[1], "defg", 4), 4);
	assert_int_equal(recv(fds[0], data, 4, MSG_WAITALL), 4);
	assert_memory_equal(data, "defg", 4);
	close(fds[1]);
	assert_int_equal(read(fds[0], data, 1), 0);
	end(&j);
	close(fds[0]);
}

static void a_reader_that_goes_ends_it(void **state)
{
	struct joined j;
	pthread_t writer;
	int fds[2];

	start(&j, fds);
	close(fds[0]); /* whoever writes to it now gets EPIPE */
	assert_int_equal(pthread_create(&writer, NULL, write_much, &fds[1]), 0);
	end(&j);
	pthread_join(writer, NULL);
	close(fds[1]);
}

/* standard input and output are pipes, with a reader that is slow; the end comes with the other side's */
static void pipes(void **state)
{
	int in[2], out[2], server[2];
	struct joined j;
	pthread_t writer;
	u8 data[16];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, server), 0);
	j = (struct joined){ .in = in[0], .out = out[1], .there = server[1] };
	assert_int_equal(pthread_create(&j.thread, NULL, join, &j), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_much, &server[0]), 0);
	usleep(20000); /* the pipe is full by now, if anything can fill it */
	assert_int_equal(write(in[1], "still heard", 11), 11);
	assert_int_equal(recv(server[0], data, 11, MSG_WAITALL), 11);
	assert_memory_equal(data, "still heard", 11);
	size_t got = 0;
	while (got < MUCH) {
		ssize_t n = read(out[0], data, sizeof(data));

		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(data[i], nth(got, 1));
	}
	pthread_join(writer, NULL);
	pthread_join(j.thread, NULL);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
		close(server[i]);
	}
}

/* a program's output ends, and its errors, which go to the same socket, do not */
static void what_is_shared_stays(void **state)
{
	int from[2], to[2];
	char data[4];

	assert_int_equal(pipe(from), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, to), 0);
	struct flow f = { .from = from[0], .to = to[0], .shared = true };

	assert_int_equal(write(from[1], "ab", 2), 2);
	close(from[1]);
	while (!flow_ended(&f)) {
		struct pollfd p[2];

		flow_want(&f, p);
		assert_int_equal(poll(p, 2, 20000), 1);
		flow_move(&f, p);
	}
	assert_int_equal(write(to[0], "cd", 2), 2);
	assert_int_equal(recv(to[1], data, 4, MSG_WAITALL), 4);
	assert_memory_equal(data, "abcd", 4);
	close(from[0]);
	close(to[0]);
	close(to[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_writes_first), cmocka_unit_test(halves_end_by_themselves),
		cmocka_unit_test(a_reader_that_goes_ends_it), cmocka_unit_test(pipes),
		cmocka_unit_test(what_is_shared_stays),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
