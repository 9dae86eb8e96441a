#include "host/vmbus/guest_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/vmbus/guest_record.h"
#include "lib/log/log.h"
#include "spec/get.h"

LOG_DOMAIN("guest_log");

#define NS_PER_S 1000000000ull
#define PENDING_MAX (256 * KiB)
#define FULL_RETRY_NS 20000000ull
#define LINE_ROOM (GUEST_RECORD_LINE_MAX + 256)

struct guest_log {
	struct loop *loop;
	struct channel channel;
	char path[PATH_MAX];
	int fd;
	bool json, is_stderr, is_file, complained, torn;
	u64 file_size;
	u64 window_ns;                 /* the second that is being counted, and its lines */
	u32 window_lines;
	u64 suppressed, unwritten, malformed; /* not told yet */
	u64 records, left_out;
	struct loop_timer tell, retry;
	bool tell_armed, retry_armed;
	char pending[PENDING_MAX];
	size_t pending_len;
	char line[LINE_ROOM];
	u8 buffer[GET_LOG_NOTIFICATION_MAX + 256];
};

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

static const char *host_time(char text[40])
{
	struct timespec t;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &parts);
	size_t n = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);

	snprintf(text + n, 40 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
	return text;
}

/* ---- the file */

static int open_file(const char *path)
{
	/* a FIFO that nobody reads, a terminal that is stopped: neither may stop the machine */
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
}

/* the full file is FILE.1 from here; if that cannot be, the old one is written on */
static void rotate(struct guest_log *g)
{
	char old[PATH_MAX + 4];

	snprintf(old, sizeof(old), "%s.1", g->path);
	g->file_size = 0;
	int fd = rename(g->path, old) ? -1 : open_file(g->path);

	if (fd < 0) {
		log_at(LOG_WARN, "--firmware-log %s: %s; it grows on", g->path, strerror(errno));
		return;
	}
	close(g->fd);
	g->fd = fd;
}

static void arm_tell(struct guest_log *g, u64 delay_ns)
{
	if (!g->tell_armed)
		loop_arm(g->loop, &g->tell, delay_ns);
	g->tell_armed = true;
}

/* the file takes nothing: what waits is let go, counted, and said once */
static void drop_pending(struct guest_log *g, int error)
{
	u64 lines = 0;

	for (const char *at = g->pending; (at = memchr(at, '\n', (size_t)(g->pending + g->pending_len - at))); at++)
		lines++;
	g->unwritten += lines;
	g->left_out += lines;
	g->pending_len = 0;
	if (!g->complained)
		log_at(LOG_WARN, "--firmware-log %s: %s; records are counted until it is written to again", g->path,
		       strerror(error));
	g->complained = true;
	arm_tell(g, NS_PER_S);
}

