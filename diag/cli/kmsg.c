#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

#define RECORD_MAX 4096

/* "priority,sequence,microseconds,flags[,…];text\n KEY=value\n" (Documentation/ABI/testing/dev-kmsg) as dmesg shows it */
static void print_record(const char *record, bool colour)
{
	static const char *const shades[8] = { "31;1", "31;1", "31;1", "31", "33", "1", "", "2" };
	const char *text = strchr(record, ';');
	unsigned long long sequence, us;
	unsigned priority;

	if (!text || sscanf(record, "%u,%llu,%llu", &priority, &sequence, &us) != 3) {
		printf("%s\n", record);
		return;
	}
	text++;
	const char *shade = colour ? shades[priority & 7] : "";
	int len = (int)strcspn(text, "\n");

	printf("[%5llu.%06llu] ", us / 1000000, us % 1000000);
	if (*shade)
		printf("\033[%sm%.*s\033[0m\n", shade, len, text);
	else
		printf("%.*s\n", len, text);
}

/* whole records from the buffer's front; returns what is left of it */
static size_t print_records(char *data, size_t len, bool colour)
{
	size_t at = 0;

	for (char *end; at < len && (end = memchr(data + at, 0, len - at)); at = (size_t)(end - data) + 1)
		print_record(data + at, colour);
	memmove(data, data + at, len - at);
	return len - at;
}

static enum exit_code copy_records(int fd, bool colour)
{
	char data[2 * RECORD_MAX];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, data + len, sizeof(data) - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fprintf(stderr, "pvdiag: kmsg: %s\n", strerror(errno));
		if (n <= 0)
			return n < 0 ? EXIT_FAILED : EXIT_OK;
		len = print_records(data, len + (size_t)n, colour);
		fflush(stdout);
		if (len == sizeof(data)) {
			fprintf(stderr, "pvdiag: kmsg: a record without an end\n");
			return EXIT_FAILED;
		}
	}
}

enum exit_code command_kmsg(struct session *s)
{
	u64 deadline_ns = now_ns() + s->options->timeout_ms * 1000000ull, id;
	struct ttrpc_answer answer;
	struct pb_writer w;
	char error[512];
	_cleanup_close_ int fd = target_connect(&s->target, PORT_DATA, s->options->timeout_ms, error, sizeof(error));

	if (fd < 0 || ttrpc_read_until(fd, &id, sizeof(id), deadline_ns)) {
		fprintf(stderr, "pvdiag: %s\n", fd < 0 ? error : "the data port names no connection");
		return EXIT_NOBODY;
	}
	pb_init(&w);
	if (s->options->follow)
		pb_u64(&w, 1, 1);
	pb_u64(&w, 2, id);
	enum exit_code code = session_call(s, "diag.UnderhillDiag", "Kmsg", &w, &answer);

	pb_fini(&w);
	if (code)
		return code;
	ttrpc_answer_fini(&answer);
	return copy_records(fd, colour_wanted(s->options));
}

enum exit_code command_ping(struct session *s)
{
	u64 start_ns = now_ns();
	struct ttrpc_answer answer;
	enum exit_code code = session_call(s, "diag.OpenhclDiag", "Ping", NULL, &answer);

	if (code)
		return code;
	ttrpc_answer_fini(&answer);
	printf("%s answers after %.1f ms\n", s->target.text, (double)(now_ns() - start_ns) / 1e6);
	return EXIT_OK;
}
