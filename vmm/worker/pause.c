/*
 * VTL0 held still by an operator: its VPs do not enter it, devices and the host's time go on. And what can be done only then: the
 * state of VPs and devices saved, and for a test of it put back (inspect -u go vm/partition/state_round_trip).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "lib/state/state.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("pause");

#define HOLD_NS 5000000000ull /* for the disks to answer what they were asked before the state is taken */

void pause_started(struct worker *w)
{
	w->pause.started = true;
}

/* ---- all VPs, each on its own thread; the last one tells main */
static void for_each_vp(struct worker *w, void (*fn)(struct op *, int), void (*then)(struct op *, int))
{
	w->pause.busy = true;
	w->pause.then = then;
	atomic_store(&w->pause.left, w->layout.vp_count);
	for (unsigned i = 0; i < w->layout.vp_count; i++)
		exec_post(w->vps[i].vp.exec, &w->vps[i].pause, fn, 0);
}

static void one_done(struct worker *w)
{
	if (atomic_fetch_sub(&w->pause.left, 1) == 1)
		exec_post(w->main, &w->pause.then_op, w->pause.then, 0);
}

static void run_vp(struct op *op, int ignored)
{
	struct worker_vp *v = container_of(op, struct worker_vp, pause);

	if (!atomic_load(&v->worker->stopping))
		vp_start(&v->vp);
	one_done(v->worker);
}

static void stop_vp(struct op *op, int ignored)
{
	struct worker_vp *v = container_of(op, struct worker_vp, pause);

	vp_stop(&v->vp);
	one_done(v->worker);
}

/* ---- saved state: VMBus's channels stop; then the VPs', each by its own thread, then the devices' and all of it together */
static void save_vp(struct op *op, int ignored)
{
	struct worker_vp *v = container_of(op, struct worker_vp, pause);

	v->state = (struct saver){ 0 };
	if (v->vp.wait && !v->vp.wait_done)
		v->state.error = -EBUSY; /* in the middle of an access that a device answers later */
	else
		vp_save(&v->vp, &v->state);
	one_done(v->worker);
}

static void all_run(struct op *op, int ignored);
static void put_back(struct worker *w, struct saver *s, int error);
static void round_trip_ends(struct worker *w, int error, bool whole);

static void answer_save(struct worker *w, int error, struct bytes state)
{
	w->pause.busy = false;
	vmbus_go_on(w->board.vmbus);
	link_reply(&w->link, w->pause.id, error, &state);
	if (!w->pause.paused)
		for_each_vp(w, run_vp, all_run);
}

static void all_saved(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);
	struct saver s;

	w->pause.busy = false;
	saver_init(&s);
	for (unsigned i = 0; i < w->layout.vp_count; i++) {
		struct saver *from = &w->vps[i].state;

		s.error = s.error ? s.error : from->error;
		saver_put(&s, from->data, from->len);
		saver_fini(from);
	}
	board_save(&w->board, &s);
	int r = saver_finish(&s);

	if (w->pause.round_trip) {
		put_back(w, &s, r);
		return;
	}
	answer_save(w, r, bytes_of(s.data, s.len));
	saver_fini(&s);
}

static void all_run(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);

	w->pause.busy = w->pause.paused = false;
	if (w->has_watchdog)
		watchdog_pause(&w->watchdog, false);
	w->pause.round_trip = false;
	if (w->pause.op == LINK_SAVE)
		return; /* answered when it was taken */
	log_at(LOG_NOTICE, "VTL0 is resumed");
	link_reply(&w->link, w->pause.id, 0, NULL);
}

static void channels_held(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);

	timer_disarm(w->main, &w->pause.hold_timer);
	for_each_vp(w, save_vp, all_saved);
}

static void hold_takes_too_long(struct timer *timer)
{
	struct worker *w = container_of(timer, struct worker, pause.hold_timer);

	if (!vmbus_hold_cancel(w->board.vmbus))
		return;
	log_at(LOG_WARN, "VTL0's state is not taken: a disk does not answer");
	if (w->pause.round_trip)
		round_trip_ends(w, -ETIME, true);
	else
		answer_save(w, -ETIME, bytes_of(NULL, 0));
}

/* no VP runs */
static void save(struct worker *w)
{
	w->pause.busy = true;
	w->pause.hold_timer.fire = hold_takes_too_long;
	timer_arm(w->main, &w->pause.hold_timer, exec_now_ns(w->main) + HOLD_NS);
	vmbus_hold(w->board.vmbus, &w->pause.then_op, channels_held);
}

