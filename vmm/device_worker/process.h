/*
 * A device's process as somebody's child: its launch with three socket pairs, its end, and its next launch when it was not to
 * end. Belongs to an executor; the child is /proc/self/exe (or another program) under a name, with fd 3 events, fd 4 commands,
 * fd 5 a stream to whoever started it (keep.h; what else it may be used for is the device's), standard error, and nothing else:
 * no environment either.
 */
#pragma once

#include <sys/types.h>

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"
#include "vmm/device_worker/restart.h"

#define DEVICE_FD_EVENTS 3
#define DEVICE_FD_COMMANDS 4
#define DEVICE_FD_PARENT 5

/* this side's ends of what a process was born with */
struct device_ends {
	int events, commands, parent;
};

struct device_process_config {
	const char *program; /* NULL: /proc/self/exe */
	const char *name;    /* its argv[0] */
	struct exec *exec;
	/* it runs; the ends are the callee's: 0, or -errno and they are closed and the process ended */
	int (*started)(void *context, const struct device_ends *ends);
	/* it ended, whoever wanted it; or NULL. Before it is started again. */
	void (*ended)(void *context);
	/* it died too often; device_process_start() may try again */
	void (*given_up)(void *context);
	void *context;
};

/* the caller's memory; zero before device_process_init() */
struct device_process {
	struct device_process_config config;
	pid_t pid;           /* 0: does not run */
	int pid_fd, status;  /* status: of wait(2), of the last one that ended */
	bool wanted;
	struct op pid_op;
	struct timer again;
	struct restart restart;
};

/*
 * For the calling thread, and what it starts: nine tenths of a processor that it shares with a VP's thread, which never sleeps
 * while VTL0 runs on it. A guest that polls for its device's answer would take half of the time from it otherwise, and Linux
 * gives a TPM's self-test two seconds. Not a real-time thread: a device that computes for ever must not stop a VP.
 */
void device_answers_soon(void);

void device_process_init(struct device_process *p, const struct device_process_config *config);
/* -errno, said: then nothing runs and nothing will. -EBUSY: it runs. */
int device_process_start(struct device_process *p) __must_check;
/* it does not answer, or makes no sense (device_proxy's lost()): it is killed, and started again as restart.h says */
void device_process_kill(struct device_process *p);
/* killed for good; its memory is the caller's when it has ended (pid 0), which takes a turn of the executor */
void device_process_end(struct device_process *p);
void device_process_inspect(void *p, struct inspect *in);
