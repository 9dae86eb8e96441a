#include "vmm/device_worker/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int log_fd;

static int receive_all(int fd, void *to, size_t len)
{
	u8 *at = to;

	while (len) {
		ssize_t n = recv(fd, at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_all(int fd, const void *data, size_t len)
{
	const u8 *at = data;

	while (len) {
		struct iovec iov = { (void *)at, len };
		struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = sendmsg(fd, &h, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* the reply's bytes stay to be read */
static int ask(int fd, u32 operation, u32 file, const void *data, size_t len, u32 *ret_len)
{
	struct keep_request request = { operation, file, (u32)len };
	struct keep_reply reply;
	int r = send_all(fd, &request, sizeof(request));

	if (!r)
		r = send_all(fd, data, len);
	if (!r)
		r = receive_all(fd, &reply, sizeof(reply));
	if (r)
		return r;
	if (reply.error > 0 || reply.len > KEEP_LEN_MAX || (reply.error && reply.len))
		return -EPROTO;
	*ret_len = reply.len;
	return reply.error;
}

static int ask_nothing(int fd, u32 operation, u32 file, const void *data, size_t len)
{
	u32 got = 0;
	int r = ask(fd, operation, file, data, len, &got);

	return !r && got ? -EPROTO : r;
}

int keep_hello(int fd, u32 *ret_starts)
{
	u32 len = 0;
	int r = ask(fd, KEEP_HELLO, 0, NULL, 0, &len);

	if (r)
		return r;
	return len != sizeof(*ret_starts) ? -EPROTO : receive_all(fd, ret_starts, sizeof(*ret_starts));
}

int keep_load(int fd, u32 file, u8 **ret_data, size_t *ret_len)
{
	u32 len = 0;
	int r = ask(fd, KEEP_LOAD, file, NULL, 0, &len);

	if (r)
		return r;
	u8 *data = malloc(len + 1u);

	if (!data)
		return -ENOMEM; /* and nothing that follows is understood: the process ends */
	r = receive_all(fd, data, len);
	if (r) {
		free(data);
		return r;
	}
	*ret_data = data;
	*ret_len = len;
	return 0;
}

int keep_store(int fd, u32 file, const void *data, size_t len)
{
	return len > KEEP_LEN_MAX ? -EFBIG : ask_nothing(fd, KEEP_STORE, file, data, len);
}

int keep_ready(int fd)
{
	return ask_nothing(fd, KEEP_READY, 0, NULL, 0);
}

static void say(enum log_level level, const char *domain, const char *text)
{
	struct { struct keep_request request; char text[KEEP_TEXT_MAX]; } m = { .request = { KEEP_SAY, (u32)level, 0 } };

	m.request.len = (u32)strnlen(text, sizeof(m.text));
	memcpy(m.text, text, m.request.len);
	(void)!send_all(log_fd, &m, sizeof(m.request) + m.request.len);
}

void keep_log(int fd)
{
	log_fd = fd;
	log_set_sink(say);
}
