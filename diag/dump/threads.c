#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "diag/dump/dump.h"
#include "lib/log/log.h"

LOG_DOMAIN("dump");

static bool held(const struct dump_threads *t, pid_t tid)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->all[i].tid == tid)
			return true;
	return false;
}

static int read_set(pid_t tid, long set, void *to, size_t len)
{
	struct iovec iov = { to, len };

	return ptrace(PTRACE_GETREGSET, tid, (void *)set, &iov) ? -errno : 0;
}

/* 0; 1: it ended meanwhile, which is no error of ours */
static int hold(struct dump_threads *t, pid_t tid)
{
	struct dump_thread *to = &t->all[t->count];
	int status, r;

	if (t->count == DUMP_THREADS_MAX)
		return log_err(-E2BIG, "more than %u threads", DUMP_THREADS_MAX);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return errno == ESRCH ? 1 : log_err(-errno, "thread %d", (int)tid);
	/* listed at once: from here on it has to be let go */
	*to = (struct dump_thread){ .tid = tid };
	t->count++;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) || waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		return log_err(-ESRCH, "thread %d cannot be stopped", (int)tid);
	r = read_set(tid, NT_PRSTATUS, &to->registers, sizeof(to->registers));
	if (!r)
		r = read_set(tid, NT_PRFPREG, &to->fp, sizeof(to->fp));
	return r ? log_err(r, "registers of thread %d", (int)tid) : 0;
}

/* one look at the list; *ret_new: there were threads that an earlier look had not seen */
static int hold_listed(pid_t pid, struct dump_threads *t, bool *ret_new)
{
	char path[40];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);

	if (!dir)
		return log_err(-errno, "%s", path);
	*ret_new = false;
	for (struct dirent *e; r >= 0 && (e = readdir(dir));) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);

		if (tid <= 0 || held(t, tid))
			continue;
		*ret_new = true;
		r = hold(t, tid);
	}
	closedir(dir);
	return MIN(r, 0);
}

int threads_hold(pid_t pid, struct dump_threads *ret)
{
	bool new = true;
	int r = 0;

	ret->count = 0;
	/* a thread that ran while we held others may have made another */
	for (int looks = 0; !r && new && looks < 10; looks++)
		r = hold_listed(pid, ret, &new);
	if (r)
		threads_release(ret);
	return r;
}

/* they run on; whoever dumps and dies lets them go too (PTRACE_SEIZE without EXITKILL) */
void threads_release(const struct dump_threads *t)
{
	for (unsigned i = 0; i < t->count; i++)
		ptrace(PTRACE_DETACH, t->all[i].tid, NULL, NULL);
}
