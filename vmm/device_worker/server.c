#include "vmm/device_worker/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/core/check.h"

struct device_server {
	int events_fd, commands_fd;
	const struct device_server_ops *ops;
	void *device;
	/* accesses that came while it waited for guest memory */
	struct device_message queue[DEVICE_ACCESSES_MAX];
	unsigned first, count;
	u32 next_id;
	int error;    /* why it ends; 0: it goes on */
	bool ended;
	u64 accesses, commands, memory_requests;
	u8 in[DEVICE_PACKET_MAX], question[DEVICE_PACKET_MAX], out[DEVICE_PAYLOAD_MAX];
};

struct device_server *device_server_create(int events_fd, int commands_fd, const struct device_server_ops *ops, void *device)
{
	struct device_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->events_fd = events_fd;
	s->commands_fd = commands_fd;
	s->ops = ops;
	s->device = device;
	return s;
}

void device_server_destroy(struct device_server *s)
{
	if (s)
		explicit_bzero(s, sizeof(*s)); /* saved states came through here */
	free(s);
}

static void end(struct device_server *s, int error)
{
	s->ended = true;
	s->error = s->error ? s->error : error;
}

/* the proxy may be slow, but it reads: wait until it takes the message. What is broken stays so. */
static int send_patiently(struct device_server *s, int fd, const struct device_message *m, const void *payload)
{
	int r;

	while ((r = device_message_send(fd, m, payload)) == -EAGAIN) {
		struct pollfd wait = { .fd = fd, .events = POLLOUT };

		if (poll(&wait, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
	if (r)
		end(s, r == -EPIPE || r == -ECONNRESET ? 0 : r);
	return r;
}

/* one packet; -EPIPE at the end */
static int receive(int fd, u8 *to, struct bytes *ret)
{
	ssize_t n;

	do
		n = recv(fd, to, DEVICE_PACKET_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n && errno != ECONNRESET ? -errno : -EPIPE;
	*ret = bytes_of(to, (size_t)n);
	return 0;
}

/* ---- accesses */
void device_server_answer(struct device_server *s, struct device_access *a)
{
	struct device_message m = { .type = DEVICE_ACCESS_DONE, .id = a->id, .value = a->value };

	if (a->answered)
		return;
	a->answered = true;
	if (send_patiently(s, s->events_fd, &m, NULL))
		return; /* the end was noted */
}

static void do_access(struct device_server *s, const struct device_message *m)
{
	struct device_access a = { .id = m->id, .region = m->region, .offset = m->offset, .size = m->size, .write = m->write,
				   .value = m->write ? m->value : ~0ull };

	s->accesses++;
	s->ops->access(s->device, &a);
	device_server_answer(s, &a);
}

static void do_queue(struct device_server *s)
{
	while (s->count && !s->ended) {
		struct device_message m = s->queue[s->first];

		s->first = (s->first + 1) % DEVICE_ACCESSES_MAX;
		s->count--;
		do_access(s, &m);
	}
}

/* a message of the events' socket: an access, kept or done; else true, with what a request for memory was waiting for */
static bool take_event(struct device_server *s, bool keep, struct device_message *ret, struct bytes *ret_payload)
{
	struct bytes packet;
	int r = receive(s->events_fd, s->in, &packet);

	if (r) {
		end(s, r == -EPIPE ? 0 : r);
	} else if (!device_message_parse(packet, DEVICE_TO_DEVICE, ret, ret_payload)) {
		end(s, -EPROTO);
	} else if (ret->type == DEVICE_MEMORY_DONE) {
		return true;
	} else if (!keep) {
		do_access(s, ret);
	} else if (s->count == DEVICE_ACCESSES_MAX) {
		end(s, -EPROTO); /* more than there are VPs */
	} else {
		s->queue[(s->first + s->count++) % DEVICE_ACCESSES_MAX] = *ret;
	}
	return false;
}

int device_server_line(struct device_server *s, unsigned line, bool level)
{
	struct device_message m = { .type = DEVICE_LINE, .region = line, .value = level };

	return send_patiently(s, s->events_fd, &m, NULL);
}

int device_server_memory(struct device_server *s, u64 gpa, void *data, size_t len, bool write)
{
	struct device_message m = { .type = write ? DEVICE_MEMORY_WRITE : DEVICE_MEMORY_READ, .id = ++s->next_id,
				    .len = write ? (u32)len : 0, .offset = gpa, .value = write ? 0 : len };
	struct device_message done;
	struct bytes payload;

	CHECK(len && len <= DEVICE_MEMORY_MAX);
	s->memory_requests++;
	int r = s->ended ? -EPIPE : send_patiently(s, s->events_fd, &m, data);

	if (r)
		return r;
	while (!s->ended) {
		if (!take_event(s, true, &done, &payload))
			continue;
		if (done.id != m.id || (!done.error && payload.left != (write ? 0 : len))) {
			end(s, -EPROTO);
			return -EPROTO;
		}
		if (!done.error && !write)
			memcpy(data, payload.at, len);
		return done.error;
	}
	return s->error ? s->error : -EPIPE;
}

/* ---- commands */
static void answer(struct device_server *s, const struct device_message *question, int error, struct bytes payload)
{
	struct device_message m = { .type = question->type, .id = question->id, .error = error,
				    .len = error ? 0 : (u32)payload.left };

	if (!error && payload.left > DEVICE_PAYLOAD_MAX) {
		m.error = -E2BIG;
		m.len = 0;
	}
	if (send_patiently(s, s->commands_fd, &m, payload.at))
		return; /* the end was noted */
}

static void do_save(struct device_server *s, const struct device_message *m)
{
	struct saver saver;

	if (!s->ops->save) {
		answer(s, m, -ENOTSUP, bytes_of(NULL, 0));
		return;
	}
	saver_init(&saver);
	s->ops->save(s->device, &saver);
	int r = saver_finish(&saver);

	answer(s, m, r, bytes_of(saver.data, r ? 0 : saver.len));
	if (saver.data)
		explicit_bzero(saver.data, saver.len);
	saver_fini(&saver);
}

static void do_inspect(struct device_server *s, const struct device_message *m, struct bytes path)
{
	char text[DEVICE_PATH_MAX + 1] = "";
	struct pb_writer w;

	if (!s->ops->inspect) {
		answer(s, m, -ENOTSUP, bytes_of(NULL, 0));
		return;
	}
	memcpy(text, path.at, path.left);
	struct node *node = inspect_now(text, (unsigned)m->value, NULL, s->ops->inspect, s->device);

	pb_init(&w);
	if (node)
		node_encode(node, &w);
	answer(s, m, !node || w.failed ? -ENOMEM : 0, bytes_of(w.data, w.len));
	pb_fini(&w);
	node_destroy(node);
}

/* what came before the question is done first: nothing reaches a device after its reset that was meant for it before */
static void drain(struct device_server *s)
{
	struct pollfd more = { .fd = s->events_fd, .events = POLLIN };
	struct device_message m;
	struct bytes payload;

	do_queue(s);
	while (!s->ended && poll(&more, 1, 0) > 0) {
		if (take_event(s, false, &m, &payload))
			end(s, -EPROTO);
		do_queue(s);
	}
}

static void do_call(struct device_server *s, const struct device_message *m, struct bytes in)
{
	size_t len = 0;
	int r = s->ops->call ? s->ops->call(s->device, m->value, in, s->out, &len) : -ENOTSUP;

	answer(s, m, r, bytes_of(s->out, r ? 0 : len));
}

static int do_restore(struct device_server *s, struct bytes state)
{
	return s->ops->restore ? s->ops->restore(s->device, state) : -ENOTSUP;
}

static void simple(struct device_server *s, const struct device_message *m, void (*op)(void *device))
{
	if (op)
		op(s->device);
	answer(s, m, 0, bytes_of(NULL, 0));
}

static void do_command(struct device_server *s)
{
	struct bytes packet, payload;
	struct device_message m;
	int r = receive(s->commands_fd, s->question, &packet);

	if (r || !device_message_parse(packet, DEVICE_COMMAND, &m, &payload)) {
		end(s, r == -EPIPE ? 0 : r ? r : -EPROTO);
		return;
	}
	s->commands++;
	if (m.type != DEVICE_INSPECT)
		drain(s);
	switch (m.type) {
	case DEVICE_START: simple(s, &m, s->ops->start); return;
	case DEVICE_STOP: simple(s, &m, s->ops->stop); return;
	case DEVICE_RESET: simple(s, &m, s->ops->reset); return;
	case DEVICE_SAVE: do_save(s, &m); return;
	case DEVICE_RESTORE: answer(s, &m, do_restore(s, payload), bytes_of(NULL, 0)); return;
	case DEVICE_INSPECT: do_inspect(s, &m, payload); return;
	case DEVICE_CALL: do_call(s, &m, payload); return;
	}
	simple(s, &m, NULL);
	end(s, 0);
}

int device_server_run(struct device_server *s)
{
	while (!s->ended) {
		struct pollfd wait[2] = { { .fd = s->commands_fd, .events = POLLIN }, { .fd = s->events_fd, .events = POLLIN } };
		struct device_message m;
		struct bytes payload;

		do_queue(s);
		if (s->ended)
			break;
		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (wait[0].revents)
			do_command(s);
		else if (wait[1].revents && take_event(s, false, &m, &payload))
			end(s, -EPROTO); /* an answer to no request */
	}
	return s->error;
}