static void all_stopped(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);

	if (w->pause.round_trip)
		bus_stop(&w->board.bus);
	if (w->pause.op == LINK_SAVE) {
		save(w);
		return;
	}
	w->pause.busy = false;
	w->pause.paused = true;
	if (w->has_watchdog)
		watchdog_pause(&w->watchdog, true);
	w->pause.pauses++;
	log_at(LOG_NOTICE, "VTL0 is paused");
	link_reply(&w->link, w->pause.id, 0, NULL);
}

/* ---- state put back where it came from */
static void restore_vp(struct op *op, int ignored)
{
	struct worker_vp *v = container_of(op, struct worker_vp, pause);
	struct pause *p = &v->worker->pause;
	struct loader l;
	int r = loader_init(&l, p->state.data, p->state.len);

	if (!r)
		r = vp_restore(&v->vp, l);
	if (r)
		atomic_store(&p->restore_error, r);
	one_done(v->worker);
}

/* what was half put back does not run by itself: the operator sees why, and may reset the machine */
static void round_trip_ends(struct worker *w, int error, bool whole)
{
	struct pause *p = &w->pause;

	saver_fini(&p->state);
	p->round_trip_error = error;
	p->round_trips += !error;
	if (whole) {
		bus_start(&w->board.bus);
		vmbus_go_on(w->board.vmbus);
		for_each_vp(w, run_vp, all_run);
		return;
	}
	log_err(error, "VTL0's state could not be put back: it stays paused");
	p->busy = p->round_trip = false;
	p->paused = p->spoilt = true;
}

static void all_restored(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);
	int r = atomic_load(&w->pause.restore_error);

	round_trip_ends(w, r, !r);
}

static void put_back(struct worker *w, struct saver *s, int error)
{
	struct pause *p = &w->pause;
	struct loader l;

	p->state = *s;
	p->round_trip_bytes = s->len;
	atomic_store(&p->restore_error, 0);
	if (error) { /* nothing was touched: a VP in the middle of an access, perhaps */
		round_trip_ends(w, error, true);
		return;
	}
	int r = loader_init(&l, s->data, s->len);

	if (!r)
		r = board_restore(&w->board, l);
	if (r)
		round_trip_ends(w, r, false);
	else
		for_each_vp(w, restore_vp, all_restored);
}

static int round_trip_begin(void *object, const char *text)
{
	struct worker *w = object;

	if (strcmp(text, "go"))
		return -EINVAL;
	if (!w->pause.started || atomic_load(&w->stopping))
		return -EAGAIN;
	if (w->pause.busy || w->pause.paused)
		return -EBUSY;
	w->pause.round_trip = true;
	w->pause.op = LINK_SAVE;
	for_each_vp(w, stop_vp, all_stopped);
	return 0;
}

static void round_trip_text(void *object, char *text, size_t size)
{
	const struct pause *p = &((struct worker *)object)->pause;

	if (p->round_trip)
		snprintf(text, size, "under way");
	else if (p->round_trip_error)
		snprintf(text, size, "%llu good; the last: %s", (unsigned long long)p->round_trips,
			 strerror(-p->round_trip_error));
	else
		snprintf(text, size, "%llu good, %llu bytes", (unsigned long long)p->round_trips,
			 (unsigned long long)p->round_trip_bytes);
}

static int refuse(const struct worker *w, enum link_op op)
{
	if (!w->pause.started || atomic_load(&w->stopping))
		return -EAGAIN;
	if (w->pause.busy)
		return -EBUSY;
	if ((op == LINK_PAUSE && w->pause.paused) || (op == LINK_RESUME && !w->pause.paused))
		return -EALREADY;
	return op == LINK_RESUME && w->pause.spoilt ? -ENOTRECOVERABLE : 0;
}

void pause_command(struct link_client *link, enum link_op op, u32 id)
{
	struct worker *w = container_of(link, struct worker, link);
	int r = refuse(w, op);

	link->requests++;
	if (r) {
		link_reply(link, id, r, NULL);
		return;
	}
	w->pause.op = op;
	w->pause.id = id;
	if (op == LINK_RESUME)
		for_each_vp(w, run_vp, all_run);
	else if (op == LINK_SAVE && w->pause.paused)
		save(w);
	else
		for_each_vp(w, stop_vp, all_stopped);
}

void pause_inspect(void *object, struct inspect *in)
{
	static const struct inspect_text round_trip = { round_trip_text, round_trip_begin };
	struct worker *w = object;

	inspect_bool(in, "paused", w->pause.paused);
	inspect_count(in, "pauses", w->pause.pauses);
	inspect_rw_text(in, "state_round_trip", &round_trip, w);
}
