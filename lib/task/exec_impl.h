/* Shared by exec.c and the two implementations; nobody else includes it. */
#pragma once

#include "lib/task/timers.h"
#include "lib/task/wake.h"

struct exec_impl {
	u64 (*now_ns)(struct exec *);
	/* completions that are there: run their done(); returns how many */
	unsigned (*reap)(struct exec *);
	bool (*ready)(struct exec *);                        /* would reap() find one? */
	int (*wait)(struct exec *, u64 deadline_ns);         /* without an idle hook */
	int (*arm)(struct exec *, u64 deadline_ns);          /* an idle hook will wait: have a completion by then */
	void (*kick)(struct exec *);                         /* any thread; must stick, see wake.h */
	void (*rw)(struct exec *, struct op *, bool write, int fd, const struct iovec *, unsigned n, u64 off);
	void (*fdatasync)(struct exec *, struct op *, int fd);
	void (*fallocate)(struct exec *, struct op *, int fd, int mode, u64 off, u64 len);
	void (*poll)(struct exec *, struct op *, int fd, short events);
	void (*event)(struct exec *, struct op *, int fd);
	void (*cancel)(struct exec *, struct op *);
	int (*begin)(struct exec *);                         /* on the thread that will run it */
	void (*destroy)(struct exec *);
};

struct exec {
	const struct exec_impl *impl;
	char name[32];
	int cpu;
	struct idle *idle;
	struct timers timers;
	struct wake wake;
	_Atomic(struct op *) posts;
	_Atomic(struct task *) woken;
	atomic_bool stopping;
	struct exec_stats stats;
	atomic_uint_fast64_t kicks;
};

void exec_setup(struct exec *exec, const struct exec_impl *impl, const char *name, int cpu);
/* one turn: completions, posts, tasks, timers. Returns whether anything ran. */
bool exec_turn(struct exec *exec);
