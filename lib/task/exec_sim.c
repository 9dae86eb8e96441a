#include "lib/task/exec_sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/check.h"
#include "lib/task/exec_impl.h"

#define SIM_EXECS 16
#define SIM_OPS 256
#define SIM_DELAY_MAX_NS 100000u

enum sim_op_kind { SIM_READ, SIM_WRITE, SIM_POLL, SIM_FDATASYNC, SIM_FALLOCATE, SIM_EVENT };

struct sim_op {
	struct op *op;
	enum sim_op_kind kind;
	int fd;
	const struct iovec *iov;
	unsigned n;
	u64 off, len, due_ns;
	int mode;
	short events;
	bool cancelled;
};

struct sim_exec {
	struct exec exec;
	struct sim *sim;
	struct sim_op ops[SIM_OPS];
	unsigned op_count;
};

struct sim {
	u64 now_ns, random;
	struct sim_exec *execs[SIM_EXECS];
	unsigned count;
};

static struct sim_exec *of(struct exec *exec)
{
	return container_of(exec, struct sim_exec, exec);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
u64 sim_random(struct sim *sim)
{
	u64 z = sim->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

u64 sim_now_ns(struct sim *sim)
{
	return sim->now_ns;
}

static u64 now(struct exec *exec)
{
	return of(exec)->sim->now_ns;
}

static bool due(struct sim_exec *e, struct sim_op *o)
{
	struct pollfd p = { .fd = o->fd, .events = o->events };

	if (o->cancelled)
		return true;
	if (o->due_ns > e->sim->now_ns)
		return false;
	if (o->kind == SIM_FDATASYNC || o->kind == SIM_FALLOCATE)
		return true;
	return poll(&p, 1, 0) > 0;
}

static int perform(struct sim_op *o)
{
	struct pollfd p = { .fd = o->fd, .events = o->events };
	ssize_t r;

	if (o->cancelled)
		return -ECANCELED;
	if (o->kind == SIM_POLL)
		return poll(&p, 1, 0) > 0 ? p.revents : -EAGAIN;
	if (o->kind == SIM_EVENT)
		return read(o->fd, &(u64){ 0 }, 8) == 8 ? 1 : -errno;
	if (o->kind == SIM_FDATASYNC)
		r = fdatasync(o->fd);
	else if (o->kind == SIM_FALLOCATE)
		r = fallocate(o->fd, o->mode, (off_t)o->off, (off_t)o->len);
	else if (o->kind == SIM_READ)
		r = o->off == ~0ull ? readv(o->fd, o->iov, (int)o->n) : preadv(o->fd, o->iov, (int)o->n, (off_t)o->off);
	else
		r = o->off == ~0ull ? writev(o->fd, o->iov, (int)o->n) : pwritev(o->fd, o->iov, (int)o->n, (off_t)o->off);
	return r < 0 ? -errno : (int)r;
}

static bool ready(struct exec *exec)
{
	struct sim_exec *e = of(exec);

	for (unsigned i = 0; i < e->op_count; i++)
		if (due(e, &e->ops[i]))
			return true;
	return false;
}

static unsigned reap(struct exec *exec)
{
	struct sim_exec *e = of(exec);
	unsigned count = 0;

	for (unsigned i = 0; i < e->op_count;) {
		if (!due(e, &e->ops[i])) {
			i++;
			continue;
		}
		struct sim_op o = e->ops[i];
		int result = perform(&o);

		e->ops[i] = e->ops[--e->op_count];
		if (o.kind == SIM_EVENT && result > 0)
			e->ops[e->op_count++] = o; /* it stays */
		o.op->done(o.op, result);
		count++;
	}
	return count;
}

static void add(struct exec *exec, struct sim_op o)
{
	struct sim_exec *e = of(exec);

	CHECK(e->op_count < SIM_OPS);
	o.due_ns = e->sim->now_ns + sim_random(e->sim) % SIM_DELAY_MAX_NS;
	e->ops[e->op_count++] = o;
}

static void rw(struct exec *exec, struct op *op, bool write, int fd, const struct iovec *iov, unsigned n, u64 off)
{
	add(exec, (struct sim_op){ .op = op, .kind = write ? SIM_WRITE : SIM_READ, .fd = fd, .iov = iov, .n = n,
				   .off = off, .events = write ? POLLOUT : POLLIN });
}

static void fdatasync_op(struct exec *exec, struct op *op, int fd)
{
	add(exec, (struct sim_op){ .op = op, .kind = SIM_FDATASYNC, .fd = fd });
}

static void fallocate_op(struct exec *exec, struct op *op, int fd, int mode, u64 off, u64 len)
{
	add(exec, (struct sim_op){ .op = op, .kind = SIM_FALLOCATE, .fd = fd, .mode = mode, .off = off, .len = len });
}

static void poll_op(struct exec *exec, struct op *op, int fd, short events)
{
	add(exec, (struct sim_op){ .op = op, .kind = SIM_POLL, .fd = fd, .events = events });
}

static void event_op(struct exec *exec, struct op *op, int fd)
{
	add(exec, (struct sim_op){ .op = op, .kind = SIM_EVENT, .fd = fd, .events = POLLIN });
}

static void cancel(struct exec *exec, struct op *op)
{
	struct sim_exec *e = of(exec);

	for (unsigned i = 0; i < e->op_count; i++)
		if (e->ops[i].op == op)
			e->ops[i].cancelled = true;
}

static int wait_never(struct exec *exec, u64 deadline_ns)
{
	return -EDEADLK; /* exec_run() is not for simulation: sim_run() turns the executors */
}

static int arm(struct exec *exec, u64 deadline_ns)
{
	return 0;
}

static void kick(struct exec *exec)
{
}

static int begin(struct exec *exec)
{
	return -ENOTSUP;
}

static void destroy(struct exec *exec)
{
	/* sim_destroy() frees it */
}

static const struct exec_impl impl = {
	.now_ns = now, .reap = reap, .ready = ready, .wait = wait_never, .arm = arm, .kick = kick, .rw = rw,
	.fdatasync = fdatasync_op, .fallocate = fallocate_op, .poll = poll_op, .event = event_op, .cancel = cancel, .begin =
		begin,
	.destroy = destroy,
};

struct sim *sim_create(u64 seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (sim)
		*sim = (struct sim){ .random = seed, .now_ns = 1000000000 };
	return sim;
}

void sim_destroy(struct sim *sim)
{
	for (unsigned i = 0; sim && i < sim->count; i++)
		free(sim->execs[i]);
	free(sim);
}

struct exec *sim_exec(struct sim *sim, const char *name)
{
	struct sim_exec *e = sim->count < SIM_EXECS ? calloc(1, sizeof(*e)) : NULL;

	if (!e)
		return NULL;
	exec_setup(&e->exec, &impl, name, -1);
	e->sim = sim;
	sim->execs[sim->count++] = e;
	return &e->exec;
}

static bool turn_all(struct sim *sim)
{
	unsigned first = (unsigned)(sim_random(sim) % sim->count);
	bool ran = false;

	for (unsigned i = 0; i < sim->count; i++) {
		struct exec *exec = &sim->execs[(first + i) % sim->count]->exec;

		ran |= exec_turn(exec);
		/* idle work (a VP) gets its turn when nothing else has any */
		if (!ran && exec->idle && exec->idle->wait(exec->idle) > 0) /* > 0: it did something */
			ran = true;
	}
	return ran;
}

/* the next moment at which something is due; ~0: never */
static u64 next_event(struct sim *sim)
{
	u64 next = ~0ull;

	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_exec *e = sim->execs[i];

		next = MIN(next, timers_next(&e->exec.timers));
		for (unsigned k = 0; k < e->op_count; k++)
			if (e->ops[k].due_ns > sim->now_ns)
				next = MIN(next, e->ops[k].due_ns);
	}
	return next;
}

bool sim_run(struct sim *sim, u64 until_ns)
{
	while (sim->count) {
		if (turn_all(sim))
			continue;
		u64 next = next_event(sim);

		if (next == ~0ull)
			return true;
		if (next > until_ns) {
			sim->now_ns = MAX(sim->now_ns, until_ns);
			return false;
		}
		sim->now_ns = next;
	}
	return true;
}
