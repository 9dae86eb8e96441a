#include "vmm/uio/uio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "vmm/uio/ring.h"

LOG_DOMAIN("uio");

struct uio_channel {
	struct exec *exec;
	const struct uio_ops *ops;
	void *context;
	int fd;
	u8 *map;
	size_t map_len;
	struct uio_ring tx, rx;
	struct op poll;
	bool polling, closing, failed, blocked;
	u64 sent, received, signals, interrupts, stalls;
	u8 buffer[UIO_MESSAGE_MAX];
};

static void signal_host(struct uio_channel *c)
{
	u32 one = 1;

	c->signals++;
	if (write(c->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		log_guest("signalling the host: %s", strerror(errno)); /* one of the channels carries the log */
}

static void fail(struct uio_channel *c, int error)
{
	if (c->failed)
		return;
	c->failed = true;
	log_err(error, "channel closed");
	c->ops->closed(c->context, error);
}

static void drain(struct uio_channel *c)
{
	bool signal;
	int n;

	do {
		uio_ring_mask(&c->rx, true);
		while (!c->failed && !c->closing && (n = uio_ring_receive(&c->rx, c->buffer, sizeof(c->buffer), &signal)) != 0) {
			if (n < 0) {
				fail(c, n);
				return;
			}
			c->received++;
			if (signal)
				signal_host(c);
			c->ops->receive(c->context, c->buffer, (size_t)n);
		}
		uio_ring_mask(&c->rx, false);
		/* what came between the last look and the unmasking gave no interrupt */
	} while (!c->failed && !c->closing && !uio_ring_empty(&c->rx));
	if (c->blocked && !c->failed && !c->closing) {
		c->blocked = false;
		c->ops->writable(c->context);
	}
}

static void destroy(struct uio_channel *c)
{
	munmap(c->map, c->map_len);
	close(c->fd);
	free(c);
}

static void closed_later(struct op *op, int ignored)
{
	destroy(container_of(op, struct uio_channel, poll));
}

static void polled(struct op *op, int result)
{
	struct uio_channel *c = container_of(op, struct uio_channel, poll);
	u32 count;

	c->polling = false;
	if (c->closing) {
		destroy(c);
		return;
	}
	/* a rescinded channel: poll shows an error and read gives EIO (drivers/uio/uio.c) */
	if (result < 0 || (result & POLLERR) || read(c->fd, &count, sizeof(count)) != (ssize_t)sizeof(count)) {
		fail(c, -EPIPE);
		return;
	}
	c->interrupts++;
	drain(c);
	if (!c->closing && !c->failed) {
		c->polling = true;
		op_poll(c->exec, &c->poll, c->fd, POLLIN);
	}
}

static int find_uio(const struct guid *instance, unsigned *ret_number)
{
	char text[GUID_STRLEN + 1], path[128];

	guid_format(instance, text);
	snprintf(path, sizeof(path), "/sys/bus/vmbus/devices/%s/uio", text);
	DIR *dir = opendir(path);
	int r = -ENOENT;

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (sscanf(e->d_name, "uio%u", ret_number) == 1)
			r = 0;
	if (dir)
		closedir(dir);
	return r;
}

static int map_rings(struct uio_channel *c, unsigned number)
{
	_cleanup_free_ u8 *text = NULL;
	char path[64];
	size_t len;
	int r;

	snprintf(path, sizeof(path), "/dev/uio%u", number);
	c->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (c->fd < 0)
		return log_err(-errno, "%s", path);
	snprintf(path, sizeof(path), "/sys/class/uio/uio%u/maps/map0/size", number);
	r = file_read(path, 64, &text, &len);
	if (r)
		return log_err(r, "%s", path);
	c->map_len = strtoul((const char *)text, NULL, 0);
	c->map = mmap(NULL, c->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->map == MAP_FAILED)
		return log_err(-errno, "uio%u: rings of %zu bytes", number, c->map_len);
	/* map 0 is the outgoing ring, then the incoming one, of equal size (uio_hv_generic.c) */
	if (!uio_ring_init(&c->tx, c->map, c->map_len / 2) || !uio_ring_init(&c->rx, c->map + c->map_len / 2, c->map_len / 2))
		return log_err(-EPROTO, "uio%u: rings of %zu bytes", number, c->map_len);
	return 0;
}

int uio_open(const struct guid *instance, struct exec *exec, const struct uio_ops *ops, void *context,
	     struct uio_channel **ret)
{
	unsigned number;
	int r = find_uio(instance, &number);
	struct uio_channel *c = r ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return r ? r : log_err(-ENOMEM, "channel");
	*c = (struct uio_channel){ .exec = exec, .ops = ops, .context = context, .fd = -1, .map = MAP_FAILED,
				   .poll = { .done = polled } };
	r = map_rings(c, number);
	if (r) {
		if (c->map != MAP_FAILED)
			munmap(c->map, c->map_len);
		cleanup_closep(&c->fd);
		free(c);
		return r;
	}
	uio_ring_mask(&c->rx, false);
	c->polling = true;
	op_poll(exec, &c->poll, c->fd, POLLIN);
	*ret = c;
	return 0;
}

int uio_send(struct uio_channel *c, const void *data, size_t len)
{
	bool signal;
	int r = c->failed ? -EPIPE : uio_ring_send(&c->tx, data, len, &signal);

	if (r == -EAGAIN) {
		c->blocked = true;
		c->stalls++;
	} else if (r == -EPROTO) {
		fail(c, r);
		r = -EPIPE;
	}
	if (r)
		return r;
	c->sent++;
	if (signal)
		signal_host(c);
	return 0;
}

bool uio_drained(struct uio_channel *c)
{
	return c->failed || uio_ring_empty(&c->tx);
}

void uio_close(struct uio_channel *c)
{
	if (!c)
		return;
	c->closing = true;
	/* not polling: a callback of ours may be on the stack, so the memory goes in a later turn */
	if (c->polling)
		op_cancel(c->exec, &c->poll);
	else
		exec_post(c->exec, &c->poll, closed_later, 0);
}

void uio_inspect(void *object, struct inspect *in)
{
	struct uio_channel *c = object;

	inspect_count(in, "sent", c->sent);
	inspect_count(in, "received", c->received);
	inspect_count(in, "signals", c->signals);
	inspect_count(in, "interrupts", c->interrupts);
	inspect_count(in, "stalls", c->stalls);
	inspect_bool(in, "failed", c->failed);
}
