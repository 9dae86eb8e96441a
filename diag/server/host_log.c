#include "diag/server/host_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "vmm/get/log_record.h"
#include "vmm/uio/uio.h"

LOG_DOMAIN("host_log");

#define RECORDS_A_TURN 32
#define RECORD_MAX 8192                  /* kernel/printk: no record with its dictionary is longer */
#define EARLY_RETRY_NS 100000000ull      /* while the machine comes up, so that the log is complete soon */
#define EARLY_NS 5000000000ull
#define RETRY_NS 5000000000ull           /* later: a host may offer the channel at any time */
#define FILTER_OFF (-1)

enum host_log_state { HOST_LOG_OFF, HOST_LOG_NO_CHANNEL, HOST_LOG_OPEN, HOST_LOG_FAILED };

struct host_log {
	struct exec *exec;
	const struct host_log_port *port;
	void *context;
	const char *kmsg_path;
	enum host_log_state state;
	int filter;                      /* enum log_level, or FILTER_OFF */
	int kmsg;                        /* -1: not opened yet */
	struct timer retry;
	u64 started_ns;
	struct op readable, again;
	bool reading, again_busy, blocked, ending;
	u64 next_sequence, last_time_us;
	u64 sent, filtered, lost, lost_untold, told, malformed, opened;
	struct log_message message;      /* len 0: none waits */
	u8 record[RECORD_MAX];
};

struct host_log_uio {
	struct host_log *log;
	struct uio_channel *channel;
};

/* ---- from the kernel's log */

/* the next record into l->record: its length, 0 none now, -errno never again */
static ssize_t read_record(struct host_log *l)
{
	for (;;) {
		ssize_t n = read(l->kmsg, l->record, sizeof(l->record));

		if (n > 0)
			return n;
		if (!n)
			return -ENODATA;
		/* EPIPE: records were overwritten before they were read; the next one's number tells how many */
		if (errno == EPIPE || errno == EINVAL || errno == EINTR)
			continue;
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	}
}

static void count_lost(struct host_log *l, u64 sequence)
{
	if (sequence > l->next_sequence) {
		l->lost += sequence - l->next_sequence;
		l->lost_untold += sequence - l->next_sequence;
	}
	l->next_sequence = sequence + 1;
}

static void take_record(struct host_log *l, size_t len)
{
	struct log_record record;

	if (!log_record_parse(bytes_of(l->record, len), &record)) {
		l->malformed++;
		return;
	}
	count_lost(l, record.sequence);
	l->last_time_us = record.time_us;
	if ((int)log_record_level(&record) > l->filter)
		l->filtered++;
	else
		log_record_message(&record, &l->message);
}

/* ---- to the host */

/* true: it needs no second try. A ring that is too small for a message does not take it later either: it is lost. */
static bool send_message(struct host_log *l, const struct log_message *m, u64 *count)
{
	int r = l->port->send(l->context, m->bytes, m->len);

	if (r == -EAGAIN || r == -EPIPE)
		return false;
	++*(r ? &l->lost : count);
	return true;
}

/* what waits goes out, a loss before the record that came after it; true when nothing waits any more */
static bool send_waiting(struct host_log *l)
{
	struct log_message told;

	l->blocked = true;
	if (l->lost_untold && l->filter != FILTER_OFF) {
		log_record_lost(l->lost_untold, l->last_time_us, &told);
		if (!send_message(l, &told, &l->told))
			return false;
		l->lost_untold = 0;
	}
	if (l->message.len && !send_message(l, &l->message, &l->sent))
		return false;
	l->message.len = 0;
	l->blocked = false;
	return true;
}

/* nothing more is sent; the channel stays open, so that a host sees a firmware that is silent and not one that is gone */
static void reader_failed(struct host_log *l, int error)
{
	l->state = HOST_LOG_FAILED;
	log_err(error, "%s: the host hears no more of the log", l->kmsg_path);
}

static void put_log(struct host_log *l)
{
	if (!l->ending || l->reading || l->again_busy)
		return;
	cleanup_closep(&l->kmsg);
	free(l);
}

static void reader_turn(struct host_log *l);

static void run_again(struct op *op, int ignored)
{
	struct host_log *l = container_of(op, struct host_log, again);

	l->again_busy = false;
	reader_turn(l);
	put_log(l);
}

static void kmsg_ready(struct op *op, int result)
{
	struct host_log *l = container_of(op, struct host_log, readable);

	l->reading = false;
	if (result >= 0)
		reader_turn(l);
	else if (!l->ending)
		reader_failed(l, result);
	put_log(l);
}

static void reader_turn(struct host_log *l)
{
	for (int i = 0; i < RECORDS_A_TURN; i++) {
		if (l->ending || l->state != HOST_LOG_OPEN || !send_waiting(l))
			return;
		ssize_t n = read_record(l);

		if (n < 0) {
			reader_failed(l, (int)n);
			return;
		}
		if (!n && !l->reading) {
			l->reading = true;
			op_poll(l->exec, &l->readable, l->kmsg, POLLIN);
		}
		if (!n)
			return;
		take_record(l, (size_t)n);
	}
	/* a long log is sent in pieces, so that others get their turn */
	if (!l->again_busy) {
		l->again_busy = true;
		exec_post(l->exec, &l->again, run_again, 0);
	}
}

void host_log_writable(struct host_log *l)
{
	reader_turn(l);
}

/* ---- the channel */

