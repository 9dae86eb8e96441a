#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/task/exec.h"
#include "lib/task/exec_sim.h"
#include "lib/task/timers.h"

struct bed {
	struct exec *exec;
	struct task task;
	struct timer timer;
	struct op op, cancel_me;
	int runs, fired, op_result, cancel_result;
};

static void task_run(struct task *task)
{
	struct bed *b = container_of(task, struct bed, task);

	if (++b->runs < 3)
		task_wake(task);
}

static void timer_fire(struct timer *timer)
{
	struct bed *b = container_of(timer, struct bed, timer);

	b->fired++;
	exec_stop(b->exec);
}

static void op_done(struct op *op, int result)
{
	container_of(op, struct bed, op)->op_result = result;
}

static void cancel_done(struct op *op, int result)
{
	container_of(op, struct bed, cancel_me)->cancel_result = result;
}

static void heap_order(void **state)
{
	struct timers *t = calloc(1, sizeof(*t));
	struct timer timers[100] = { 0 };
	u64 last = 0;

	for (unsigned i = 0; i < 100; i++)
		timers_arm(t, &timers[i], (i * 37) % 101);
	for (unsigned i = 0; i < 100; i += 3)
		timers_disarm(t, &timers[i]);
	timers_arm(t, &timers[1], 0);
	assert_ptr_equal(timers_due(t, 200), &timers[1]);
	for (struct timer *timer; (timer = timers_due(t, 200)); last = timer->deadline_ns)
		assert_true(timer->deadline_ns >= last);
	assert_int_equal(t->count, 0);
	free(t);
}

static void ring_runs_everything(void **state)
{
	struct bed b = { .exec = exec_create("test", -1) };
	int fds[2], silent[2];
	char byte = 0;
	struct iovec iov = { &byte, 1 };

	if (!b.exec) {
		skip();
		return;
	}
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(silent), 0);
	task_init(&b.task, b.exec, "t", task_run);
	b.timer.fire = timer_fire;
	b.op.done = op_done;
	b.cancel_me.done = cancel_done;
	assert_int_equal(write(fds[1], "x", 1), 1);
	op_readv(b.exec, &b.op, fds[0], &iov, 1, ~0ull);
	op_poll(b.exec, &b.cancel_me, silent[0], POLLIN);
	op_cancel(b.exec, &b.cancel_me);
	task_wake(&b.task);
	task_wake(&b.task);
	timer_arm(b.exec, &b.timer, exec_now_ns(b.exec) + 30000000);
	assert_int_equal(exec_run(b.exec), 0);
	assert_int_equal(b.runs, 3);
	assert_int_equal(b.fired, 1);
	assert_int_equal(b.op_result, 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(b.cancel_result, -ECANCELED);
	exec_destroy(b.exec);
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(silent[i]);
	}
}

/* an eventfd is watched once; each signal comes */
struct watch {
	struct exec *exec;
	struct op op;
	unsigned seen;
	int result;
};

static void watched(struct op *op, int result)
{
	struct watch *w = container_of(op, struct watch, op);

	w->result = result;
	w->seen += result == 1;
	exec_stop(w->exec);
}

static void events_keep_coming(void **state)
{
	struct watch w = { .exec = exec_create("test", -1), .op.done = watched };
	struct exec_stats before, after;
	int fd = eventfd(0, EFD_CLOEXEC);

	if (!w.exec) {
		skip();
		return;
	}
	op_event(w.exec, &w.op, fd);
	for (unsigned i = 1; i <= 4; i++) {
		if (i == 3)
			exec_get_stats(w.exec, &before);
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(exec_run(w.exec), 0);
		assert_int_equal(w.seen, i);
	}
	exec_get_stats(w.exec, &after);
	assert_true(after.ring_enters - before.ring_enters <= 2); /* the waiting itself; nothing is armed again */
	/* until it is cancelled */
	op_cancel(w.exec, &w.op);
	assert_int_equal(exec_run(w.exec), 0);
	assert_int_equal(w.result, -ECANCELED);
	exec_destroy(w.exec);
	close(fd);
}

