#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/file.h"
#include "lib/task/exec_impl.h"

LOG_DOMAIN("exec");

#define RING_ENTRIES 256
#define EVENT_TAG 1u

struct uring_exec {
	struct exec exec;
	struct io_uring ring;
	int event_fd;
	struct op event_op, timeout_op, ignored_op;
	struct __kernel_timespec timeout;
	u64 armed_ns;    /* deadline the timeout in the ring has; ~0: none is in it */
	bool began;
	u64 overflow;    /* submissions that had to be flushed early */
};

static struct uring_exec *of(struct exec *exec)
{
	return container_of(exec, struct uring_exec, exec);
}

static u64 uring_now(struct exec *exec)
{
	return now_ns();
}

static int submit(struct uring_exec *u)
{
	u->exec.stats.ring_enters++;
	return io_uring_submit(&u->ring);
}

/* a free submission entry; flushes the queue when it is full */
static struct io_uring_sqe *next_sqe(struct uring_exec *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	while (!sqe) {
		u->overflow++;
		submit(u);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

/* a poll that stays: each signal of an eventfd wakes it,
	although nobody reads the counter down. The tag tells its completions. */
static void uring_event(struct exec *exec, struct op *op, int fd)
{
	struct io_uring_sqe *sqe = next_sqe(of(exec));

	op->arg = fd;
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, (u64)(uintptr_t)op | EVENT_TAG);
}

static void event_completed(struct exec *exec, struct op *op, const struct io_uring_cqe *cqe)
{
	int result = cqe->res < 0 ? cqe->res : 1;

	/* the kernel ends it when the completion ring was full */
	if (result > 0 && !(cqe->flags & IORING_CQE_F_MORE))
		uring_event(exec, op, op->arg);
	op->done(op, result);
}

/* that it came is enough */
static void event_done(struct op *op, int result)
{
}

static void timeout_done(struct op *op, int result)
{
	container_of(op, struct uring_exec, timeout_op)->armed_ns = ~0ull;
}

static void ignored_done(struct op *op, int result)
{
}

static int uring_begin(struct exec *exec)
{
	struct uring_exec *u = of(exec);

	if (!u->began)
		uring_event(exec, &u->event_op, u->event_fd);
	u->began = true;
	return 0;
}

static bool uring_ready(struct exec *exec)
{
	struct uring_exec *u = of(exec);

	return io_uring_cq_ready(&u->ring) || io_uring_sq_ready(&u->ring);
}

static unsigned uring_reap(struct exec *exec)
{
	struct uring_exec *u = of(exec);
	struct io_uring_cqe *cqe, c;
	unsigned count = 0;

	if (io_uring_sq_ready(&u->ring))
		submit(u);
	while (count < RING_ENTRIES && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		c = (struct io_uring_cqe){ .user_data = cqe->user_data, .res = cqe->res, .flags = cqe->flags };
		io_uring_cqe_seen(&u->ring, cqe);
		struct op *op = (struct op *)(uintptr_t)(c.user_data & ~(u64)EVENT_TAG);

		if (c.user_data & EVENT_TAG)
			event_completed(exec, op, &c);
		else
			op->done(op, c.res);
		count++;
	}
	return count;
}

/* the ring must complete something by the deadline: one timeout in it, moved only to come earlier */
static int uring_arm(struct exec *exec, u64 deadline_ns)
{
	struct uring_exec *u = of(exec);
	struct io_uring_sqe *sqe;

	if (deadline_ns < u->armed_ns) {
		u->timeout.tv_sec = (s64)(deadline_ns / 1000000000u);
		u->timeout.tv_nsec = (s64)(deadline_ns % 1000000000u);
		sqe = next_sqe(u);
		if (u->armed_ns == ~0ull) {
			io_uring_prep_timeout(sqe, &u->timeout, 0, IORING_TIMEOUT_ABS);
			io_uring_sqe_set_data(sqe, &u->timeout_op);
		} else {
			io_uring_prep_timeout_update(sqe, &u->timeout, (__u64)(uintptr_t)&u->timeout_op,
						     IORING_TIMEOUT_ABS);
			io_uring_sqe_set_data(sqe, &u->ignored_op);
		}
		u->armed_ns = deadline_ns;
	}
	if (io_uring_sq_ready(&u->ring)) {
		int r = submit(u);

		if (r < 0 && r != -EBUSY && r != -EAGAIN && r != -EINTR)
			return log_err(r, "%s: submit", exec->name);
	}
	return 0;
}

static int uring_wait(struct exec *exec, u64 deadline_ns)
{
	struct uring_exec *u = of(exec);
	int r = uring_arm(exec, deadline_ns);

	if (!r) {
		exec->stats.ring_enters++;
		r = io_uring_submit_and_wait(&u->ring, 1);
	}
	return r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY ? log_err(r, "%s: wait", exec->name) : 0;
}

static void uring_kick(struct exec *exec)
{
	u64 one = 1;

	/* fails only when the counter is full, and then a wake is under way anyhow */
	if (write(of(exec)->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void uring_rw(struct exec *exec, struct op *op, bool write, int fd, const struct iovec *iov, unsigned n, u64 off)
{
	struct io_uring_sqe *sqe = next_sqe(of(exec));

	if (write)
		io_uring_prep_writev(sqe, fd, iov, n, off);
	else
		io_uring_prep_readv(sqe, fd, iov, n, off);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_fdatasync(struct exec *exec, struct op *op, int fd)
{
	struct io_uring_sqe *sqe = next_sqe(of(exec));

	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_fallocate(struct exec *exec, struct op *op, int fd, int mode, u64 off, u64 len)
{
	struct io_uring_sqe *sqe = next_sqe(of(exec));

	io_uring_prep_fallocate(sqe, fd, mode, (off_t)off, (off_t)len);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_poll(struct exec *exec, struct op *op, int fd, short events)
{
	struct io_uring_sqe *sqe = next_sqe(of(exec));

	io_uring_prep_poll_add(sqe, fd, (unsigned)events);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_cancel(struct exec *exec, struct op *op)
{
	struct uring_exec *u = of(exec);

	/* by either name; what is not found is no harm */
	for (u64 tag = 0; tag <= EVENT_TAG; tag++) {
		struct io_uring_sqe *sqe = next_sqe(u);

		io_uring_prep_cancel64(sqe, (u64)(uintptr_t)op | tag, 0);
		io_uring_sqe_set_data(sqe, &u->ignored_op);
	}
}

static void uring_destroy(struct exec *exec)
{
	struct uring_exec *u = of(exec);

	io_uring_queue_exit(&u->ring);
	close(u->event_fd);
	free(u);
}

static const struct exec_impl impl = {
	.now_ns = uring_now, .reap = uring_reap, .ready = uring_ready, .wait = uring_wait, .arm = uring_arm,
	.kick = uring_kick, .rw = uring_rw, .fdatasync = uring_fdatasync, .fallocate = uring_fallocate, .poll = uring_poll,
	.event = uring_event, .cancel = uring_cancel, .begin = uring_begin, .destroy = uring_destroy,
};

int exec_poll_fd(struct exec *exec)
{
	return exec->impl == &impl ? of(exec)->ring.ring_fd : -1;
}

struct exec *exec_create(const char *name, int cpu)
{
	struct uring_exec *u = calloc(1, sizeof(*u));
	int r;

	if (!u) {
		log_err(-ENOMEM, "%s: executor", name);
		return NULL;
	}
	exec_setup(&u->exec, &impl, name, cpu);
	u->armed_ns = ~0ull;
	u->event_op.done = event_done;
	u->timeout_op.done = timeout_done;
	u->ignored_op.done = ignored_done;
	r = io_uring_queue_init(RING_ENTRIES, &u->ring, 0);
	if (r) {
		log_err(r, "%s: io_uring", name);
		goto no_ring;
	}
	u->event_fd = eventfd(0, EFD_CLOEXEC);
	if (u->event_fd < 0) {
		r = log_err(-errno, "%s: eventfd", name);
		goto no_event;
	}
	return &u->exec;
no_event:
	io_uring_queue_exit(&u->ring);
no_ring:
	free(u);
	errno = -r;
	return NULL;
}
