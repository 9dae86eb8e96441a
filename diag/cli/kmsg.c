#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag/cli/records.h"
#include "lib/os/cleanup.h"

#define RECONNECT_S 1

/* "process/domain: " of our own records (lib/log/kmsg.c); false: the kernel's, or a program's */
static bool parse_origin(struct record *r)
{
	size_t slash = strcspn(r->text, "/ :\n"), end = slash;

	if (r->text[slash] != '/' || !slash || slash >= sizeof(r->process))
		return false;
	end += 1 + strcspn(r->text + slash + 1, "/ :\n");
	if (r->text[end] != ':' || end - slash - 1 >= sizeof(r->domain) || r->text[end + 1] != ' ')
		return false;
	memcpy(r->process, r->text, slash);
	memcpy(r->domain, r->text + slash + 1, end - slash - 1);
	r->message = r->text + end + 2;
	r->message_len = r->text_len - (int)(end + 2);
	return true;
}

bool record_parse(const char *data, struct record *ret)
{
	struct record r = { .text = strchr(data, ';') };
	unsigned priority;

	if (!r.text || sscanf(data, "%u,%llu,%llu", &priority, &r.sequence, &r.us) != 3)
		return false;
	r.level = priority & 7;
	r.facility = priority >> 3;
	r.text++;
	r.text_len = (int)strcspn(r.text, "\n");
	if (!r.facility || !parse_origin(&r)) {
		snprintf(r.process, sizeof(r.process), "%s", r.facility ? "user" : "kernel");
		r.domain[0] = 0;
		r.message = r.text;
		r.message_len = r.text_len;
	}
	*ret = r;
	return true;
}

/* whole records from the buffer's front; -1: enough. Else what is left in the buffer. */
static ssize_t take_records(char *data, size_t len, bool (*each)(void *, const char *), void *context)
{
	size_t at = 0;

	for (char *end; at < len && (end = memchr(data + at, 0, len - at)); at = (size_t)(end - data) + 1)
		if (!each(context, data + at))
			return -1;
	memmove(data, data + at, len - at);
	return (ssize_t)(len - at);
}

static enum exit_code take_all(int fd, bool (*each)(void *, const char *), void *context)
{
	char data[2 * RECORD_MAX];
	ssize_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, data + len, sizeof(data) - (size_t)len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fprintf(stderr, "pvdiag: kmsg: %s\n", strerror(errno));
		if (n <= 0)
			return n < 0 ? EXIT_FAILED : EXIT_OK;
		len = take_records(data, (size_t)(len + n), each, context);
		fflush(stdout);
		if (len < 0)
			return EXIT_OK;
		if (len == sizeof(data)) {
			fprintf(stderr, "pvdiag: kmsg: a record without an end\n");
			return EXIT_FAILED;
		}
	}
}

enum exit_code records_read(struct session *s, bool follow, bool (*each)(void *, const char *), void *context)
{
	_cleanup_close_ int fd = -1;
	enum exit_code code = session_stream(s, "Kmsg", follow, NULL, &fd);

	return code ? code : take_all(fd, each, context);
}

/* as dmesg shows it */
static bool print_record(void *context, const char *data)
{
	static const char *const shades[8] = { "31;1", "31;1", "31;1", "31", "33", "1", "", "2" };
	struct record r;

	if (!record_parse(data, &r)) {
		printf("%s\n", data);
		return true;
	}
	const char *shade = *(bool *)context ? shades[r.level] : "";

	printf("[%5llu.%06llu] ", r.us / 1000000, r.us % 1000000);
	if (*shade)
		printf("\033[%sm%.*s\033[0m\n", shade, r.text_len, r.text);
	else
		printf("%.*s\n", r.text_len, r.text);
	return true;
}

enum exit_code command_kmsg(struct session *s)
{
	const struct options *o = s->options;
	bool colour = colour_wanted(o);
	enum exit_code code;

	for (;;) {
		code = records_read(s, option_given(o, OPT_FOLLOW), print_record, &colour);
		if (!option_given(o, OPT_RECONNECT))
			return code;
		fprintf(stderr, "pvdiag: the log has ended; waiting for the machine\n");
		session_close(s);
		sleep(RECONNECT_S);
	}
}