static void flush(struct guest_log *g)
{
	size_t done = 0;

	while (done < g->pending_len) {
		ssize_t n = write(g->fd, g->pending + done, g->pending_len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
		g->file_size += (size_t)n;
		g->torn = g->pending[done - 1] != '\n';
	}
	int error = done < g->pending_len ? errno : 0;

	g->pending_len -= done;
	memmove(g->pending, g->pending + done, g->pending_len);
	if (error == EAGAIN && !g->retry_armed) {
		g->retry_armed = true;
		loop_arm(g->loop, &g->retry, FULL_RETRY_NS);
	} else if (error && error != EAGAIN) {
		drop_pending(g, error);
	}
	if (g->is_file && g->file_size >= GUEST_LOG_FILE_MAX && !g->torn)
		rotate(g);
}

static void retry_fired(struct loop_timer *timer)
{
	struct guest_log *g = container_of(timer, struct guest_log, retry);

	g->retry_armed = false;
	flush(g);
}

/* false: no room */
static bool put_line(struct guest_log *g, size_t len)
{
	bool cut = g->torn && !g->pending_len;

	if (len + 2 > PENDING_MAX - g->pending_len)
		return false;
	/* the line before it ended early, when the disk was full */
	if (cut)
		g->pending[g->pending_len++] = '\n';
	memcpy(g->pending + g->pending_len, g->line, len);
	g->pending_len += len;
	/* a raw terminal, as pvhost makes of stdin's, wants both */
	if (g->is_stderr) {
		g->pending[g->pending_len - 1] = '\r';
		g->pending[g->pending_len++] = '\n';
	}
	flush(g);
	return true;
}

/* ---- the limit */

/* what was left out is told once the second is over, or the file takes lines again */
static void tell_left_out(struct guest_log *g)
{
	char when[40], text[200];

	if (!g->suppressed && !g->unwritten && !g->malformed)
		return;
	snprintf(text, sizeof(text),
		 "%lu records were suppressed (more than %u in a second), %lu could not be written, %lu messages were malformed",
		 g->suppressed, GUEST_LOG_LINES_A_S, g->unwritten, g->malformed);
	u64 unwritten = g->unwritten, left_out = g->left_out;

	if (!put_line(g, guest_record_note(text, g->json, host_time(when), g->line)) || g->unwritten != unwritten) {
		/* this line is not one of the guest's */
		g->unwritten = unwritten;
		g->left_out = left_out;
		arm_tell(g, NS_PER_S);
		return;
	}
	g->suppressed = g->unwritten = g->malformed = 0;
	g->complained = false;
}

static void tell_fired(struct loop_timer *timer)
{
	struct guest_log *g = container_of(timer, struct guest_log, tell);

	g->tell_armed = false;
	tell_left_out(g);
}

static void leave_out(struct guest_log *g, u64 *reason)
{
	++*reason;
	g->left_out++;
	arm_tell(g, NS_PER_S);
}

static bool within_limit(struct guest_log *g)
{
	u64 now = now_ns();

	if (now - g->window_ns >= NS_PER_S) {
		g->window_ns = now;
		g->window_lines = 0;
	}
	return g->window_lines++ < GUEST_LOG_LINES_A_S;
}

/* ---- the channel */

void guest_log_take(struct guest_log *g, struct bytes b)
{
	struct bytes payload;
	struct vmbus_pipe_header pipe;
	char when[40];

	g->records++;
	/* before it is looked into: what is refused must not cost what is accepted does */
	if (!within_limit(g)) {
		leave_out(g, &g->suppressed);
		return;
	}
	bool framed = bytes_copy(&b, &pipe, sizeof(pipe)) && pipe.type == VMBUS_PIPE_DATA &&
		      bytes_take(&b, pipe.length, &payload);
	size_t line = framed ? guest_record_line(payload, g->json, host_time(when), g->line) : 0;

	if (!line)
		leave_out(g, &g->malformed);
	else if (!put_line(g, line))
		leave_out(g, &g->unwritten);
}

static void signalled(struct channel *c)
{
	struct guest_log *g = container_of(c, struct guest_log, channel);
	struct ring_received got;

	for (u32 left = CHANNEL_PACKETS_PER_TURN; channel_receive(c, g->buffer, sizeof(g->buffer), &got) == RING_OK;) {
		guest_log_take(g, bytes_of(g->buffer, got.len));
		if (!--left) {
			channel_again(c);
			break;
		}
	}
}

/* ---- making one */

static bool cut_suffix(char *text, const char *suffix)
{
	size_t len = strlen(text), n = strlen(suffix);

	if (len <= n || strcmp(text + len - n, suffix))
		return false;
	text[len - n] = 0;
	return true;
}

static int open_where(struct guest_log *g, const char *where)
{
	struct stat what;

	if (snprintf(g->path, sizeof(g->path), "%s", where) >= (int)sizeof(g->path))
		return log_err(-ENAMETOOLONG, "--firmware-log");
	g->json = cut_suffix(g->path, ",json");
	g->is_stderr = !strcmp(g->path, "-");
	if (g->is_stderr) {
		g->fd = STDERR_FILENO;
		return 0;
	}
	size_t len = strlen(g->path);

	g->json |= len > 6 && !strcmp(g->path + len - 6, ".jsonl");
	g->fd = open_file(g->path);
	if (g->fd < 0 || fstat(g->fd, &what))
		return log_err(-errno, "--firmware-log %s", g->path);
	g->is_file = S_ISREG(what.st_mode);
	g->file_size = (u64)what.st_size;
	return 0;
}

int guest_log_create(struct loop *loop, struct vmbus *bus, const char *where, struct guest_log **ret)
{
	static const struct channel_ops ops = { .opened = signalled, .signalled = signalled };
	struct guest_log *g = calloc(1, sizeof(*g));

	if (!g)
		return log_err(-ENOMEM, "--firmware-log");
	g->loop = loop;
	g->fd = -1;
	g->tell.fire = tell_fired;
	g->retry.fire = retry_fired;
	g->channel = (struct channel){
		.name = "firmware_log", .interface = GET_INTERFACE, .instance = GET_LOG_INSTANCE,
		.flags = VMBUS_OFFER_NAMED_PIPE, .ops = &ops,
	};
	g->channel.user[0] = VMBUS_PIPE_MODE_MESSAGE;
	int r = open_where(g, where);

	if (!r)
		r = channel_offer(bus, &g->channel);
	if (r)
		guest_log_destroy(g);
	else
		*ret = g;
	return r;
}

void guest_log_destroy(struct guest_log *g)
{
	if (!g)
		return;
	loop_disarm(&g->tell);
	loop_disarm(&g->retry);
	if (g->fd >= 0) {
		tell_left_out(g);
		flush(g);
		loop_disarm(&g->tell);
		loop_disarm(&g->retry);
	}
	if (g->fd > STDERR_FILENO)
		close(g->fd);
	free(g);
}

void guest_log_counts(const struct guest_log *g, u64 *ret_records, u64 *ret_left_out)
{
	*ret_records = g->records;
	*ret_left_out = g->left_out;
}
