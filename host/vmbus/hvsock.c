#include "host/vmbus/hvsock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("hvsock");

#define FROM_GUEST_MAX 65536 /* one packet's payload with its pipe header */
#define TO_GUEST_MAX 16384
#define OPEN_TIMEOUT_NS 10000000000ull /* VTL2 opens it when it gets to it: on a busy machine that takes its time */
#define LINE_TIMEOUT_NS 20000000000ull
#define LINE_MAX_LEN 64
#define OUT_BUFFER_MAX (256 * 1024)
#define STATUS_CONNECTION_REFUSED 0xC0000236u
#define CONNECTIONS_MAX 100

enum conn_state { CONN_HANDSHAKE, CONN_OPENING, CONN_OPEN, CONN_CLOSING };

struct conn {
	struct hvsock *owner;
	struct list_node link;
	struct loop_source source;
	struct channel channel;
	struct loop_timer timer; /* for the handshake, the guest's open, and an open retried while VMBus comes up */
	enum conn_state state;
	bool from_host, fin_in, fin_out;
	u32 host_port, guest_port;
	char line[LINE_MAX_LEN];
	u32 line_len;
	u8 *out; /* towards the client, when its socket is full */
	u32 out_len;
};

struct hvsock {
	struct loop *loop;
	struct vmbus *bus;
	struct loop_source listener;
	struct list_node conns;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	u32 next_port;
	u64 now, total, failed;
	u8 buffer[FROM_GUEST_MAX];
};

static struct guid port_guid(u32 port)
{
	return GUID(port, 0xfacb, 0x11e6, 0xbd, 0x58, 0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3);
}

static void conn_free(struct conn *c)
{
	loop_disarm(&c->timer);
	loop_remove(c->owner->loop, &c->source);
	if (c->source.fd >= 0)
		close(c->source.fd);
	list_remove(&c->link);
	c->owner->now--;
	free(c->out);
	free(c);
}

/* no more talk; the struct lives until the guest has let go of the channel */
static void conn_end(struct conn *c)
{
	loop_disarm(&c->timer);
	loop_remove(c->owner->loop, &c->source);
	if (c->source.fd >= 0)
		close(c->source.fd);
	c->source.fd = -1;
	if (c->state == CONN_CLOSING)
		return;
	bool has_channel = c->channel.relid != 0;

	c->state = CONN_CLOSING;
	if (has_channel)
		channel_rescind(&c->channel); /* released() frees */
	else
		conn_free(c);
}

static void conn_fail(struct conn *c, const char *why)
{
	c->owner->failed++;
	log_at(LOG_INFO, "port %u: %s", c->guest_port, why);
	conn_end(c);
}

/* ---- towards the client */

static void update_events(struct conn *c)
{
	u32 events = 0;

	if (c->state == CONN_HANDSHAKE || (c->state == CONN_OPEN && !c->fin_out && ring_room(&c->channel.out) > 64))
		events |= EPOLLIN;
	if (c->out_len)
		events |= EPOLLOUT;
	loop_update(c->owner->loop, &c->source, events);
}

