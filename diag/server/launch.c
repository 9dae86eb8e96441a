#include "diag/server/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/os/cleanup.h"

#define FIRST_SAFE_FD 16

void launch_fini(struct launch *l)
{
	for (unsigned i = 0; i < EXEC_FILES; i++) {
		/* one descriptor may be in two places: the terminal for all three, stdout for stderr */
		for (unsigned k = i + 1; k < EXEC_FILES; k++)
			if (l->child[k] == l->child[i])
				l->child[k] = -1;
		if (l->raw[i] == l->child[i])
			l->raw[i] = -1;
		fd_close(&l->child[i]);
		fd_close(&l->raw[i]);
		fd_close(&l->relay[i].from);
		fd_close(&l->relay[i].to);
	}
}

static int claim(const struct exec_request *q, struct data_port *data, int sockets[EXEC_FILES], const char **ret_what)
{
	static const char *const names[] = { "connection of stdin", "connection of stdout", "connection of stderr" };

	for (unsigned i = 0; i < EXEC_FILES; i++) {
		sockets[i] = q->connections[i] ? data_claim(data, q->connections[i]) : -1;
		if (q->connections[i] && sockets[i] < 0) {
			*ret_what = names[i];
			return sockets[i];
		}
	}
	return 0;
}

static int open_terminal(int *ret_master, int *ret_user)
{
	char name[64];

	*ret_master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_master < 0)
		return -errno;
	if (unlockpt(*ret_master) || ptsname_r(*ret_master, name, sizeof(name)))
		return -errno;
	*ret_user = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return *ret_user < 0 ? -errno : 0;
}

static void relay_between(struct launch *l, unsigned file, int from, int *socket_or_to)
{
	l->relay[file].from = from;
	l->relay[file].to = *socket_or_to;
	*socket_or_to = -1;
}

static int use_terminal(int sockets[EXEC_FILES], struct launch *l)
{
	int master = -1, user = -1, copy, r = open_terminal(&master, &user);

	for (unsigned i = 0; i < EXEC_FILES; i++)
		l->child[i] = user;
	if (!r && sockets[EXEC_STDIN] >= 0) {
		copy = fcntl(master, F_DUPFD_CLOEXEC, 0);
		r = copy < 0 ? -errno : 0;
		if (!r) {
			relay_between(l, EXEC_STDIN, sockets[EXEC_STDIN], &copy);
			sockets[EXEC_STDIN] = -1;
		}
	}
	if (!r && sockets[EXEC_STDOUT] >= 0) {
		relay_between(l, EXEC_STDOUT, master, &sockets[EXEC_STDOUT]);
		master = -1;
	}
	fd_close(&master);
	return r;
}

static int use_sockets(int sockets[EXEC_FILES], struct launch *l)
{
	for (unsigned i = 0; i < EXEC_FILES; i++) {
		int flags = sockets[i] < 0 ? 0 : fcntl(sockets[i], F_GETFL);

		/* a program does not expect EAGAIN from its standard files */
		if (sockets[i] >= 0 && fcntl(sockets[i], F_SETFL, flags & ~O_NONBLOCK))
			return -errno;
		l->child[i] = sockets[i];
		l->raw[i] = i == EXEC_STDIN ? -1 : sockets[i];
		sockets[i] = -1;
	}
	return 0;
}

static int use_pipes(int sockets[EXEC_FILES], struct launch *l)
{
	for (unsigned i = 0; i < EXEC_FILES; i++) {
		int ends[2];

		if (sockets[i] < 0)
			continue;
		if (pipe2(ends, O_CLOEXEC))
			return -errno;
		l->child[i] = ends[i == EXEC_STDIN ? 0 : 1];
		l->relay[i].from = i == EXEC_STDIN ? sockets[i] : ends[0];
		l->relay[i].to = i == EXEC_STDIN ? ends[1] : sockets[i];
		sockets[i] = -1;
	}
	return 0;
}

int launch_prepare(const struct exec_request *q, struct data_port *data, struct launch *ret, const char **ret_what)
{
	struct launch l = { .child = { -1, -1, -1 }, .relay = { { -1, -1 }, { -1, -1 }, { -1, -1 } }, .raw = { -1, -1, -1 } };
	int sockets[EXEC_FILES] = { -1, -1, -1 };
	int r = claim(q, data, sockets, ret_what);

	if (!r) {
		*ret_what = q->tty ? "a terminal" : "pipes";
		r = q->tty ? use_terminal(sockets, &l) : q->raw_socket_io ? use_sockets(sockets, &l) : use_pipes(sockets, &l);
		if (!q->tty && q->combine_stderr && l.child[EXEC_STDERR] < 0)
			l.child[EXEC_STDERR] = l.child[EXEC_STDOUT];
	}
	for (unsigned i = 0; i < EXEC_FILES; i++)
		fd_close(&sockets[i]);
	if (r)
		launch_fini(&l);
	else
		*ret = l;
	return r;
}

/* ---- in the child */
static void set_environment(const struct exec_request *q)
{
	if (q->clear_env)
		clearenv();
	for (unsigned i = 0; i < q->env_count; i++)
		if (q->env[i].value)
			setenv(q->env[i].name, q->env[i].value, 1);
		else
			unsetenv(q->env[i].name);
	/* where the firmware's programs are, also for what they start in turn */
	if (!getenv("PATH"))
		setenv("PATH", "/bin", 1);
}

static int set_files(const struct exec_request *q, const struct launch *l)
{
	int high[EXEC_FILES];

	for (int i = 0; i < EXEC_FILES; i++) {
		high[i] = l->child[i] < 0 ? -1 : fcntl(l->child[i], F_DUPFD_CLOEXEC, FIRST_SAFE_FD);
		if (l->child[i] >= 0 && high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < EXEC_FILES; i++)
		if (high[i] >= 0 && dup2(high[i], i) < 0)
			return -errno;
	if (q->tty && (setsid() < 0 || ioctl(0, TIOCSCTTY, 0)))
		return -errno;
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int n = 1; n < NSIG; n++)
		signal(n, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct exec_request *q, const struct launch *l, int report)
{
	int r = set_files(q, l);

	reset_signals();
	if (!r) {
		set_environment(q);
		execvp(q->argv[0], q->argv);
		r = -errno;
	}
	/* nothing else can be done with a failure of this */
	if (write(report, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(126);
	_exit(127);
}

pid_t launch_start(const struct exec_request *q, const struct launch *l)
{
	int report[2], error;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	pid_t pid = fork();

	if (!pid)
		become(q, l, report[1]);
	error = pid < 0 ? -errno : 0;
	close(report[1]);
	/* ends as soon as the program runs: the pipe closes on exec */
	if (pid > 0 && read(report[0], &error, sizeof(error)) == (ssize_t)sizeof(error))
		waitpid(pid, NULL, 0);
	close(report[0]);
	return error ? error : pid;
}
