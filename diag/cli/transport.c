#include "diag/cli/transport.h"

#include <dirent.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "lib/rpc/client.h"

#define MS 1000000ull

bool target_is(const char *word)
{
	return strchr(word, '/') || !strncmp(word, "vsock:", 6) || !strncmp(word, "tcp:", 4) || !strncmp(word, "unix:", 5);
}

static int parse_vsock(const char *word, struct target *t, char *error, size_t size)
{
	char *end;
	unsigned long cid = strtoul(word, &end, 10);

	if (end != word && !*end && cid < 0xffffffff) {
		t->kind = TARGET_VSOCK;
		t->cid = (u32)cid;
		return 0;
	}
	/* vsock:PATH is how OpenHCL's client spells a hybrid socket */
	if (strchr(word, '/')) {
		t->kind = TARGET_HYBRID;
		return snprintf(t->path, sizeof(t->path), "%s", word) < (int)sizeof(t->path) ? 0 : -EINVAL;
	}
	snprintf(error, size, "vsock:%s: after vsock: comes a context id (a number) or a path", word);
	return -EINVAL;
}

static int parse_tcp(const char *word, struct target *t, char *error, size_t size)
{
	const char *colon = strrchr(word, ':');

	if (!colon || colon == word || !colon[1] || (size_t)(colon - word) >= sizeof(t->host) ||
	    strlen(colon + 1) >= sizeof(t->service)) {
		snprintf(error, size, "tcp:%s: wanted is tcp:HOST:PORT", word);
		return -EINVAL;
	}
	t->kind = TARGET_TCP;
	memcpy(t->host, word, (size_t)(colon - word));
	snprintf(t->service, sizeof(t->service), "%s", colon + 1);
	return 0;
}

int target_parse(const char *word, struct target *ret, char *error, size_t size)
{
	struct target t = { .kind = TARGET_HYBRID };
	int r;

	snprintf(t.text, sizeof(t.text), "%s", word);
	if (!strncmp(word, "vsock:", 6)) {
		r = parse_vsock(word + 6, &t, error, size);
	} else if (!strncmp(word, "tcp:", 4)) {
		r = parse_tcp(word + 4, &t, error, size);
	} else {
		word += !strncmp(word, "unix:", 5) ? 5 : 0;
		r = snprintf(t.path, sizeof(t.path), "%s", word) < (int)sizeof(t.path) ? 0 : -EINVAL;
		if (r)
			snprintf(error, size, "%s: too long for a unix socket's path (at most 107 bytes)", word);
	}
	if (!r)
		*ret = t;
	return r;
}

int target_find(struct target *ret, char *error, size_t size)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char dir_path[192], found[512] = "";
	unsigned count = 0;

	snprintf(dir_path, sizeof(dir_path), "%s/paravane", run && *run ? run : "/run");
	DIR *dir = opendir(dir_path);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		size_t len = strlen(e->d_name);

		if (len <= 6 || strcmp(e->d_name + len - 6, ".vsock"))
			continue;
		count++;
		size_t at = strlen(found);

		snprintf(found + at, sizeof(found) - at, "%s%s/%s", at ? "\n  " : "", dir_path, e->d_name);
	}
	if (dir)
		closedir(dir);
	if (count == 1)
		return target_parse(found, ret, error, size);
	if (!count)
		snprintf(error, size, "no running machine found in %s: start pvhost, or name one: pvdiag PATH inspect", dir_path);
	else
		snprintf(error, size, "%u machines are there; name one of\n  %s", count, found);
	return count ? -E2BIG : -ENOENT;
}

static int connect_unix(const struct target *t)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", t->path);
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	int r = -errno;

	close(fd);
	return r;
}

static int connect_vsock(const struct target *t, unsigned port, unsigned timeout_ms)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_cid = t->cid, .svm_port = port };
	struct timeval limit = { timeout_ms / 1000, (timeout_ms % 1000) * 1000 };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	int r = -errno;

	close(fd);
	return r;
}

static int connect_tcp(const struct target *t, char *error, size_t size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int r = getaddrinfo(t->host, t->service, &hints, &list), fd = -ENOENT;

	if (r) {
		snprintf(error, size, "%s: %s", t->text, gai_strerror(r));
		return -ENOENT;
	}
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
			int e = -errno;

			close(fd);
			fd = e;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* "CONNECT port" and its "OK …": byte by byte, for what follows the line belongs to the port's own protocol */
static int handshake(int fd, unsigned port, unsigned timeout_ms)
{
	u64 deadline_ns = now_ns() + timeout_ms * MS;
	char line[64];
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", port);
	int r = fd_write_all(fd, line, (size_t)len);

	for (size_t at = 0; !r; at++) {
		if (at == sizeof(line))
			return -EPROTO;
		r = ttrpc_read_until(fd, line + at, 1, deadline_ns);
		if (!r && line[at] == '\n')
			return strncmp(line, "OK", 2) ? -EHOSTUNREACH : 0;
	}
	return r == -EPIPE || r == -ETIMEDOUT || r == -ECONNRESET ? -EHOSTUNREACH : r;
}

static void explain(const struct target *t, unsigned port, int r, char *error, size_t size)
{
	if (r == -EHOSTUNREACH || r == -ETIMEDOUT)
		snprintf(error, size, "the machine at %s runs, but no paravisor answers on its port %u: is it still booting, "
				      "or did it crash? See pvhost's own output", t->text, port);
	else if (r == -ENOENT || r == -ECONNREFUSED || r == -ENODEV || r == -ECONNRESET)
		snprintf(error, size, "no paravisor answers on %s: is pvhost running? (%s)", t->text, strerror(-r));
	else if (r == -EACCES || r == -EPERM)
		snprintf(error, size, "%s: %s: the socket belongs to the user who runs pvhost", t->text, strerror(-r));
	else
		snprintf(error, size, "%s: %s", t->text, strerror(-r));
}

int target_connect(const struct target *t, unsigned port, unsigned timeout_ms, char *error, size_t size)
{
	error[0] = 0;
	int fd = t->kind == TARGET_HYBRID ? connect_unix(t) :
		 t->kind == TARGET_VSOCK ? connect_vsock(t, port, timeout_ms) : connect_tcp(t, error, size);

	if (fd >= 0 && t->kind != TARGET_VSOCK) {
		int r = handshake(fd, port, timeout_ms);

		if (r) {
			close(fd);
			fd = r;
		}
	}
	if (fd < 0 && !error[0])
		explain(t, port, fd, error, size);
	return fd;
}
