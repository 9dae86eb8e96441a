/*
 * Executors and tasks. One thread runs one executor; everything below a task is stackless: run() must return.
 * Ownership: an object belongs to one executor, others reach it only by exec_post() or task_wake().
 * Two implementations: exec_create() (io_uring, real time) and sim_exec() (exec_sim.h: virtual time, seeded order).
 * Unless a prototype says "any thread", call it on the executor's own thread, or before exec_run().
 */
#pragma once

#include <stdatomic.h>
#include <sys/uio.h>

#include "lib/core/list.h"
#include "lib/core/types.h"

struct exec;
struct idle;

struct task {
	const char *name;
	void (*run)(struct task *);
	struct exec *home;
	atomic_uint state;
	struct task *next_woken;   /* in the executor's list of woken tasks */
	u64 runs;
};

/* one operation in flight; embed it. It belongs to the executor until done() runs. */
struct op {
	void (*done)(struct op *, int result);
	struct op *next;
	int arg;
	void *impl;                /* private to the implementation */
};

struct timer {
	void (*fire)(struct timer *);
	u64 deadline_ns;
	unsigned slot;             /* place in the heap + 1; 0: not armed */
};

/*
 * What to do when nothing is runnable. wait() returns after something may have become runnable, or after its own work
 * produced some (a VP: after an exit was handled); a negative result ends exec_run(). kick(), from any thread, makes a
 * wait() that is under way or about to start return soon. kick may be NULL: the ring's
 * own kick then has to be enough, as it is with MSHV_SET_POLL_FILE.
 */
struct idle {
	int (*wait)(struct idle *);
	void (*kick)(struct idle *);
};

/* cpu < 0: not pinned. NULL when the ring cannot be made (errno is set and said). */
struct exec *exec_create(const char *name, int cpu) __must_check;
void exec_destroy(struct exec *exec);
/* runs until exec_stop(); 0, or the first fatal -errno. Pins the calling thread. */
int exec_run(struct exec *exec) __must_check;
/* any thread */
void exec_stop(struct exec *exec);
void exec_set_idle(struct exec *exec, struct idle *idle);
/* is there work that must run before an idle wait? What a VP asks after it has armed its run page. */
bool exec_pending(struct exec *exec);
/* the io_uring file, for MSHV_SET_POLL_FILE; -1 in simulation */
int exec_poll_fd(struct exec *exec);
const char *exec_name(const struct exec *exec);
/* monotonic, or virtual in simulation. Any thread. */
u64 exec_now_ns(struct exec *exec);

void task_init(struct task *task, struct exec *home, const char *name, void (*run)(struct task *));
/* any thread; wakes before the next run coalesce */
void task_wake(struct task *task);
/* stopped->done(.., 0) once run() will not be called again; later wakes are ignored */
void task_stop(struct task *task, struct op *stopped);

/* run fn(op, arg) on that executor. Any thread; op is in use until fn runs. */
void exec_post(struct exec *exec, struct op *op, void (*fn)(struct op *, int), int arg);
/* iov and what it points at must live until done. off ~0: the file's own position */
void op_readv(struct exec *exec, struct op *op, int fd, const struct iovec *iov, unsigned n, u64 off);
void op_writev(struct exec *exec, struct op *op, int fd, const struct iovec *iov, unsigned n, u64 off);
/* what was written is on stable storage, as fdatasync() means it */
void op_fdatasync(struct exec *exec, struct op *op, int fd);
/* fallocate() with that mode */
void op_fallocate(struct exec *exec, struct op *op, int fd, int mode, u64 off, u64 len);
/*
 * done(op, 1) each time the eventfd was signalled, once for several signals that come together; a negative result ends it.
 * Nothing is submitted in between: an event costs no system call. Nobody else may read the eventfd.
 * It lasts until op_cancel(), or as long as the executor.
 */
void op_event(struct exec *exec, struct op *op, int fd);
/* one shot; the result is the poll mask that is ready */
void op_poll(struct exec *exec, struct op *op, int fd, short events);
/* done() still comes, with -ECANCELED or the result */
void op_cancel(struct exec *exec, struct op *op);

/* timer is armed at most once; arming again moves it. A deadline in the past fires at the next turn. */
void timer_arm(struct exec *exec, struct timer *timer, u64 deadline_ns);
void timer_disarm(struct exec *exec, struct timer *timer);

/* counters for inspect; read on any thread (monotonic, not exact) */
struct exec_stats {
	u64 turns, tasks_run, posts_run, ops_done, timers_fired, idle_waits, kicks;
	u64 ring_enters; /* system calls made for the ring; each idle wait of a VP is one more, its run ioctl */
};
void exec_get_stats(struct exec *exec, struct exec_stats *ret);
