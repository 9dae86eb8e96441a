#include "lib/rpc/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/os/file.h"

#define MS 1000000ull

void ttrpc_client_init(struct ttrpc_client *client, int fd)
{
	*client = (struct ttrpc_client){ .fd = fd, .next_stream = 1 };
}

/* 1 when the socket is ready for events, -ETIMEDOUT past the deadline */
static int wait_ready(int fd, short events, u64 deadline_ns)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		u64 now = now_ns();
		int wait_ms = deadline_ns == ~0ull ? -1 : (int)((deadline_ns - now + MS - 1) / MS);
		int r = now >= deadline_ns ? 0 : poll(&p, 1, wait_ms);

		if (r < 0 && errno == EINTR)
			continue;
		return r < 0 ? -errno : r ? 1 : -ETIMEDOUT;
	}
}

int ttrpc_read_until(int fd, void *data, size_t len, u64 deadline_ns)
{
	u8 *at = data;

	while (len) {
		int r = wait_ready(fd, POLLIN, deadline_ns);

		if (r < 0)
			return r;
		ssize_t n = recv(fd, at, len, MSG_DONTWAIT);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EPIPE;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_until(int fd, const void *data, size_t len, u64 deadline_ns)
{
	const u8 *at = data;

	while (len) {
		int r = wait_ready(fd, POLLOUT, deadline_ns);

		if (r < 0)
			return r;
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_answer(int fd, u32 stream, u64 deadline_ns, struct ttrpc_answer *ret)
{
	u8 head[TTRPC_HEADER_LEN];
	struct ttrpc_header h;
	int r = ttrpc_read_until(fd, head, sizeof(head), deadline_ns);

	if (r)
		return r;
	ttrpc_header_decode(head, &h);
	if (h.type != TTRPC_RESPONSE || h.stream != stream || h.length > TTRPC_BODY_MAX)
		return -EPROTO;
	u8 *body = malloc(h.length + 1u);

	if (!body)
		return -ENOMEM;
	r = ttrpc_read_until(fd, body, h.length, deadline_ns);
	if (!r)
		r = ttrpc_response_decode(bytes_of(body, h.length), &ret->response);
	if (r)
		free(body);
	else
		ret->body = body;
	return r;
}

int ttrpc_call_method(struct ttrpc_client *client, const char *service, const char *method, struct bytes payload,
		      unsigned timeout_ms, struct ttrpc_answer *ret)
{
	/* the server's own "deadline exceeded" says more than our silence: leave it time to arrive */
	u64 deadline_ns = timeout_ms ? now_ns() + (timeout_ms + 500u) * MS : ~0ull;
	u32 stream = client->next_stream;
	struct pb_writer w;

	client->next_stream += 2;
	pb_init(&w);
	ttrpc_request_frame(&w, stream, service, method, payload, timeout_ms * MS);
	int r = w.failed ? -ENOMEM : write_until(client->fd, w.data, w.len, deadline_ns);

	pb_fini(&w);
	return r ? r : read_answer(client->fd, stream, deadline_ns, ret);
}

void ttrpc_answer_fini(struct ttrpc_answer *answer)
{
	free(answer->body);
	*answer = (struct ttrpc_answer){ 0 };
}
