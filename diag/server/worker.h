/*
 * The worker as the control process's child: its launch with the descriptors of vmm/worker/link.h, its notifications, its
 * end. Belongs to the control process's executor.
 */
#pragma once

#include "diag/server/link.h"

struct child {
	struct exec *exec;
	struct link *link;       /* NULL before the launch and after its end */
	pid_t pid;               /* 0: not running */
	int pid_fd, notify_fd;
	struct op pid_op, notify_op;
	struct iovec notify_iov;
	struct link_notify notify;
	bool notify_busy;
	u64 notifications;
	int status;              /* of wait(2), after the end */
	void (*notified)(struct child *, const struct link_notify *);
	/* once; status is set and all notifications have come */
	void (*ended)(struct child *);
};

struct child_fds {
	int vtl, low, hvcall, settings; /* stay the caller's */
	int gdb;                        /* likewise; -1: nobody is to debug VTL0 */
	int devices;                    /* likewise; -1: no device is played by another process */
};

/*
 * Runs "/proc/self/exe worker". exec, notified and ended must be set, the rest zero. -errno, said; then nothing runs.
 */
int child_start(struct child *child, const struct child_fds *fds) __must_check;
/* "exit status 1", "signal 11 (Segmentation fault)" */
void child_status_text(int status, char *out, size_t size);
void child_inspect(void *child, struct inspect *in);
