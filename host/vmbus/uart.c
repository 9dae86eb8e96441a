#include "host/vmbus/uart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "lib/os/file.h"
#include "spec/uart_channel.h"

LOG_DOMAIN("uart");

#define INPUT_MAX 65536
#define OUTPUT_MAX 65536
#define ESCAPE 1 /* Ctrl-A */

struct bytes_queue {
	u8 data[INPUT_MAX];
	u32 len;
};

struct uart {
	struct loop *loop;
	struct channel channel;
	struct loop_source listener, in; /* in: stdin or the client */
	struct loop_source out;          /* stdout, a file, or the client when its socket is full */
	int out_fd;
	bool is_stdio, is_socket, tty, announced, escaped, paused;
	struct termios saved;
	struct bytes_queue input, output;
	char path[108];
	u64 bytes_out, bytes_in, dropped;
	void (*escape)(void *ctx, char key);
	void *escape_ctx;
	u8 buffer[1024];
};

static void send_message(struct uart *u, const void *m, u32 len)
{
	if (u->channel.state == CHANNEL_OPEN && channel_send_pipe(&u->channel, m, len) != RING_OK)
		log_guest("%s: the guest's ring is full", u->channel.name);
}

static void announce_input(struct uart *u)
{
	struct uart_header m = { 1, UART_GUEST_NOTIFICATION, UART_RX_DATA_AVAILABLE };

	if (!u->input.len || u->announced)
		return;
	u->announced = true;
	send_message(u, &m, sizeof(m));
}

/* a backend that keeps output counts as connected even while nobody reads: the guest's early words must not be lost */
static void send_modem_status(struct uart *u)
{
	bool connected = u->out_fd >= 0 || u->is_socket;
	struct uart_modem_status m = {
		.header = { 1, UART_GUEST_NOTIFICATION, UART_SET_MODEM_STATUS },
		.modem_status = connected ? 0xbb : 0x0b, /* DCD, DSR and CTS, each with its delta */
		.connected = connected,
	};

	send_message(u, &m, sizeof(m));
}

/* ---- the backend's side */

static void close_client(struct uart *u)
{
	loop_remove(u->loop, &u->in);
	if (u->in.fd >= 0)
		close(u->in.fd);
	u->in.fd = u->out_fd = -1;
}

static void confirm_output(struct uart *u)
{
	struct uart_header m = { 1, UART_GUEST_NOTIFICATION, UART_TX_COMPLETED };

	u->paused = false;
	send_message(u, &m, sizeof(m));
}

static void flush_output(struct uart *u)
{
	u32 done = 0;

	while (u->out_fd >= 0 && done < u->output.len) {
		ssize_t n = u->is_socket ? send(u->out_fd, u->output.data + done, u->output.len - done,
						MSG_NOSIGNAL | MSG_DONTWAIT)
					 : write(u->out_fd, u->output.data + done, u->output.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			if (u->is_socket)
				close_client(u);
			else
				done = u->output.len; /* nowhere to put it: a closed terminal must not stop the guest */
			break;
		}
		done += (u32)n;
	}
	u->output.len -= done;
	memmove(u->output.data, u->output.data + done, u->output.len);
	if (u->is_socket && u->in.added)
		loop_update(u->loop, &u->in, (u->input.len < INPUT_MAX ? EPOLLIN : 0) | (u->output.len ? EPOLLOUT : 0));
	if (u->paused && u->output.len < OUTPUT_MAX / 2)
		confirm_output(u);
}

static void add_output(struct uart *u, const u8 *data, u32 len)
{
	if (u->out_fd < 0 && !u->is_socket) {
		u->bytes_out += len;
		return;
	}
	if (u->output.len + len > OUTPUT_MAX) {
		if (u->out_fd >= 0)
			flush_output(u);
		if (u->output.len + len > OUTPUT_MAX) { /* nobody reads: keep the newest */
			u32 drop = u->output.len + len - OUTPUT_MAX;

			memmove(u->output.data, u->output.data + drop, u->output.len - drop);
			u->output.len -= drop;
			u->dropped += drop;
		}
	}
	memcpy(u->output.data + u->output.len, data, len);
	u->output.len += len;
	u->bytes_out += len;
	flush_output(u);
}

