#include "diag/crash/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "diag/crash/core.h"
#include "diag/crash/scrub.h"
#include "diag/crash/sender.h"
#include "lib/log/kmsg.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "spec/crash.h"
#include "vmm/uio/uio.h"

LOG_DOMAIN("crash");

#define LIMIT_S 15               /* as OpenHCL's: what waits for the dying process has waited long enough then */
#define CHANNEL_WAIT_NS 1000000000ull
#define POLL_NS 2000000ull
#define CORE_FD 0
#define LOCK_PATH "/run/crash.lock"
#define BIND_PATH "/sys/bus/vmbus/drivers/uio_hv_generic/new_id"

struct helper {
	struct exec *exec;
	struct uio_channel *channel;
	struct scrub *scrub;    /* NULL: the core goes as it is */
	struct core *core;
	struct sender *sender;
	struct task run;
	struct timer timer;
	u64 deadline_ns;
	int result;
};

static int alarm_fd = -1;
static const char *volatile doing = "beginning";

/* the one way out when anything hangs, so it trusts little of the rest */
static void too_long(int ignored)
{
	char text[160];
	int len = snprintf(text, sizeof(text), "<3>crash/crash: %d seconds are over, while %s: the process is let go, its core "
			   "is not whole\n", LIMIT_S, doing);

	if (write(alarm_fd, text, (size_t)len) < 0)
		_exit(4);
	_exit(3);
}

static void stop(struct helper *h, int result)
{
	h->result = result;
	exec_stop(h->exec);
}

/* ---- the core's two sources */

static int read_stdin(void *ctx, void *buf, size_t room)
{
	ssize_t n;

	doing = "the kernel writes the core";
	do
		n = read(CORE_FD, buf, room);
	while (n < 0 && errno == EINTR);
	doing = "the core is sent";
	return n < 0 ? -errno : (int)n;
}

static int read_core(void *ctx, void *buf, size_t room)
{
	struct helper *h = ctx;

	return h->scrub ? scrub_read(h->scrub, buf, room) : read_stdin(NULL, buf, room);
}

/* what /dev/kmsg has, record by record; the newest when it is more than room */
static size_t read_log(void *ctx, char *buf, size_t room)
{
	_cleanup_close_ int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[8192];
	size_t len = 0;
	ssize_t n;

	/* EPIPE: records were overwritten meanwhile; the next read goes on behind them */
	while (fd >= 0 && ((n = read(fd, record, sizeof(record))) > 0 || (n < 0 && (errno == EPIPE || errno == EINTR)))) {
		if (n > 0 && len + (size_t)n > room) {
			size_t keep = room / 2;
			char *line = memchr(buf + len - keep, '\n', keep);

			keep = line ? (size_t)(buf + len - line) - 1 : 0;
			memmove(buf, buf + len - keep, keep);
			len = keep;
		}
		if (n > 0) {
			memcpy(buf + len, record, (size_t)n);
			len += (size_t)n;
		}
	}
	return len;
}

/* ---- between sender and channel */

static int port_send(void *ctx, const void *data, size_t len)
{
	return uio_send(((struct helper *)ctx)->channel, data, len);
}

static int port_read(void *ctx, void *buf, size_t room)
{
	return core_read(((struct helper *)ctx)->core, buf, room);
}

/* closing the channel would take what the host has not read */
static void wait_for_host(struct timer *timer)
{
	struct helper *h = container_of(timer, struct helper, timer);

	if (uio_drained(h->channel))
		stop(h, h->result);
	else
		timer_arm(h->exec, &h->timer, exec_now_ns(h->exec) + POLL_NS);
}

static void port_done(void *ctx, int error)
{
	struct helper *h = ctx;

	doing = "the host reads the core's end";
	h->result = error;
	h->timer.fire = wait_for_host;
	if (error)
		stop(h, error);
	else
		timer_arm(h->exec, &h->timer, exec_now_ns(h->exec));
}

static void run(struct task *task)
{
	struct helper *h = container_of(task, struct helper, run);

	if (sender_run(h->sender))
		task_wake(task);
}

static void received(void *ctx, const u8 *data, size_t len)
{
	struct helper *h = ctx;

	sender_received(h->sender, data, len);
	task_wake(&h->run);
}

static void writable(void *ctx)
{
	task_wake(&((struct helper *)ctx)->run);
}

static void closed(void *ctx, int error)
{
	struct helper *h = ctx;

	stop(h, log_err(error, "the crash channel"));
}

