#include "lib/task/exec.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "lib/log/log.h"
#include "lib/task/exec_impl.h"

LOG_DOMAIN("exec");

enum { TASK_WOKEN = 1, TASK_STOPPED = 2 };

void exec_setup(struct exec *exec, const struct exec_impl *impl, const char *name, int cpu)
{
	exec->impl = impl;
	exec->cpu = cpu;
	snprintf(exec->name, sizeof(exec->name), "%s", name);
}

const char *exec_name(const struct exec *exec)
{
	return exec->name;
}

u64 exec_now_ns(struct exec *exec)
{
	return exec->impl->now_ns(exec);
}

void exec_set_idle(struct exec *exec, struct idle *idle)
{
	exec->idle = idle;
}

static void notify(struct exec *exec)
{
	if (!wake_notify(&exec->wake))
		return;
	atomic_fetch_add_explicit(&exec->kicks, 1, memory_order_relaxed);
	exec->impl->kick(exec);
	if (exec->idle && exec->idle->kick)
		exec->idle->kick(exec->idle);
}

void exec_stop(struct exec *exec)
{
	atomic_store(&exec->stopping, true);
	notify(exec);
}

void exec_destroy(struct exec *exec)
{
	if (exec)
		exec->impl->destroy(exec);
}

void exec_post(struct exec *exec, struct op *op, void (*fn)(struct op *, int), int arg)
{
	struct op *head = atomic_load_explicit(&exec->posts, memory_order_relaxed);

	op->done = fn;
	op->arg = arg;
	do {
		op->next = head;
	} while (!atomic_compare_exchange_weak(&exec->posts, &head, op));
	notify(exec);
}

void task_init(struct task *task, struct exec *home, const char *name, void (*run)(struct task *))
{
	*task = (struct task){ .name = name, .run = run, .home = home };
}

void task_wake(struct task *task)
{
	struct exec *exec = task->home;

	if (atomic_fetch_or(&task->state, TASK_WOKEN) & (TASK_WOKEN | TASK_STOPPED))
		return;
	struct task *head = atomic_load_explicit(&exec->woken, memory_order_relaxed);

	do {
		task->next_woken = head;
	} while (!atomic_compare_exchange_weak(&exec->woken, &head, task));
	notify(exec);
}

/*
 * The task may sit in the woken list: its stop is told by a post, which runs after this turn's tasks were taken. Runs on the
 * task's own executor, so run() cannot be under way except below us, and then it has returned before posts run.
 */
void task_stop(struct task *task, struct op *stopped)
{
	atomic_fetch_or(&task->state, TASK_STOPPED);
	exec_post(task->home, stopped, stopped->done, 0);
}

void op_readv(struct exec *exec, struct op *op, int fd, const struct iovec *iov, unsigned n, u64 off)
{
	exec->impl->rw(exec, op, false, fd, iov, n, off);
}

void op_writev(struct exec *exec, struct op *op, int fd, const struct iovec *iov, unsigned n, u64 off)
{
	exec->impl->rw(exec, op, true, fd, iov, n, off);
}

void op_fdatasync(struct exec *exec, struct op *op, int fd)
{
	exec->impl->fdatasync(exec, op, fd);
}

void op_fallocate(struct exec *exec, struct op *op, int fd, int mode, u64 off, u64 len)
{
	exec->impl->fallocate(exec, op, fd, mode, off, len);
}

void op_event(struct exec *exec, struct op *op, int fd)
{
	exec->impl->event(exec, op, fd);
}

void op_poll(struct exec *exec, struct op *op, int fd, short events)
{
	exec->impl->poll(exec, op, fd, events);
}

void op_cancel(struct exec *exec, struct op *op)
{
	exec->impl->cancel(exec, op);
}

void timer_arm(struct exec *exec, struct timer *timer, u64 deadline_ns)
{
	timers_arm(&exec->timers, timer, deadline_ns);
}

void timer_disarm(struct exec *exec, struct timer *timer)
{
	timers_disarm(&exec->timers, timer);
}

static unsigned run_posts(struct exec *exec)
{
	struct op *newest = atomic_exchange(&exec->posts, NULL), *oldest = NULL;
	unsigned count = 0;

	while (newest) {
		struct op *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct op *op = oldest;

		oldest = op->next;
		op->done(op, op->arg);
		count++;
	}
	exec->stats.posts_run += count;
	return count;
}

static unsigned run_tasks(struct exec *exec)
{
	struct task *newest = atomic_exchange(&exec->woken, NULL), *oldest = NULL;
	unsigned count = 0;

	while (newest) {
		struct task *next = newest->next_woken;

		newest->next_woken = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct task *task = oldest;

		oldest = task->next_woken;
		/* clear before running: a wake from inside run() or from outside during it queues the task again */
		if (atomic_fetch_and(&task->state, ~(unsigned)TASK_WOKEN) & TASK_STOPPED)
			continue;
		task->runs++;
		task->run(task);
		count++;
	}
	exec->stats.tasks_run += count;
	return count;
}

static unsigned run_timers(struct exec *exec)
{
	u64 now = exec->timers.count ? exec->impl->now_ns(exec) : 0;
	struct timer *timer;
	unsigned count = 0;

	while (exec->timers.count && (timer = timers_due(&exec->timers, now))) {
		timer->fire(timer);
		count++;
	}
	exec->stats.timers_fired += count;
	return count;
}

bool exec_turn(struct exec *exec)
{
	unsigned ops = exec->impl->reap(exec);

	exec->stats.ops_done += ops;
	exec->stats.turns++;
	return (ops + run_tasks(exec) + run_posts(exec) + run_timers(exec)) != 0;
}

bool exec_pending(struct exec *exec)
{
	return atomic_load(&exec->posts) || atomic_load(&exec->woken) || atomic_load(&exec->stopping) ||
	       exec->impl->ready(exec) ||
	       (exec->timers.count && timers_next(&exec->timers) <= exec->impl->now_ns(exec));
}

static int idle_once(struct exec *exec)
{
	u64 deadline = timers_next(&exec->timers);
	int r = 0;

	if (exec->idle)
		r = exec->impl->arm(exec, deadline);
	wake_prepare(&exec->wake);
	if (!r && !exec_pending(exec)) {
		exec->stats.idle_waits++;
		r = exec->idle ? exec->idle->wait(exec->idle) : exec->impl->wait(exec, deadline);
	}
	wake_done(&exec->wake);
	return r;
}

static int pin(struct exec *exec)
{
	cpu_set_t set;

	if (exec->cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET(exec->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return log_err(-errno, "%s: pin to CPU %d", exec->name, exec->cpu);
	return 0;
}

int exec_run(struct exec *exec)
{
	int r = pin(exec);

	if (!r)
		r = exec->impl->begin(exec);
	while (!r && !atomic_load(&exec->stopping))
		if (!exec_turn(exec))
			r = idle_once(exec);
	atomic_store(&exec->stopping, false);
	return r;
}

void exec_get_stats(struct exec *exec, struct exec_stats *ret)
{
	*ret = exec->stats;
	ret->kicks = atomic_load(&exec->kicks);
}