/* Ctrl-A twice is one Ctrl-A to the guest; Ctrl-A and a key is for pvhost */
static void take_input(struct uart *u, u8 byte)
{
	if (u->is_stdio && u->tty) {
		if (!u->escaped && byte == ESCAPE) {
			u->escaped = true;
			return;
		}
		if (u->escaped) {
			u->escaped = false;
			if (byte != ESCAPE) {
				if (u->escape)
					u->escape(u->escape_ctx, (char)byte);
				return;
			}
		}
	}
	if (u->input.len < INPUT_MAX) {
		u->input.data[u->input.len++] = byte;
		u->bytes_in++;
	}
}

static void input_ready(struct loop_source *source, u32 events)
{
	struct uart *u = container_of(source, struct uart, in);

	if (events & EPOLLOUT)
		flush_output(u);
	u32 room = INPUT_MAX - u->input.len;

	if (!(events & (EPOLLIN | EPOLLHUP)) || u->in.fd < 0)
		return;
	if (!room) {
		loop_update(u->loop, &u->in, u->in.events & ~(u32)EPOLLIN);
		return;
	}
	ssize_t n = read(u->in.fd, u->buffer, MIN(room, (u32)sizeof(u->buffer)));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (u->is_socket)
			close_client(u);
		else
			loop_remove(u->loop, &u->in);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		take_input(u, u->buffer[i]);
	announce_input(u);
}

static void accept_client(struct loop_source *source, u32 events)
{
	struct uart *u = container_of(source, struct uart, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	close_client(u); /* the newest client has the console */
	u->in.fd = u->out_fd = fd;
	u->in.events = EPOLLIN;
	if (loop_add(u->loop, &u->in))
		close_client(u);
	else
		flush_output(u);
}

/* ---- the guest's side */

static void on_get_rx(struct uart *u)
{
	struct uart_rx_data r = { .header = { 1, UART_HOST_RESPONSE, UART_GET_RX_DATA } };
	u32 n = MIN(u->input.len, (u32)UART_PAYLOAD_MAX);

	memcpy(r.data, u->input.data, n);
	u->input.len -= n;
	memmove(u->input.data, u->input.data + n, u->input.len);
	r.length = (u8)n;
	r.more = u->input.len != 0;
	if (!r.more)
		u->announced = false;
	send_message(u, &r, sizeof(r));
	if (u->in.added && !(u->in.events & EPOLLIN))
		loop_update(u->loop, &u->in, u->in.events | EPOLLIN);
}

static void on_tx(struct uart *u, struct bytes b)
{
	u8 len, data[UART_PAYLOAD_MAX];

	if (!bytes_u8(&b, &len) || len > UART_PAYLOAD_MAX || !bytes_copy(&b, data, len)) {
		log_guest("%s: malformed output", u->channel.name);
		return;
	}
	add_output(u, data, len);
	if (u->out_fd >= 0 && u->output.len >= OUTPUT_MAX / 2)
		u->paused = true; /* confirmed once the reader has caught up */
	else
		confirm_output(u);
}

static void handle(struct uart *u, const u8 *data, u32 len)
{
	struct bytes b = bytes_of(data, len), payload;
	struct vmbus_pipe_header pipe;
	struct uart_header h;
	u32 version;

	if (!bytes_copy(&b, &pipe, sizeof(pipe)) || !bytes_take(&b, pipe.length, &payload) ||
	    !bytes_copy(&payload, &h, sizeof(h)))
		return;
	if (h.type == UART_HOST_REQUEST && h.id == UART_VERSION_REQUEST && bytes_u32(&payload, &version)) {
		struct uart_version_response r = { { 1, UART_HOST_RESPONSE, UART_VERSION_REQUEST }, version == UART_VERSION, 0 };

		send_message(u, &r, sizeof(r));
		send_modem_status(u);
		u->announced = false;
		announce_input(u);
	} else if (h.type == UART_HOST_REQUEST && h.id == UART_GET_RX_DATA) {
		on_get_rx(u);
	} else if (h.type == UART_HOST_NOTIFICATION && h.id == UART_TX_DATA_AVAILABLE) {
		on_tx(u, payload);
	} else if (h.type == UART_HOST_NOTIFICATION && h.id == UART_RX_CLEAR_BUFFER) {
		u->input.len = 0;
		u->announced = false;
	} else {
		log_guest("%s: message type %u id %u ignored", u->channel.name, h.type, h.id);
	}
}

static void signalled(struct channel *c)
{
	struct uart *u = container_of(c, struct uart, channel);
	struct ring_received got;
	u8 message[512];

	for (u32 left = CHANNEL_PACKETS_PER_TURN; channel_receive(c, message, sizeof(message), &got) == RING_OK;) {
		handle(u, message, got.len);
		if (!--left) {
			channel_again(c);
			break;
		}
	}
}

static void closed(struct channel *c)
{
	struct uart *u = container_of(c, struct uart, channel);

	u->announced = u->paused = false;
}

/* ---- making one */

static int open_stdio(struct uart *u)
{
	u->is_stdio = true;
	u->out_fd = STDOUT_FILENO;
	u->in.fd = STDIN_FILENO;
	u->tty = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &u->saved);
	if (u->tty) {
		struct termios raw = u->saved;

		cfmakeraw(&raw);
		raw.c_oflag |= OPOST;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	struct stat what;

	/* a plain file or /dev/null cannot be polled: then there is no input */
	if (!u->tty && !fstat(STDIN_FILENO, &what) && !S_ISFIFO(what.st_mode) && !S_ISSOCK(what.st_mode)) {
		u->in.fd = -1;
		return 0;
	}
	return loop_add(u->loop, &u->in);
}

static int open_socket(struct uart *u, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (snprintf(at.sun_path, sizeof(at.sun_path), "%s", path) >= (int)sizeof(at.sun_path))
		return log_err(-ENAMETOOLONG, "--serial unix:%s", path);
	memcpy(u->path, at.sun_path, sizeof(u->path));
	unlink(path);
	u->is_socket = true;
	u->listener = (struct loop_source){ .events = EPOLLIN, .ready = accept_client };
	u->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->listener.fd < 0 || bind(u->listener.fd, (struct sockaddr *)&at, sizeof(at)) || listen(u->listener.fd, 4))
		return log_err(-errno, "--serial unix:%s", path);
	return loop_add(u->loop, &u->listener);
}