static void events_keep_coming_in_simulation(void **state)
{
	struct sim *sim = sim_create(3);
	struct watch w = { .exec = sim_exec(sim, "test"), .op.done = watched };
	int fd = eventfd(0, EFD_CLOEXEC);

	op_event(w.exec, &w.op, fd);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(eventfd_write(fd, 1), 0);
		sim_run(sim, sim_now_ns(sim) + 1000000000);
		assert_int_equal(w.seen, i);
	}
	op_cancel(w.exec, &w.op);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	assert_int_equal(w.result, -ECANCELED);
	assert_int_equal(eventfd_write(fd, 1), 0);
	sim_run(sim, sim_now_ns(sim) + 1000000000);
	assert_int_equal(w.seen, 3);
	sim_destroy(sim);
	close(fd);
}

#define PRODUCERS 2
#define POSTS 2000

struct stress {
	struct exec *exec;
	unsigned seen;
	struct op ops[PRODUCERS][POSTS];
};
static struct stress stress;

static void stress_post(struct op *op, int arg)
{
	if (++stress.seen == PRODUCERS * POSTS)
		exec_stop(stress.exec);
}

static void *producer(void *arg)
{
	struct op *ops = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		exec_post(stress.exec, &ops[i], stress_post, 0);
		if (!(i % 64))
			usleep(50);
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	pthread_t threads[PRODUCERS];

	stress.exec = exec_create("stress", -1);
	if (!stress.exec) {
		skip();
		return;
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_create(&threads[i], NULL, producer, stress.ops[i]);
	assert_int_equal(exec_run(stress.exec), 0);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stress.seen, PRODUCERS * POSTS);
	exec_destroy(stress.exec);
}

/* a hole is made, then what is there is synced; then the executor stops */
struct file_bed {
	struct exec *exec;
	struct op op;
	int fd, results[2];
};

static void synced(struct op *op, int result)
{
	struct file_bed *b = container_of(op, struct file_bed, op);

	b->results[1] = result;
	exec_stop(b->exec);
}

static void allocated(struct op *op, int result)
{
	struct file_bed *b = container_of(op, struct file_bed, op);

	b->results[0] = result;
	op->done = synced;
	op_fdatasync(b->exec, op, b->fd);
}

static void files_are_punched_and_synced(void **state)
{
	struct file_bed b = { .exec = exec_create("file", -1), .op.done = allocated, .fd = memfd_create("file", 0),
			      .results = { 1, 1 } };
	char bytes[8192];

	if (!b.exec) {
		skip();
		return;
	}
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(write(b.fd, bytes, sizeof(bytes)), sizeof(bytes));
	op_fallocate(b.exec, &b.op, b.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096);
	assert_int_equal(exec_run(b.exec), 0);
	assert_int_equal(b.results[0], 0);
	assert_int_equal(b.results[1], 0);
	assert_int_equal(pread(b.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(bytes[4095], 'x');
	assert_int_equal(bytes[4096], 0);
	exec_destroy(b.exec);
	close(b.fd);
}

static u64 sim_trace(u64 seed)
{
	struct sim *sim = sim_create(seed);
	struct bed b = { .exec = sim_exec(sim, "a") };
	u64 end;

	task_init(&b.task, b.exec, "t", task_run);
	b.timer.fire = timer_fire;
	task_wake(&b.task);
	timer_arm(b.exec, &b.timer, sim_now_ns(sim) + 5000 + sim_random(sim) % 1000);
	assert_true(sim_run(sim, ~0ull - 1));
	assert_int_equal(b.runs, 3);
	assert_int_equal(b.fired, 1);
	end = sim_now_ns(sim);
	sim_destroy(sim);
	return end;
}

static void simulation_repeats(void **state)
{
	assert_int_equal(sim_trace(7), sim_trace(7));
	assert_int_not_equal(sim_trace(7), sim_trace(8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heap_order),
		cmocka_unit_test(events_keep_coming), cmocka_unit_test(events_keep_coming_in_simulation),
		cmocka_unit_test(ring_runs_everything),
		cmocka_unit_test(no_wake_is_lost),
		cmocka_unit_test(files_are_punched_and_synced),
		cmocka_unit_test(simulation_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
