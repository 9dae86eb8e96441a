#include "vmm/device_worker/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

LOG_DOMAIN("device");

#define ACCESS_TIMEOUT_NS 30000000000ull /* a TPM may make an RSA key while the guest waits for a register */
#define WATCH_NS 1000000000ull
#define COMMAND_TIMEOUT_NS 30000000000ull /* it ends what it does first */
#define INSPECT_TIMEOUT_NS 200000000ull  /* whoever looks can look again */
#define LOOK_UP_NS 500000000ull

struct pending {
	struct io_token *token; /* NULL: free */
	u32 id;
	u64 since_ns;
};

/*
 * Two locks. The device's, outer, is held by who waits for the answer to a command, perhaps for long. Meanwhile home must go on
 * serving what the process waits for in its turn, so all that home needs is under `lock`, which nobody waits with.
 */
struct device_proxy {
	struct device dev;
	struct device_proxy_config config;
	pthread_mutex_t lock;
	/* under lock; the descriptors are closed with the device's lock held as well */
	int events_fd, commands_fd; /* -1: nobody plays it */
	struct pending pending[DEVICE_ACCESSES_MAX];
	unsigned pending_count;
	u32 next_id;
	int broken;                 /* why it must go, -errno; 0: it is well */
	struct device_window windows[DEVICE_WINDOWS_MAX];
	u64 forwarded, unanswered, dropped, losses;
	/* home's */
	u64 refused_memory, memory_requests, lines;
	struct op read_op;
	struct iovec read_iov;
	bool reading;
	struct task watch_task;
	struct timer watch;
	atomic_bool watching;
	struct op stop_op;
	bool stopping, dead;        /* it is to be freed: the task's last run is not over; so */
	u8 in[DEVICE_PACKET_MAX], out[DEVICE_MEMORY_MAX];
	/* of commands; under the device's lock */
	u8 answer[DEVICE_PACKET_MAX];
};

static struct device_proxy *of(struct device *dev)
{
	return container_of(dev, struct device_proxy, dev);
}

/* ---- what the guest does */
static enum io_status nobody(struct device_proxy *p, struct io_access *a)
{
	p->unanswered++;
	a->value = ~0ull;
	return IO_OK;
}

/* the first of a while lets home look after the time */
static void see_to_watch(struct device_proxy *p)
{
	if (!atomic_exchange(&p->watching, true))
		task_wake(&p->watch_task);
}

static enum io_status forward(struct device_proxy *p, unsigned region, struct io_access *a)
{
	unsigned slot = 0;

	while (slot < DEVICE_ACCESSES_MAX && p->pending[slot].token)
		slot++;
	if (p->events_fd < 0 || p->broken || !a->token || slot == DEVICE_ACCESSES_MAX)
		return nobody(p, a);
	struct device_message m = { .type = DEVICE_ACCESS, .id = ++p->next_id, .offset = a->offset, .value = a->value,
				    .region = region, .size = a->size, .write = a->write };

	if (device_message_send(p->events_fd, &m, NULL)) {
		p->dropped++;
		return nobody(p, a);
	}
	p->forwarded++;
	p->pending[slot] = (struct pending){ a->token, m.id, exec_now_ns(p->config.home) };
	p->pending_count++;
	see_to_watch(p);
	return IO_PENDING;
}

static enum io_status proxy_access(struct device *dev, unsigned region, struct io_access *a)
{
	struct device_proxy *p = of(dev);

	if (p->config.seen)
		p->config.seen(p->config.context, region, a);
	pthread_mutex_lock(&p->lock);
	enum io_status status = forward(p, region, a);

	pthread_mutex_unlock(&p->lock);
	return status;
}

/* ---- its end */
/* any thread: home does the rest */
static void give_up(struct device_proxy *p, int error)
{
	pthread_mutex_lock(&p->lock);
	bool news = p->events_fd >= 0 && !p->broken;

	if (news)
		p->broken = error;
	pthread_mutex_unlock(&p->lock);
	if (!news)
		return;
	atomic_store(&p->watching, true);
	task_wake(&p->watch_task);
}

/*
 * home: every waiting access is answered, with nothing. Tokens are completed without a lock: a VP may take it at once. Who waits
 * for the answer to a command sees that it is over, and lets go of the device's lock.
 */