static int open_backend(struct uart *u, const char *backend)
{
	if (!strcmp(backend, "null"))
		return 0;
	if (!strcmp(backend, "stdio"))
		return open_stdio(u);
	if (!strncmp(backend, "unix:", 5))
		return open_socket(u, backend + 5);
	if (!strncmp(backend, "file:", 5)) {
		u->out_fd = open(backend + 5, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		return u->out_fd < 0 ? log_err(-errno, "--serial %s", backend) : 0;
	}
	return log_err(-EINVAL, "--serial %s: it can be stdio, null, file:PATH or unix:PATH", backend);
}

int uart_create(struct loop *loop, struct vmbus *bus, u32 number, const char *backend, struct uart **ret)
{
	static const struct channel_ops ops = { .opened = signalled, .signalled = signalled, .closed = closed };
	struct uart *u = calloc(1, sizeof(*u));

	if (!u)
		return log_err(-ENOMEM, "serial port %u", number);
	u->loop = loop;
	u->out_fd = u->in.fd = u->listener.fd = -1;
	u->in.events = EPOLLIN;
	u->in.ready = input_ready;
	u->channel = (struct channel){
		.name = number == 1 ? "com1" : "com2", .interface = UART_INTERFACE,
		.instance = number == 1 ? UART_COM1 : UART_COM2, .flags = VMBUS_OFFER_NAMED_PIPE, .ops = &ops,
	};
	u->channel.user[0] = VMBUS_PIPE_MODE_MESSAGE;
	int r = open_backend(u, backend);

	if (!r)
		r = channel_offer(bus, &u->channel);
	if (r)
		uart_destroy(u);
	else
		*ret = u;
	return r;
}

void uart_destroy(struct uart *u)
{
	if (!u)
		return;
	if (u->tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &u->saved);
	if (u->is_socket) {
		close_client(u);
		if (u->listener.fd >= 0)
			close(u->listener.fd);
		unlink(u->path);
	} else if (u->out_fd > STDERR_FILENO) {
		close(u->out_fd);
	}
	free(u);
}

void uart_counts(const struct uart *u, u64 *ret_out, u64 *ret_in, u64 *ret_dropped)
{
	*ret_out = u->bytes_out;
	*ret_in = u->bytes_in;
	*ret_dropped = u->dropped;
}

void uart_on_escape(struct uart *u, void (*fn)(void *, char), void *ctx)
{
	u->escape = fn;
	u->escape_ctx = ctx;
}