/* false: the client is gone */
static bool flush_out(struct conn *c)
{
	while (c->out_len) {
		ssize_t n = send(c->source.fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->out_len -= (u32)n;
		memmove(c->out, c->out + n, c->out_len);
	}
	if (c->fin_in)
		shutdown(c->source.fd, SHUT_WR);
	return true;
}

static bool pull_from_guest(struct conn *c)
{
	struct ring_received got;

	while (!c->fin_in && c->out_len + FROM_GUEST_MAX <= OUT_BUFFER_MAX) {
		enum ring_status status = channel_receive(&c->channel, c->owner->buffer, FROM_GUEST_MAX, &got);
		struct vmbus_pipe_header head;

		if (status == RING_EMPTY)
			break;
		if (status != RING_OK || got.len < sizeof(head))
			return false;
		memcpy(&head, c->owner->buffer, sizeof(head));
		if (head.length > got.len - sizeof(head))
			return false;
		if (!head.length)
			c->fin_in = true;
		memcpy(c->out + c->out_len, c->owner->buffer + sizeof(head), head.length);
		c->out_len += head.length;
	}
	if (!flush_out(c))
		return false;
	/* a full buffer that went out in one go: the guest says nothing more of what is in its ring still */
	if (!c->fin_in && !c->out_len && ring_readable(&c->channel.in))
		channel_again(&c->channel);
	return true;
}

/* ---- towards the guest */

static bool push_to_guest(struct conn *c)
{
	u8 *data = c->owner->buffer;

	while (!c->fin_out) {
		u32 room = ring_room(&c->channel.out);

		if (room < 64) {
			ring_want_room(&c->channel.out, 8192);
			room = ring_room(&c->channel.out);
			if (room < 64)
				break;
		}
		ring_want_room(&c->channel.out, 0);
		ssize_t n = recv(c->source.fd, data, MIN(room - 16, (u32)TO_GUEST_MAX), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return false;
		if (!n)
			c->fin_out = true; /* an empty packet tells the guest */
		if (channel_send_pipe(&c->channel, data, (u32)n) != RING_OK)
			return false;
	}
	return true;
}

static void service(struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	if (!pull_from_guest(c) || !push_to_guest(c) || (c->fin_in && c->fin_out && !c->out_len)) {
		conn_end(c);
		return;
	}
	update_events(c);
}

/* ---- the channel */

static void opened(struct channel *ch)
{
	struct conn *c = container_of(ch, struct conn, channel);
	char ok[32];

	loop_disarm(&c->timer);
	c->state = CONN_OPEN;
	c->owner->total++;
	if (c->from_host) {
		int n = snprintf(ok, sizeof(ok), "OK %u\n", c->host_port);

		if (send(c->source.fd, ok, (size_t)n, MSG_NOSIGNAL) != n) {
			conn_end(c);
			return;
		}
	}
	service(c);
}

static void signalled(struct channel *ch)
{
	service(container_of(ch, struct conn, channel));
}

static void closed(struct channel *ch)
{
	struct conn *c = container_of(ch, struct conn, channel);

	if (c->source.fd >= 0)
		flush_out(c);
	conn_end(c);
}

static void released(struct channel *ch)
{
	struct conn *c = container_of(ch, struct conn, channel);

	conn_free(c);
}

static const struct channel_ops channel_callbacks = { opened, signalled, closed, released };

static void open_timed_out(struct loop_timer *timer)
{
	conn_fail(container_of(timer, struct conn, timer), "nobody listens there (or the guest's queue is full)");
}

static void offer(struct conn *c, struct guid interface, struct guid instance)
{
	c->channel.name = "hvsock";
	c->channel.interface = interface;
	c->channel.instance = instance;
	c->channel.flags = VMBUS_OFFER_TLNPI | VMBUS_OFFER_NAMED_PIPE;
	c->channel.user[4] = c->from_host;
	c->channel.ops = &channel_callbacks;
	c->state = CONN_OPENING;
	update_events(c);
	if (channel_offer(c->owner->bus, &c->channel)) {
		conn_fail(c, "no channel is free");
		return;
	}
	c->timer.fire = open_timed_out;
	loop_arm(c->owner->loop, &c->timer, OPEN_TIMEOUT_NS);
}

/* ---- clients */

static void handshake(struct conn *c)
{
	unsigned port;
	char extra;

	/* a byte at a time, so that nothing after the line is taken */
	for (;;) {
		if (c->line_len == LINE_MAX_LEN - 1) {
			conn_fail(c, "a client did not begin with \"CONNECT <port>\"");
			return;
		}
		ssize_t n = recv(c->source.fd, c->line + c->line_len, 1, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_end(c);
			return;
		}
		if (c->line[c->line_len++] == '\n')
			break;
	}
	c->line[c->line_len - 1] = 0;
	if (sscanf(c->line, "CONNECT %u%c", &port, &extra) != 1) {
		conn_fail(c, "a client did not begin with \"CONNECT <port>\"");
		return;
	}
	loop_disarm(&c->timer);
	c->guest_port = port;
	if (!vmbus_connected(c->owner->bus)) {
		conn_fail(c, "the firmware's VMBus is not up yet");
		return;
	}
	c->host_port = c->owner->next_port++;
	offer(c, port_guid(port), port_guid(c->host_port));
}

static void client_ready(struct loop_source *source, u32 events)
{
	struct conn *c = container_of(source, struct conn, source);

	if (c->state == CONN_HANDSHAKE)
		handshake(c);
	else if (c->state == CONN_OPEN)
		service(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		conn_end(c); /* gave up while the guest was opening */
}

static void handshake_timed_out(struct loop_timer *timer)
{
	conn_fail(container_of(timer, struct conn, timer), "a client connected and said nothing");
}

static struct conn *conn_new(struct hvsock *h, int fd)
{
	struct conn *c = h->now < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c || !(c->out = malloc(OUT_BUFFER_MAX))) {
		free(c);
		close(fd);
		h->failed++;
		return NULL;
	}
	c->owner = h;
	c->source = (struct loop_source){ .fd = fd, .events = EPOLLIN, .ready = client_ready };
	list_push(&h->conns, &c->link);
	h->now++;
	if (loop_add(h->loop, &c->source)) {
		conn_free(c);
		return NULL;
	}
	return c;
}

static void accept_client(struct loop_source *source, u32 events)
{
	struct hvsock *h = container_of(source, struct hvsock, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct conn *c = fd >= 0 ? conn_new(h, fd) : NULL;

	if (!c)
		return;
	c->from_host = true;
	c->timer.fire = handshake_timed_out;
	loop_arm(h->loop, &c->timer, LINE_TIMEOUT_NS);
}

static void guest_connects(void *ctx, const struct guid *endpoint, const struct guid *service_id)
{
	struct hvsock *h = ctx;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s_%u", h->path, service_id->data1);

	if (fd < 0 || n >= (int)sizeof(to.sun_path) || connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		log_at(LOG_INFO, "the guest connects to port %u, but nobody listens at %s", service_id->data1, to.sun_path);
		if (fd >= 0)
			close(fd);
		h->failed++;
		vmbus_connect_result(h->bus, endpoint, service_id, STATUS_CONNECTION_REFUSED);
		return;
	}
	struct conn *c = conn_new(h, fd);

	if (c)
		offer(c, *service_id, *endpoint);
}

int hvsock_create(struct loop *loop, struct vmbus *bus, const char *path, struct hvsock **ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct hvsock *h = calloc(1, sizeof(*h));

	if (!h)
		return log_err(-ENOMEM, "hvsock");
	list_init(&h->conns);
	h->loop = loop;
	h->bus = bus;
	h->next_port = 0x10000001;
	h->listener = (struct loop_source){ .fd = -1, .events = EPOLLIN, .ready = accept_client };
	int r = 0;

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >= (int)sizeof(at.sun_path) - 12)
		r = log_err(-ENAMETOOLONG, "--vsock %s: a unix socket's path may have %zu bytes", path, sizeof(at.sun_path) - 12);
	memcpy(h->path, at.sun_path, sizeof(h->path));
	if (!r) {
		unlink(path);
		h->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (h->listener.fd < 0 || bind(h->listener.fd, (struct sockaddr *)&at, sizeof(at)) || listen(h->listener.fd, 16))
			r = log_err(-errno, "--vsock %s", path);
	}
	if (!r)
		r = loop_add(loop, &h->listener);
	if (r) {
		hvsock_destroy(h);
		return r;
	}
	vmbus_on_connect_request(bus, guest_connects, h);
	*ret = h;
	return 0;
}

void hvsock_destroy(struct hvsock *h)
{
	if (!h)
		return;
	list_for_each_safe(node, &h->conns)
		conn_free(container_of(node, struct conn, link));
	if (h->listener.fd >= 0) {
		close(h->listener.fd);
		unlink(h->path);
	}
	free(h);
}

void hvsock_counts(const struct hvsock *h, u64 *ret_now, u64 *ret_total, u64 *ret_failed)
{
	*ret_now = h->now;
	*ret_total = h->total;
	*ret_failed = h->failed;
}