static void detach(struct device_proxy *p)
{
	struct io_token *tokens[DEVICE_ACCESSES_MAX];
	unsigned count = 0;
	int error;

	device_lock(&p->dev);
	pthread_mutex_lock(&p->lock);
	error = p->broken;
	for (unsigned i = 0; i < DEVICE_ACCESSES_MAX; i++)
		if (p->pending[i].token) {
			tokens[count++] = p->pending[i].token;
			p->pending[i].token = NULL;
			p->unanswered++;
		}
	p->pending_count = 0;
	fd_close(&p->events_fd);
	fd_close(&p->commands_fd);
	p->losses++;
	pthread_mutex_unlock(&p->lock);
	device_unlock(&p->dev);
	for (unsigned i = 0; i < count; i++)
		io_complete(tokens[i], ~0ull);
	log_at(LOG_WARN, "%s: nobody plays it any more: %s; %u accesses were under way", p->dev.name, strerror(-error), count);
	p->config.lost(p->config.context, error);
}

/* a read that is under way ends first: its memory is in use */
static void end_or_wait(struct device_proxy *p)
{
	if (p->reading)
		op_cancel(p->config.home, &p->read_op);
	else
		detach(p);
}

/* a peer that ends with something unread resets; both are its end */
static int gone(int error)
{
	return error == -ECONNRESET || error == -ECANCELED ? -EPIPE : error;
}

/* ---- what the device says */
static bool in_window(struct device_proxy *p, u64 gpa, u64 len, bool write)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < DEVICE_WINDOWS_MAX && !found; i++) {
		const struct device_window *w = &p->windows[i];

		found = range_within(gpa, len, w->gpa, w->len) && (!write || w->writable);
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static int on_memory(struct device_proxy *p, const struct device_message *m, struct bytes payload)
{
	bool write = m->type == DEVICE_MEMORY_WRITE;
	u32 len = write ? m->len : (u32)m->value;
	struct device_message done = { .type = DEVICE_MEMORY_DONE, .id = m->id };

	p->memory_requests++;
	if (write)
		memcpy(p->out, payload.at, len);
	if (!in_window(p, m->offset, len, write)) {
		p->refused_memory++;
		log_guest("%s: %u bytes of guest memory at %#lx are not its own", p->dev.name, len, m->offset);
		done.error = -EACCES;
	} else {
		done.error = p->config.memory(p->config.context, m->offset, p->out, len, write);
	}
	done.len = write || done.error ? 0 : len;
	return device_message_send(p->events_fd, &done, p->out);
}

static int on_access_done(struct device_proxy *p, const struct device_message *m)
{
	struct io_token *token = NULL;

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < DEVICE_ACCESSES_MAX && !token; i++)
		if (p->pending[i].token && p->pending[i].id == m->id) {
			token = p->pending[i].token;
			p->pending[i].token = NULL;
			p->pending_count--;
		}
	pthread_mutex_unlock(&p->lock);
	if (!token)
		return -EPROTO; /* nobody asked */
	io_complete(token, m->value);
	return 0;
}

static int on_event(struct device_proxy *p, struct bytes packet)
{
	struct device_message m;
	struct bytes payload;

	if (!device_message_parse(packet, DEVICE_TO_PROXY, &m, &payload))
		return -EPROTO;
	switch (m.type) {
	case DEVICE_ACCESS_DONE: return on_access_done(p, &m);
	case DEVICE_LINE:
		p->lines++;
		p->config.line(p->config.context, m.region, m.value);
		return 0;
	}
	return on_memory(p, &m, payload);
}

static void read_more(struct device_proxy *p);
static void release(struct device_proxy *p);

static void have_read(struct op *op, int result)
{
	struct device_proxy *p = container_of(op, struct device_proxy, read_op);
	int error = result > 0 && !p->dead ? on_event(p, bytes_of(p->in, (size_t)result)) : result < 0 ? result : -EPIPE;

	p->reading = false;
	if (p->dead) {
		release(p);
		return;
	}
	pthread_mutex_lock(&p->lock);
	if (error && !p->broken)
		p->broken = gone(error);
	error = p->broken;
	pthread_mutex_unlock(&p->lock);
	if (error)
		detach(p);
	else
		read_more(p);
}

static void read_more(struct device_proxy *p)
{
	p->reading = true;
	p->read_iov = (struct iovec){ p->in, sizeof(p->in) };
	op_readv(p->config.home, &p->read_op, p->events_fd, &p->read_iov, 1, ~0ull);
}