static void start_reading(struct host_log *l)
{
	l->state = HOST_LOG_OPEN;
	l->opened++;
	log_at(LOG_INFO, "the host takes the log");
	if (l->kmsg < 0)
		l->kmsg = open(l->kmsg_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (l->kmsg < 0)
		reader_failed(l, -errno);
	else
		reader_turn(l);
}

static void try_open(struct timer *timer)
{
	struct host_log *l = container_of(timer, struct host_log, retry);
	u64 now = exec_now_ns(l->exec);
	int r = l->port->open(l->context, l);

	l->state = HOST_LOG_NO_CHANNEL;
	if (!r)
		start_reading(l);
	else if (r == -ENOENT)
		timer_arm(l->exec, &l->retry, now + (now - l->started_ns < EARLY_NS ? EARLY_RETRY_NS : RETRY_NS));
	else
		l->state = HOST_LOG_FAILED; /* said by the port */
}

void host_log_closed(struct host_log *l, int error)
{
	l->state = HOST_LOG_FAILED;
	l->port->close(l->context);
	/* taken back: the host may offer it again. After nonsense in the ring there is no second try. */
	if (error != -EPIPE)
		return;
	l->state = HOST_LOG_NO_CHANNEL;
	timer_arm(l->exec, &l->retry, exec_now_ns(l->exec) + RETRY_NS);
}

/* ---- the filter, and what is shown */

static const char *const filter_names[] = { "off", "error", "notice", "warn", "info", "debug" };
_Static_assert(ARRAY_SIZE(filter_names) == LOG_LEVELS + 1, "lib/log's levels, and none of them");

static int filter_set(void *object, const char *text)
{
	struct host_log *l = object;

	for (int i = 0; i < (int)ARRAY_SIZE(filter_names); i++) {
		if (strcmp(text, filter_names[i]))
			continue;
		l->filter = i - 1;
		if (l->state == HOST_LOG_OFF && l->filter != FILTER_OFF)
			try_open(&l->retry);
		return 0;
	}
	return -EINVAL;
}

static void filter_get(void *object, char *text, size_t size)
{
	snprintf(text, size, "%s", filter_names[((struct host_log *)object)->filter + 1]);
}

static void counts_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "off", "no_channel", "open", "failed" };
	struct host_log *l = object;

	inspect_str(in, "state", states[l->state]);
	inspect_count(in, "opened", l->opened);
	inspect_count(in, "sent", l->sent);
	inspect_count(in, "filtered", l->filtered);
	inspect_count(in, "lost", l->lost);
	inspect_count(in, "lost_told", l->told);
	inspect_count(in, "malformed", l->malformed);
	inspect_bool(in, "waiting", l->blocked);
	if (l->port->inspect)
		l->port->inspect(l->context, in);
}

void host_log_inspect(struct host_log *l, struct inspect *in)
{
	static const struct inspect_text filter = { filter_get, filter_set };

	if (!l)
		return;
	inspect_rw_text(in, "host_filter", &filter, l);
	inspect_child(in, "host", counts_inspect, l);
}

/* ---- making one */

struct host_log *host_log_create(struct exec *exec, const struct host_log_port *port, void *context, const char *kmsg,
				 const char *filter)
{
	struct host_log *l = calloc(1, sizeof(*l));

	if (!l) {
		log_err(-ENOMEM, "the log for the host");
		return NULL;
	}
	*l = (struct host_log){ .exec = exec, .port = port, .context = context, .kmsg_path = kmsg, .filter = FILTER_OFF,
				.kmsg = -1, .retry.fire = try_open, .started_ns = exec_now_ns(exec),
				.readable.done = kmsg_ready };
	if (filter_set(l, filter ? filter : "info")) {
		log_at(LOG_WARN, "PARAVANE_HOST_LOG=%s: neither off nor a level; info it is", filter);
		filter_set(l, "info");
	}
	return l;
}

void host_log_destroy(struct host_log *l)
{
	if (!l)
		return;
	l->ending = true;
	timer_disarm(l->exec, &l->retry);
	if (l->reading)
		op_cancel(l->exec, &l->readable);
	put_log(l);
}

/* ---- uio as the port */

static void uio_wrote(void *context)
{
	host_log_writable(((struct host_log_uio *)context)->log);
}

static void uio_ended(void *context, int error)
{
	host_log_closed(((struct host_log_uio *)context)->log, error);
}

/* the channel goes one way: a host has nothing to say in it */
static void uio_received(void *context, const u8 *data, size_t len)
{
}

static int port_open(void *context, struct host_log *log)
{
	static const struct uio_ops ops = { uio_received, uio_wrote, uio_ended };
	const struct guid instance = GET_LOG_INSTANCE;
	struct host_log_uio *u = context;

	u->log = log;
	return uio_open(&instance, log->exec, &ops, u, &u->channel);
}

static int port_send(void *context, const void *message, size_t len)
{
	struct host_log_uio *u = context;

	return u->channel ? uio_send(u->channel, message, len) : -EPIPE;
}

static void port_close(void *context)
{
	struct host_log_uio *u = context;
	struct uio_channel *channel = u->channel;

	u->channel = NULL;
	uio_close(channel);
}

static void port_inspect(void *context, struct inspect *in)
{
	struct host_log_uio *u = context;

	if (u->channel)
		inspect_child(in, "channel", uio_inspect, u->channel);
}

struct host_log *host_log_start(struct exec *exec, const char *kmsg)
{
	static const struct host_log_port port = { port_open, port_send, port_close, port_inspect };
	static struct host_log_uio uio;

	return host_log_create(exec, &port, &uio, kmsg, getenv("PARAVANE_HOST_LOG"));
}
