/*
 * VTL0 held still by an operator: its VPs do not enter it, devices and the host's time go on. And what can be read only then,
 * the saved state of VPs and devices.
 */
#include <errno.h>

#include "lib/log/log.h"
#include "lib/state/state.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("pause");

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

/* ---- saved state: first the VPs', each by its own thread, then the devices' and all of it together */
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
	bus_save(&w->bus, &s);
	int r = saver_finish(&s);

	link_reply(&w->link, w->pause.id, r, &(struct bytes){ s.data, s.len });
	saver_fini(&s);
	if (!w->pause.paused)
		for_each_vp(w, run_vp, all_run);
}

static void all_run(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);

	w->pause.busy = w->pause.paused = false;
	if (w->pause.op == LINK_SAVE)
		return; /* answered when it was taken */
	log_at(LOG_NOTICE, "VTL0 is resumed");
	link_reply(&w->link, w->pause.id, 0, NULL);
}

static void all_stopped(struct op *op, int ignored)
{
	struct worker *w = container_of(op, struct worker, pause.then_op);

	if (w->pause.op == LINK_SAVE) {
		for_each_vp(w, save_vp, all_saved);
		return;
	}
	w->pause.busy = false;
	w->pause.paused = true;
	w->pause.pauses++;
	log_at(LOG_NOTICE, "VTL0 is paused");
	link_reply(&w->link, w->pause.id, 0, NULL);
}

static int refuse(const struct worker *w, enum link_op op)
{
	if (!w->pause.started || atomic_load(&w->stopping))
		return -EAGAIN;
	if (w->pause.busy)
		return -EBUSY;
	if ((op == LINK_PAUSE && w->pause.paused) || (op == LINK_RESUME && !w->pause.paused))
		return -EALREADY;
	return 0;
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
		for_each_vp(w, save_vp, all_saved);
	else
		for_each_vp(w, stop_vp, all_stopped);
}

void pause_inspect(void *object, struct inspect *in)
{
	struct worker *w = object;

	inspect_bool(in, "paused", w->pause.paused);
	inspect_count(in, "pauses", w->pause.pauses);
}