/* ---- the time */
static void watch_fires(struct timer *timer)
{
	struct device_proxy *p = container_of(timer, struct device_proxy, watch);
	bool more, broken;

	/* the time after the lock: else an access that comes in between began in the future */
	pthread_mutex_lock(&p->lock);
	u64 now = exec_now_ns(p->config.home);

	for (unsigned i = 0; i < DEVICE_ACCESSES_MAX; i++)
		if (p->pending[i].token && now - p->pending[i].since_ns >= ACCESS_TIMEOUT_NS && !p->broken)
			p->broken = -ETIMEDOUT;
	broken = p->broken && p->events_fd >= 0;
	more = p->pending_count && !broken;
	if (!more)
		atomic_store(&p->watching, false);
	pthread_mutex_unlock(&p->lock);
	if (broken)
		end_or_wait(p);
	else if (more)
		timer_arm(p->config.home, timer, now + WATCH_NS);
}

static void watch_runs(struct task *task)
{
	struct device_proxy *p = container_of(task, struct device_proxy, watch_task);

	if (p->dead)
		return;
	watch_fires(&p->watch);
}

/* ---- commands: the caller waits, under the device's lock */
static bool is_broken(struct device_proxy *p)
{
	pthread_mutex_lock(&p->lock);
	bool broken = p->broken;

	pthread_mutex_unlock(&p->lock);
	return broken;
}

/* a packet that is there: 0 or the device's word, -EAGAIN: not the answer */
static int take_answer(struct device_proxy *p, const struct device_message *question, struct bytes *ret)
{
	struct device_message m;
	ssize_t n = recv(p->commands_fd, p->answer, sizeof(p->answer), MSG_DONTWAIT);

	if (n <= 0)
		return n ? gone(-errno) : -EPIPE;
	if (!device_message_parse(bytes_of(p->answer, (size_t)n), DEVICE_ANSWER, &m, ret))
		return -EPROTO;
	if (m.id == question->id)
		return m.type != question->type || m.error == -EAGAIN ? -EPROTO : m.error;
	/* to an inspection that nobody waited for any more */
	return m.type == DEVICE_INSPECT ? -EAGAIN : -EPROTO;
}

/* until a moment, whatever comes meanwhile; looks up now and then, whether home has found that there is nobody to wait for */
static int await_answer(struct device_proxy *p, const struct device_message *question, u64 timeout_ns, struct bytes *ret)
{
	u64 until = now_ns() + timeout_ns; /* the thread's own time: it waits, whatever its executor's time is */

	for (;;) {
		struct pollfd wait = { .fd = p->commands_fd, .events = POLLIN };
		u64 now = now_ns();

		if (now >= until)
			return -ETIMEDOUT;
		int r = poll(&wait, 1, (int)(MIN(until - now, LOOK_UP_NS) / 1000000 + 1));

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			r = take_answer(p, question, ret);
		else
			r = is_broken(p) ? -EPIPE : -EAGAIN;
		if (r != -EAGAIN)
			return r;
	}
}

/* 0 or -errno; when it is not the device's word, the device is given up */
static int command(struct device_proxy *p, enum device_message_type type, struct bytes payload, u64 value, struct bytes *ret)
{
	struct device_message m = { .type = type, .len = (u32)payload.left, .value = value };
	bool look = type == DEVICE_INSPECT;

	*ret = bytes_of(NULL, 0);
	pthread_mutex_lock(&p->lock);
	int r = p->commands_fd < 0 || p->broken ? -ENODEV : 0;

	m.id = ++p->next_id;
	pthread_mutex_unlock(&p->lock);
	if (r)
		return r;
	r = gone(device_message_send(p->commands_fd, &m, payload.at));
	if (!r)
		r = await_answer(p, &m, look ? INSPECT_TIMEOUT_NS : COMMAND_TIMEOUT_NS, ret);
	if (r == -EPROTO || r == -EPIPE || (r == -ETIMEDOUT && !look))
		give_up(p, r);
	return r;
}

static void simple(struct device_proxy *p, enum device_message_type type, const char *what)
{
	struct bytes answer;
	int r = command(p, type, bytes_of(NULL, 0), 0, &answer);

	if (r && r != -ENODEV)
		log_err(r, "%s: %s", p->dev.name, what);
}

static void proxy_start(struct device *dev)
{
	simple(of(dev), DEVICE_START, "start");
}

static void proxy_stop(struct device *dev)
{
	simple(of(dev), DEVICE_STOP, "stop");
}

static void proxy_reset(struct device *dev)
{
	simple(of(dev), DEVICE_RESET, "reset");
}

/* a state that cannot be had is no state: who restores must not take half a machine for a whole one */
static void proxy_save(struct device *dev, struct saver *s)
{
	struct bytes state;
	int r = command(of(dev), DEVICE_SAVE, bytes_of(NULL, 0), 0, &state);

	if (r && !s->error)
		s->error = log_err(r, "%s: save", dev->name);
	if (!r)
		saver_put(s, state.at, state.left);
}

