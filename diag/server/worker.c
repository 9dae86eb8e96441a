#include "diag/server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("worker");

#define FIRST_SAFE_FD 16 /* above every number of link.h */

/*
 * The guest talks to the worker all day, and might come to own it. Of other processes it must not look into any, nor become the
 * user that one belongs to. A process that root starts has what its bounding set has.
 */
static void give_up_capabilities(void)
{
	static const int unneeded[] = { CAP_SYS_PTRACE, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_KILL,
					CAP_SYS_MODULE, CAP_SYS_BOOT, CAP_MKNOD, CAP_CHOWN, CAP_FOWNER, CAP_SETFCAP, CAP_PERFMON,
					CAP_BPF, CAP_NET_ADMIN };

	for (size_t i = 0; i < ARRAY_SIZE(unneeded); i++)
		if (prctl(PR_CAPBSET_DROP, unneeded[i]) && !geteuid())
			_exit(125);
}

/* in the child: source descriptors may have the numbers that others are to get, so all move up first */
static _Noreturn void become_worker(const struct child_fds *fds, int request_fd, int notify_fd)
{
	const struct { int from, to; } map[] = {
		{ request_fd, LINK_FD_REQUESTS }, { fds->vtl, LINK_FD_VTL }, { fds->low, LINK_FD_LOW },
		{ fds->hvcall, LINK_FD_HVCALL }, { notify_fd, LINK_FD_NOTIFY },
		{ fds->settings, LINK_FD_SETTINGS }, { fds->gdb, LINK_FD_GDB }, { fds->devices, LINK_FD_DEVICES },
	};
	int high[ARRAY_SIZE(map)];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char name[] = "worker";
	char *argv[] = { name, NULL };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		bool optional = map[i].to == LINK_FD_GDB || map[i].to == LINK_FD_DEVICES;

		/* a number that is to be nothing must not become anything else either */
		high[i] = map[i].from < 0 && optional ? fcntl(null, F_DUPFD_CLOEXEC, FIRST_SAFE_FD) :
							fcntl(map[i].from, F_DUPFD_CLOEXEC, FIRST_SAFE_FD);
	}
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (high[i] < 0 || dup2(high[i], map[i].to) < 0)
			_exit(126);
	/* ours are close-on-exec; what the kernel or init left open need not be */
	syscall(SYS_close_range, LINK_FD_LAST + 1, ~0u, 0);
	give_up_capabilities();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", argv);
	_exit(127);
}

static void on_notification(struct op *op, int result);

static void notify_read(struct child *c)
{
	c->notify_busy = true;
	c->notify_iov = (struct iovec){ &c->notify, sizeof(c->notify) };
	op_readv(c->exec, &c->notify_op, c->notify_fd, &c->notify_iov, 1, ~0ull);
}

/* both the process and its notifications have to be through, so that a last word is heard before the end is judged */
static void maybe_ended(struct child *c)
{
	if (c->pid || c->notify_busy || c->notify_fd < 0)
		return;
	close(c->notify_fd);
	c->notify_fd = -1;
	link_destroy(c->link);
	c->link = NULL;
	c->ended(c);
}

static void on_notification(struct op *op, int result)
{
	struct child *c = container_of(op, struct child, notify_op);

	c->notify_busy = false;
	if (result == (int)sizeof(c->notify)) {
		c->notify.text[LINK_TEXT_MAX - 1] = 0;
		c->notify.register_count = MIN(c->notify.register_count, LINK_REGISTERS_MAX);
		c->notifications++;
		c->notified(c, &c->notify);
	} else if (result > 0) {
		log_at(LOG_WARN, "a notification of %d bytes ignored", result);
	}
	if (result > 0)
		notify_read(c);
	else
		maybe_ended(c);
}

static void on_exit_ready(struct op *op, int result)
{
	struct child *c = container_of(op, struct child, pid_op);

	if (result < 0 || waitpid(c->pid, &c->status, 0) != c->pid)
		log_err(result < 0 ? result : -errno, "waiting for the worker");
	close(c->pid_fd);
	c->pid = 0;
	maybe_ended(c);
}

static void link_ended(void *context, int error)
{
	struct child *c = context;

	/* a worker that no longer answers is of no use: its end is what on_exit_ready() then sees */
	if (c->pid)
		kill(c->pid, SIGKILL);
}

static int spawn(struct child *c, const struct child_fds *fds, const int request[2], const int notify[2])
{
	pid_t pid = fork();

	if (pid < 0)
		return log_err(-errno, "fork");
	if (!pid)
		become_worker(fds, request[1], notify[1]);
	c->pid = pid;
	c->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pid_fd < 0) {
		int r = log_err(-errno, "pidfd");

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		c->pid = 0;
		return r;
	}
	return 0;
}

int child_start(struct child *c, const struct child_fds *fds)
{
	int request[2], notify[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, request))
		return log_err(-errno, "worker's request socket");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, notify)) {
		close(request[0]);
		close(request[1]);
		return log_err(-errno, "worker's notification socket");
	}
	int r = spawn(c, fds, request, notify);

	close(request[1]);
	close(notify[1]);
	if (r) {
		close(request[0]);
		close(notify[0]);
		return r;
	}
	c->notify_fd = notify[0];
	c->pid_op.done = on_exit_ready;
	c->notify_op.done = on_notification;
	op_poll(c->exec, &c->pid_op, c->pid_fd, POLLIN);
	notify_read(c);
	c->link = link_create(c->exec, request[0], link_ended, c);
	if (!c->link)
		kill(c->pid, SIGKILL);
	return 0;
}

void child_status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

void child_inspect(void *object, struct inspect *in)
{
	struct child *c = object;

	inspect_s64(in, "pid", c->pid);
	inspect_count(in, "notifications", c->notifications);
	if (c->link)
		inspect_child(in, "link", link_inspect, c->link);
}
