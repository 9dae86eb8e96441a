/* pvdiag bundle: what a bug report needs, in one tar archive. What cannot be had is noted in it instead. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "diag/cli/records.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

struct archive {
	int fd;
	time_t now;
	char notes[4096];
	int error;
};

/* POSIX.1-1988 ustar: 512-byte blocks, numbers in octal */
static void put_entry(struct archive *a, const char *name, const void *data, size_t len)
{
	char head[512] = "", zeros[512] = "";
	unsigned sum = 0;

	snprintf(head, 100, "paravane/%s", name);
	snprintf(head + 100, 8, "%07o", 0644);
	snprintf(head + 108, 8, "%07o", 0);
	snprintf(head + 116, 8, "%07o", 0);
	snprintf(head + 124, 12, "%011llo", (unsigned long long)len);
	snprintf(head + 136, 12, "%011llo", (unsigned long long)a->now);
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, "ustar\00000", 8);
	for (unsigned i = 0; i < sizeof(head); i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	if (!a->error)
		a->error = fd_write_all(a->fd, head, sizeof(head));
	if (!a->error)
		a->error = fd_write_all(a->fd, data, len);
	if (!a->error && len % 512)
		a->error = fd_write_all(a->fd, zeros, 512 - len % 512);
}

static void put_end(struct archive *a)
{
	char zeros[1024] = "";

	put_entry(a, "notes.txt", a->notes, strlen(a->notes));
	if (!a->error)
		a->error = fd_write_all(a->fd, zeros, sizeof(zeros));
}

static void note(struct archive *a, const char *what)
{
	size_t at = strlen(a->notes);

	snprintf(a->notes + at, sizeof(a->notes) - at, "missing: %s\n", what);
}

static void put_inspect(struct session *s, struct archive *a, const char *name, bool json)
{
	struct node *node;
	struct text text = { 0 };

	if (!inspect_fetch(s, "", NODE_DEPTH_MAX - 1, &node)) {
		text = json ? node_print_json(node) : node_print_tree(node);
		node_destroy(node);
	}
	if (text.data)
		put_entry(a, name, text.data, text.len);
	else
		note(a, name);
	free(text.data);
}

/* what a command writes is not known in length before its end: it goes through a file without a name */
static void put_file(struct archive *a, const char *name, FILE *f, bool good)
{
	_cleanup_free_ char *data = NULL;
	long len = fflush(f) ? -1 : ftell(f);

	if (len >= 0 && good)
		data = malloc((size_t)len + 1);
	rewind(f);
	if (data && fread(data, 1, (size_t)len, f) == (size_t)len)
		put_entry(a, name, data, (size_t)len);
	else
		note(a, name);
	fclose(f);
}

static bool print_record(void *file, const char *data)
{
	struct record r;

	if (record_parse(data, &r))
		fprintf(file, "[%5llu.%06llu] <%u> %.*s\n", r.us / 1000000, r.us % 1000000, r.level, r.text_len, r.text);
	return true;
}

static void put_log(struct session *s, struct archive *a)
{
	FILE *f = tmpfile();

	if (f)
		put_file(a, "kmsg.txt", f, !records_read(s, false, print_record, f));
	else
		note(a, "kmsg.txt");
}

static void put_program(struct session *s, struct archive *a, const char *name, const char *script)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	FILE *f = tmpfile();

	if (!f) {
		note(a, name);
		return;
	}
	bool good = !remote_capture(s, argv, false, fileno(f));

	fseek(f, 0, SEEK_END);
	put_file(a, name, f, good);
}

static void collect(struct session *s, struct archive *a)
{
	static const struct { const char *name, *script; } programs[] = {
		{ "processes.txt", "ps -o pid,ppid,stat,vsz,rss,args" },
		{ "memory.txt", "cat /proc/meminfo /proc/buddyinfo /proc/vmstat; df; true" },
		{ "interrupts.txt", "cat /proc/interrupts /proc/softirqs; true" },
		{ "devices.txt",
		  "ls -l /sys/bus/vmbus/devices/ /sys/bus/pci/devices/; cat /proc/iomem; cat /proc/cmdline; true" },
	};

	put_inspect(s, a, "inspect.json", true);
	put_inspect(s, a, "inspect.txt", false);
	put_log(s, a);
	for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
		put_program(s, a, programs[i].name, programs[i].script);
	put_end(a);
}

enum exit_code command_bundle(struct session *s)
{
	struct archive a = { .now = time(NULL) };
	enum exit_code code = session_open(s);
	char path[512];
	struct tm tm;

	if (code)
		return code;
	if (s->options->word_count)
		snprintf(path, sizeof(path), "%s", s->options->words[0]);
	else
		strftime(path, sizeof(path), "paravane-%Y%m%d-%H%M%S.tar", localtime_r(&a.now, &tm));
	/* it may hold what is nobody else's */
	a.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (a.fd >= 0)
		collect(s, &a);
	if (a.fd < 0 || a.error || close(a.fd)) {
		fprintf(stderr, "pvdiag: %s: %s\n", path, strerror(a.error ? -a.error : errno));
		return EXIT_FAILED;
	}
	printf("%s\n", path);
	if (!*a.notes)
		return EXIT_OK;
	fprintf(stderr, "pvdiag: not all of it could be had; %s says what is missing\n", path);
	return EXIT_FAILED;
}
