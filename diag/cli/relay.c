/* pvdiag vsock-tcp-relay and gdbserver: for clients that know TCP, or a pipe, only. One connection after the other. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "diag/cli/flow.h"
#include "lib/os/cleanup.h"

static bool port_of(const char *word, unsigned long max, unsigned *ret)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	*ret = (unsigned)n;
	return end != word && !*end && *word != '-' && n <= max;
}

static int listen_on(unsigned port, bool everybody, unsigned *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((u16)port),
				 .sin_addr.s_addr = htonl(everybody ? INADDR_ANY : INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&a, len) && !listen(fd, 16) &&
	    !getsockname(fd, (struct sockaddr *)&a, &len)) {
		*ret_port = ntohs(a.sin_port);
		return fd;
	}
	fprintf(stderr, "pvdiag: TCP port %u: %s\n", port, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* connections to that TCP port, one after the other, each to one of the vsock port */
static enum exit_code serve(struct session *s, int listener, unsigned vsock)
{
	const struct options *o = s->options;
	unsigned left = option_given(o, OPT_COUNT) ? (unsigned)o->number[OPT_COUNT] : 0;
	char error[512];

	signal(SIGPIPE, SIG_IGN);
	for (enum exit_code code = EXIT_OK;;) {
		_cleanup_close_ int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		_cleanup_close_ int there = client < 0 ? -1 : target_connect(&s->target, vsock, o->timeout_ms, error,
									     sizeof(error));

		code = there < 0 ? EXIT_NOBODY : EXIT_OK;
		if (client >= 0 && there < 0)
			fprintf(stderr, "pvdiag: %s\n", error);
		else if (client >= 0)
			flow_join(client, client, there);
		if (left && !--left)
			return code;
	}
}

enum exit_code command_relay(struct session *s)
{
	const struct options *o = s->options;
	unsigned vsock, tcp;

	if (!port_of(o->words[0], 0xfffffffe, &vsock) || !port_of(o->words[1], 65535, &tcp)) {
		fprintf(stderr, "pvdiag: vsock-tcp-relay %s %s: wanted is a vsock port and a TCP port (0: any)\n", o->words[0],
			o->words[1]);
		return EXIT_USAGE;
	}
	_cleanup_close_ int listener = listen_on(tcp, option_given(o, OPT_REMOTE), &tcp);

	if (listener < 0)
		return EXIT_FAILED;
	printf("TCP port %u leads to vsock port %u\n", tcp, vsock);
	fflush(stdout);
	return serve(s, listener, vsock);
}

/* a signal that the terminal sends to gdb's process group too must not end the pipe: Ctrl-C is a byte of the protocol */
static enum exit_code bridge_stdio(struct session *s)
{
	char error[512];
	_cleanup_close_ int there = target_connect(&s->target, PORT_GDB, s->options->timeout_ms, error, sizeof(error));

	if (there < 0) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return EXIT_NOBODY;
	}
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	flow_join(STDIN_FILENO, STDOUT_FILENO, there);
	return EXIT_OK;
}

enum exit_code command_gdbserver(struct session *s)
{
	const struct options *o = s->options;
	unsigned tcp = option_given(o, OPT_PORT) ? (unsigned)o->number[OPT_PORT] : 0;

	if (option_given(o, OPT_STDIO))
		return bridge_stdio(s);
	_cleanup_close_ int listener = listen_on(tcp, option_given(o, OPT_REMOTE), &tcp);

	if (listener < 0)
		return EXIT_FAILED;
	printf("gdb: target remote :%u\n", tcp);
	fflush(stdout);
	return serve(s, listener, PORT_GDB);
}
