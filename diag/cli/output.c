#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/file.h"

int output_open(const struct options *o)
{
	const char *path = o->text[OPT_OUTPUT];
	int fd = -1;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0)
			fprintf(stderr, "pvdiag: %s: %s\n", path, strerror(errno));
	} else if (isatty(STDOUT_FILENO)) {
		fprintf(stderr, "pvdiag: this is no text for a terminal: use --output FILE, or a pipe\n");
	} else {
		fd = dup(STDOUT_FILENO);
	}
	return fd;
}

enum exit_code copy_all(int from, int to, const char *what)
{
	static char data[65536];
	ssize_t n;

	while ((n = read(from, data, sizeof(data))) != 0) {
		int r = n > 0 ? fd_write_all(to, data, (size_t)n) : -errno;

		if (r == -EINTR)
			continue;
		if (r) {
			fprintf(stderr, "pvdiag: %s: %s\n", what, strerror(-r));
			return EXIT_FAILED;
		}
	}
	return EXIT_OK;
}
