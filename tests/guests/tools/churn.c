/*
 * churn DIRECTORY COUNT: a file system's load for power cuts. Appends numbered records to DIRECTORY/log, each followed by fsync
 * before the next is begun; beside it makes, renames and removes files, and rewrites one in place. What may be lost at a cut is
 * then to be seen in the log alone: a record that was begun says that the one before it was safe.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *directory;

static void check(int good, const char *what)
{
	if (good)
		return;
	printf("churn: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void path(char *out, size_t size, const char *name, unsigned n)
{
	snprintf(out, size, "%s/%s.%u", directory, name, n);
}

static void write_file(const char *name, unsigned n, size_t len, int sync)
{
	static char data[16384];
	char at[256];

	path(at, sizeof(at), name, n);
	memset(data, 'a' + (int)(n % 26), len);
	int fd = open(at, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	check(fd >= 0, at);
	check(write(fd, data, len) == (ssize_t)len, at);
	check(!sync || !fsync(fd), at);
	close(fd);
}

/* a new version takes the old one's place, as editors and package managers do */
static void replace(unsigned n)
{
	char from[256], to[256];

	write_file("new", n, 1 + n * 97 % 9000, 1);
	path(from, sizeof(from), "new", n);
	path(to, sizeof(to), "config", n % 8);
	check(!rename(from, to), to);
}

static void coming_and_going(unsigned n)
{
	char at[256];

	write_file("tmp", n, n * 131 % 16000, 0);
	if (n < 5)
		return;
	path(at, sizeof(at), "tmp", n - 5);
	check(!unlink(at), at);
}

int main(int argc, char **argv)
{
	char at[256], record[65];

	if (argc != 3) {
		fprintf(stderr, "Usage: churn DIRECTORY COUNT\n");
		return 2;
	}
	directory = argv[1];
	snprintf(at, sizeof(at), "%s/log", directory);
	int fd = open(at, O_WRONLY | O_CREAT | O_APPEND, 0644);
	unsigned count = (unsigned)strtoul(argv[2], NULL, 0), first = (unsigned)(lseek(fd, 0, SEEK_END) / 64);

	check(fd >= 0, at);
	for (unsigned n = first; n < first + count; n++) {
		snprintf(record, sizeof(record), "record %010u %045u\n", n, n);
		check(write(fd, record, 64) == 64, at);
		check(!fsync(fd), at);
		if (n % 3 == 0)
			coming_and_going(n / 3);
		if (n % 7 == 0)
			replace(n / 7);
	}
	printf("churn: %u records, the newest is %u\n", count, first + count - 1);
	return 0;
}
