#include "vmm/device_worker/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"

LOG_DOMAIN("device");

#define FIRST_SAFE_FD 16
#define NICE (-10)

void device_answers_soon(void)
{
	setpriority(PRIO_PROCESS, 0, NICE); /* a kernel that will not leaves it slower, no more */
}

/* in the child. What it was given may have the numbers that it is to get, so all move up first. */
static _Noreturn void become(const struct device_process_config *c, const struct device_ends *ends, pid_t parent)
{
	const struct { int from, to; } map[] = {
		{ ends->events, DEVICE_FD_EVENTS }, { ends->commands, DEVICE_FD_COMMANDS }, { ends->parent, DEVICE_FD_PARENT },
	};
	int high[ARRAY_SIZE(map)];
	char name[32];
	char *argv[] = { name, NULL }, *environment[] = { NULL };
	sigset_t none;

	snprintf(name, sizeof(name), "%s", c->name);
	/* nothing outlives who started it; a parent that is gone already sends no signal */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(125);
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		high[i] = fcntl(map[i].from, F_DUPFD_CLOEXEC, FIRST_SAFE_FD);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		_exit(126);
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (high[i] < 0 || dup2(high[i], map[i].to) < 0)
			_exit(126);
	syscall(SYS_close_range, DEVICE_FD_PARENT + 1, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	device_answers_soon();
	execve(c->program ? c->program : "/proc/self/exe", argv, environment);
	_exit(127);
}

static void status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

static void has_ended(struct op *op, int result)
{
	struct device_process *p = container_of(op, struct device_process, pid_op);
	u64 now = exec_now_ns(p->config.exec), at;
	char text[80];

	if (waitpid(p->pid, &p->status, 0) != p->pid)
		log_err(-errno, "%s: waiting for it", p->config.name);
	fd_close(&p->pid_fd);
	p->pid = 0;
	if (p->config.ended)
		p->config.ended(p->config.context);
	if (!p->wanted)
		return;
	status_text(p->status, text, sizeof(text));
	if (restart_died(&p->restart, now, &at)) {
		log_at(LOG_WARN, "%s ended: %s; it is started again in %lu s", p->config.name, text, (at - now) / 1000000000);
		timer_arm(p->config.exec, &p->again, at);
		return;
	}
	p->wanted = false;
	log_at(LOG_ERROR, "%s ended: %s; after %u ends in a row it is not started any more", p->config.name, text,
	       p->restart.row);
	p->config.given_up(p->config.context);
}

static int spawn(struct device_process *p, const struct device_ends *ends)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return log_err(-errno, "%s: fork", p->config.name);
	if (!pid)
		become(&p->config, ends, parent);
	p->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->pid_fd < 0) {
		int r = log_err(-errno, "%s: pidfd", p->config.name);

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	p->pid = pid;
	return 0;
}

static void close_ends(struct device_ends *ends)
{
	fd_close(&ends->events);
	fd_close(&ends->commands);
	fd_close(&ends->parent);
}

static int make_pair(int type, int *ret_ours, int *ret_theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair))
		return -errno;
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

static int launch(struct device_process *p)
{
	struct device_ends ours = { -1, -1, -1 }, theirs = { -1, -1, -1 };
	int r = make_pair(SOCK_SEQPACKET, &ours.events, &theirs.events);

	if (!r)
		r = make_pair(SOCK_SEQPACKET, &ours.commands, &theirs.commands);
	if (!r)
		r = make_pair(SOCK_STREAM, &ours.parent, &theirs.parent);
	r = r ? log_err(r, "%s: sockets", p->config.name) : spawn(p, &theirs);
	close_ends(&theirs);
	if (r) {
		close_ends(&ours);
		return r;
	}
	restart_started(&p->restart, exec_now_ns(p->config.exec));
	op_poll(p->config.exec, &p->pid_op, p->pid_fd, POLLIN);
	r = p->config.started(p->config.context, &ours);
	if (r)
		device_process_kill(p);
	return r;
}

static void start_again(struct timer *timer)
{
	struct device_process *p = container_of(timer, struct device_process, again);

	if (!p->wanted || p->pid || !launch(p))
		return;
	if (p->pid)
		return; /* it was killed: its end is what decides */
	p->wanted = false;
	p->config.given_up(p->config.context);
}

void device_process_init(struct device_process *p, const struct device_process_config *config)
{
	*p = (struct device_process){ .config = *config, .pid_fd = -1, .pid_op.done = has_ended, .again.fire = start_again };
}

int device_process_start(struct device_process *p)
{
	if (p->pid || p->wanted)
		return -EBUSY;
	p->restart = (struct restart){ .deaths = p->restart.deaths };
	p->wanted = true;
	int r = launch(p);

	if (r)
		p->wanted = false;
	return r;
}

void device_process_kill(struct device_process *p)
{
	if (p->pid)
		kill(p->pid, SIGKILL);
}

void device_process_end(struct device_process *p)
{
	p->wanted = false;
	timer_disarm(p->config.exec, &p->again);
	device_process_kill(p);
}

void device_process_inspect(void *object, struct inspect *in)
{
	struct device_process *p = object;
	char text[80] = "";

	inspect_s64(in, "pid", p->pid);
	inspect_bool(in, "wanted", p->wanted);
	inspect_count(in, "deaths", p->restart.deaths);
	inspect_u64(in, "deaths_in_a_row", p->restart.row);
	if (p->restart.deaths)
		status_text(p->status, text, sizeof(text));
	inspect_str(in, "last_end", text);
}