static void open_channel(struct timer *timer)
{
	static const struct uio_ops ops = { received, writable, closed };
	struct helper *h = container_of(timer, struct helper, timer);
	const struct guid instance = CRASH_CHANNEL;
	int r = uio_open(&instance, h->exec, &ops, h, &h->channel);

	doing = r ? "the channel is to be opened" : "the host is asked";
	if (!r)
		task_wake(&h->run);
	else if (r == -ENOENT && exec_now_ns(h->exec) < h->deadline_ns)
		timer_arm(h->exec, timer, exec_now_ns(h->exec) + POLL_NS);
	else
		stop(h, log_err(r, "the crash channel cannot be opened"));
}

/* the channel costs memory once it is bound, so only now (docs/decisions/uio-channels.md) */
static int bind_channel(void)
{
	const struct guid channel = CRASH_CHANNEL;
	char text[GUID_STRLEN + 1], path[128];

	doing = "the channel is bound";
	guid_format(&channel, text);
	snprintf(path, sizeof(path), "/sys/bus/vmbus/devices/%s", text);
	if (access(path, F_OK))
		return log_err(-ENOENT, "the host offers no crash channel, so there will be no core (pvhost: --crash-dumps)");
	int r = file_write_text(BIND_PATH, text);

	/* EEXIST: a helper before us did it */
	return r && r != -EEXIST ? log_err(r, "binding the crash channel to uio_hv_generic") : 0;
}

static void read_kernel(struct sender_kernel *ret)
{
	_cleanup_free_ u8 *banner = NULL;
	struct utsname name;
	size_t len;

	*ret = (struct sender_kernel){ 0 };
	if (!uname(&name) && sscanf(name.release, "%u.%u", &ret->major, &ret->minor) != 2)
		log_at(LOG_DEBUG, "a kernel release of another form: %s", name.release);
	if (!file_read("/proc/version", 4096, &banner, &len))
		snprintf(ret->banner, sizeof(ret->banner), "%s", (const char *)banner);
}

static int send_core(struct helper *h)
{
	static const struct sender_port port = { port_send, port_read, port_done };
	struct core_input input = { read_core, read_log, h };
	struct sender_kernel kernel;
	bool cut = false;
	int r = bind_channel();

	if (r)
		return r;
	read_kernel(&kernel);
	h->exec = exec_create("crash", -1);
	h->core = core_create(&input);
	h->sender = sender_create(&port, h, &kernel);
	if (!h->exec || !h->core || !h->sender)
		return log_err(-ENOMEM, "the crash helper");
	task_init(&h->run, h->exec, "send", run);
	h->timer.fire = open_channel;
	h->deadline_ns = exec_now_ns(h->exec) + CHANNEL_WAIT_NS;
	timer_arm(h->exec, &h->timer, exec_now_ns(h->exec));
	r = exec_run(h->exec);
	if (!r)
		r = h->result;
	u64 sent = sender_sent(h->sender, &cut);

	if (!r)
		log_at(LOG_NOTICE, "the host has the core: %llu bytes%s", (unsigned long long)sent,
		       cut ? ", cut at its limit" : "");
	return r;
}

/* two helpers at once would write into the same ring: the second waits, within its time */
static void take_turn(void)
{
	int fd = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	doing = "another core is sent";
	if (fd < 0 || flock(fd, LOCK_EX))
		log_err(-errno, "%s", LOCK_PATH);
}

int crash_main(int argc, char **argv)
{
	struct helper helper = { 0 };

	alarm_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	kmsg_install("crash");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, too_long);
	alarm(LIMIT_S);
	if (argc != 6) {
		log_at(LOG_ERROR, "crash PID TID SIGNAL UID COMM: for the kernel's core_pattern only");
		return 2;
	}
	log_at(LOG_ERROR, "process %s (%s) died of signal %s (%s) in thread %s", argv[1], argv[5], argv[3],
	       strsignal((int)strtol(argv[3], NULL, 10)), argv[2]);
	/* only a process that keeps secrets has a user of its own (vmm/device_worker/sandbox.h) */
	if (strcmp(argv[4], "0")) {
		helper.scrub = scrub_create(read_stdin, NULL);
		if (!helper.scrub)
			return 1;
	}
	take_turn();
	/* the kernel's pieces end here: memory and files go with the process */
	return send_core(&helper) ? 1 : 0;
}