static int proxy_restore(struct device *dev, struct bytes state)
{
	struct bytes answer;

	if (!state.left || state.left > DEVICE_PAYLOAD_MAX)
		return -EPROTO;
	return command(of(dev), DEVICE_RESTORE, state, 0, &answer);
}

static void proxy_inspect(struct device *dev, struct inspect *in)
{
	struct device_proxy *p = of(dev);
	struct bytes node;

	pthread_mutex_lock(&p->lock);
	bool attached = p->events_fd >= 0 && !p->broken;
	unsigned pending = p->pending_count;

	pthread_mutex_unlock(&p->lock);
	inspect_bool(in, "attached", attached);
	inspect_u64(in, "pending", pending);
	inspect_count(in, "forwarded", p->forwarded);
	inspect_count(in, "unanswered", p->unanswered);
	inspect_count(in, "dropped", p->dropped);
	inspect_count(in, "lines", p->lines);
	inspect_count(in, "memory_requests", p->memory_requests);
	inspect_count(in, "refused_memory", p->refused_memory);
	inspect_count(in, "losses", p->losses);
	if (inspect_wants(in, "process") && !command(p, DEVICE_INSPECT, bytes_of(NULL, 0), UINT32_MAX, &node))
		inspect_embed(in, "process", node);
}

/* ---- */
static const struct device_ops proxy_ops = {
	.access = proxy_access, .start = proxy_start, .stop = proxy_stop, .reset = proxy_reset, .save = proxy_save,
	.restore = proxy_restore, .inspect = proxy_inspect,
};

static void release(struct device_proxy *p)
{
	if (p->reading || p->stopping)
		return;
	fd_close(&p->events_fd);
	fd_close(&p->commands_fd);
	pthread_mutex_destroy(&p->dev.lock);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void task_stopped(struct op *op, int result)
{
	struct device_proxy *p = container_of(op, struct device_proxy, stop_op);

	p->stopping = false;
	release(p);
}

void device_proxy_set_window(struct device_proxy *p, unsigned index, const struct device_window *window)
{
	CHECK(index < DEVICE_WINDOWS_MAX);
	pthread_mutex_lock(&p->lock);
	p->windows[index] = *window;
	pthread_mutex_unlock(&p->lock);
}

int device_proxy_call(struct device_proxy *p, u64 operation, struct bytes in, void *out, size_t room, size_t *ret_len)
{
	struct bytes answer;

	if (in.left > DEVICE_PAYLOAD_MAX)
		return -E2BIG;
	device_lock(&p->dev);
	int r = command(p, DEVICE_CALL, in, operation, &answer);

	if (!r && answer.left > room)
		r = -ENOSPC;
	if (!r) {
		memcpy(out, answer.at, answer.left);
		*ret_len = answer.left;
	}
	device_unlock(&p->dev);
	return r;
}

struct device_proxy *device_proxy_create(const struct device_proxy_config *config)
{
	struct device_proxy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->config = *config;
	p->events_fd = p->commands_fd = -1;
	p->dev = (struct device){ .name = config->name, .tag = config->tag, .ops = &proxy_ops, .regions = config->regions,
				  .region_count = config->region_count, .home = config->home };
	pthread_mutex_init(&p->dev.lock, NULL);
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned i = 0; i < config->window_count; i++)
		device_proxy_set_window(p, i, &config->windows[i]);
	p->read_op.done = have_read;
	p->watch.fire = watch_fires;
	p->stop_op.done = task_stopped;
	task_init(&p->watch_task, config->home, config->name, watch_runs);
	return p;
}

void device_proxy_destroy(struct device_proxy *p)
{
	if (!p)
		return;
	p->dead = p->stopping = true;
	timer_disarm(p->config.home, &p->watch);
	if (p->reading)
		op_cancel(p->config.home, &p->read_op);
	task_stop(&p->watch_task, &p->stop_op);
}

struct device *device_proxy_device(struct device_proxy *p)
{
	return &p->dev;
}

int device_proxy_attach(struct device_proxy *p, int events_fd, int commands_fd)
{
	CHECK(p->events_fd < 0 && !p->reading);
	if (fcntl(commands_fd, F_SETFL, O_NONBLOCK))
		return -errno;
	pthread_mutex_lock(&p->lock);
	p->events_fd = events_fd;
	p->commands_fd = commands_fd;
	p->broken = 0;
	pthread_mutex_unlock(&p->lock);
	read_more(p);
	return 0;
}
