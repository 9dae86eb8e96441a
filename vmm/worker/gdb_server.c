/* The gdbstub's connection, and how VPs are held and let go for it */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "vmm/worker/gdb_internal.h"

LOG_DOMAIN("gdb");

static void go_on(struct gdb_server *s);
static void leave(struct gdb_server *s);

/* ---- between main and a VP's thread */
void gdb_vp_ask(struct gdb_vp *v, void (*fn)(struct op *, int))
{
	v->busy++;
	exec_post(v->vp->exec, &v->op, fn, 0);
}

static void forget(struct gdb_vp *v)
{
	v->stale = false;
	v->regs.valid = 0;
}

void gdb_server_wake(struct gdb_server *s)
{
	if (s->gone || s->state == GDB_NOBODY) {
		leave(s);
		return;
	}
	gdb_ready(&s->gdb);
	go_on(s);
}

static void answered(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	if (!--v->busy && v->stale)
		forget(v);
	gdb_server_wake(v->server);
}

void gdb_vp_answer(struct gdb_vp *v)
{
	exec_post(v->server->w->main, &v->op, answered, 0);
}

/* ---- registers */
static void read_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	v->result = vp_debug_read(v->vp, v->classes, &v->regs);
	gdb_vp_answer(v);
}

static int target_registers(void *ctx, unsigned vp, unsigned classes, struct gdb_registers **ret)
{
	struct gdb_server *s = ctx;
	struct gdb_vp *v = &s->vps[vp];

	if (v->busy)
		return -EAGAIN;
	if ((v->regs.valid & classes) == classes) {
		*ret = &v->regs;
		return 0;
	}
	if (v->result) {
		int r = v->result;

		v->result = 0;
		return r;
	}
	v->classes = classes & ~v->regs.valid;
	gdb_vp_ask(v, read_vp);
	return -EAGAIN;
}

static void write_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	v->put_result = vp_debug_write(v->vp, &v->regs);
	v->put = true;
	gdb_vp_answer(v);
}

static int target_put(void *ctx, unsigned vp)
{
	struct gdb_server *s = ctx;
	struct gdb_vp *v = &s->vps[vp];

	if (v->busy)
		return -EAGAIN;
	if (v->put) {
		v->put = false;
		v->regs.changed = 0;
		if (v->put_result)
			v->regs.valid = 0; /* what there is now is to be read again */
		return v->put_result;
	}
	if (!v->regs.changed)
		return 0;
	gdb_vp_ask(v, write_vp);
	return -EAGAIN;
}

/* ---- all VPs stop: each on its own thread; the last one tells */
static void all_held(struct gdb_server *s);

static void is_held(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, hold_op);
	struct gdb_server *s = v->server;

	v->busy--;
	if (!--s->left)
		all_held(s);
}

static void hold_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, hold_op);

	vp_hold(v->vp);
	v->regs = (struct gdb_registers){ 0 };
	v->put = false;
	v->result = vp_debug_read(v->vp, GDB_CORE, &v->regs);
	exec_post(v->server->w->main, &v->hold_op, is_held, 0);
}

static void hold_all(struct gdb_server *s)
{
	s->left = s->w->layout.vp_count;
	for (unsigned i = 0; i < s->w->layout.vp_count; i++) {
		s->vps[i].busy++;
		exec_post(s->vps[i].vp->exec, &s->vps[i].hold_op, hold_vp, 0);
	}
}

static struct gdb_stop stop_of(struct gdb_server *s, struct gdb_vp *v)
{
	struct gdb_stop stop = { .vp = v->vp->index, .reason = v->why == VP_STOP_STEP ? GDB_STOP_STEP : GDB_STOP_SOFT };

	v->met = false;
	if (v->why != VP_STOP_HARDWARE)
		return stop;
	gdb_hard_stop(&s->memory, v->value, &stop);
	return stop;
}

static void begin_stop(struct gdb_server *s, struct gdb_stop stop)
{
	s->stop = stop;
	s->state = GDB_HOLDING;
	hold_all(s);
}

/* the VP's thread has told: it met something */
static void has_met(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, met_op);

	v->met = true;
	if (v->server->state == GDB_RUNNING)
		begin_stop(v->server, stop_of(v->server, v));
}

static struct gdb_server *server_of(struct machine *m)
{
	return container_of(m, struct worker, board.machine)->gdb;
}

static void on_stopped(struct machine *m, unsigned vp, enum vp_debug_stop why, u64 value)
{
	struct gdb_vp *v = &server_of(m)->vps[vp];

	/* main looks at these after the post, and they do not change before the VP was let go again */
	v->why = why;
	v->value = value;
	exec_post(v->server->w->main, &v->met_op, has_met, 0);
}

static void has_changed(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, changed_op);

	atomic_store(&v->changed_posted, false);
	v->stale = true; /* what is being read now may be older */
	if (!v->busy)
		forget(v);
}

static void on_changed(struct machine *m, unsigned vp)
{
	struct gdb_vp *v = &server_of(m)->vps[vp];

	if (!atomic_exchange(&v->changed_posted, true))
		exec_post(v->server->w->main, &v->changed_op, has_changed, 0);
}

static bool on_breakpoint(struct machine *m, u64 gpa)
{
	return gdb_soft_at(&server_of(m)->memory, gpa);
}

static const struct vp_debug_ops debug_ops = { .stopped = on_stopped, .changed = on_changed, .breakpoint_at = on_breakpoint };

/* ---- and run */
static void release_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	if (vp_debug_hardware(v->vp, &v->hardware))
		log_at(LOG_WARN, "VP %u: breakpoints of the processor could not be set", v->vp->index);
	vp_release(v->vp, v->resume.action == GDB_STEP, v->resume.from, v->resume.to);
	gdb_vp_answer(v);
}

static void release(struct gdb_server *s, struct gdb_vp *v, struct gdb_resume resume)
{
	v->resume = resume;
	v->hardware = gdb_break_hardware(s);
	v->regs.valid = 0;
	v->met = false;
	gdb_vp_ask(v, release_vp);
}

static void target_resume(void *ctx, const struct gdb_resume *vps)
{
	struct gdb_server *s = ctx;

	s->state = GDB_RUNNING;
	/* a write that was seen on another VP while the last stop was told; what was met elsewhere will be met again */
	for (unsigned i = 0; i < s->w->layout.vp_count; i++)
		if (s->vps[i].met && s->vps[i].why == VP_STOP_HARDWARE && vps[i].action != GDB_STAY) {
			begin_stop(s, stop_of(s, &s->vps[i]));
			return;
		}
	for (unsigned i = 0; i < s->w->layout.vp_count; i++)
		if (vps[i].action != GDB_STAY)
			release(s, &s->vps[i], vps[i]);
}

static void target_interrupt(void *ctx)
{
	struct gdb_server *s = ctx;

	if (s->state == GDB_RUNNING)
		begin_stop(s, (struct gdb_stop){ .vp = s->gdb.general, .reason = GDB_STOP_INTERRUPTED });
}

/* ---- coming and going */
static int begin(struct gdb_server *s)
{
	int r = vp_debug_intercept(s->w->board.machine.hcl, true, &s->soft);

	if (r)
		return r;
	s->memory.opcode = s->soft ? GDB_OPCODE_INT3 : GDB_OPCODE_IN;
	atomic_store(&s->w->board.machine.debug_stale, false);
	atomic_store(&s->w->board.machine.debug, &debug_ops);
	return 0;
}

/* all VPs are held: as if nobody had been here */
static void end(struct gdb_server *s)
{
	bool soft;

	gdb_memory_clear(&s->memory);
	atomic_store(&s->w->board.machine.debug, NULL);
	if (vp_debug_intercept(s->w->board.machine.hcl, false, &soft))
		log_at(LOG_WARN, "exceptions of VTL0 are still intercepted");
	for (unsigned i = 0; i < s->w->layout.vp_count; i++)
		release(s, &s->vps[i], (struct gdb_resume){ GDB_CONTINUE, 0, 0 });
	s->state = GDB_NOBODY;
	log_at(LOG_NOTICE, "the debugger is gone; %llu packets, %llu stops", (unsigned long long)s->gdb.packets,
	       (unsigned long long)s->gdb.stops);
}

static void accept_arm(struct gdb_server *s)
{
	op_poll(s->w->main, &s->accept_op, s->listen_fd, POLLIN);
}

/* as soon as nothing is under way any more: the VPs first, then the connection */
static void leave(struct gdb_server *s)
{
	bool busy = s->inspecting;

	for (unsigned i = 0; i < s->w->layout.vp_count; i++)
		busy |= s->vps[i].busy;
	if (busy)
		return; /* each of them comes here */
	if (s->state == GDB_RUNNING) {
		s->state = GDB_LEAVING;
		hold_all(s);
		return;
	}
	if (s->state == GDB_HELD) {
		end(s);
		return; /* the VPs' answers come here */
	}
	if (s->state != GDB_NOBODY || s->reading || s->writing || s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	s->packets += s->gdb.packets;
	gdb_fini(&s->gdb);
	gdb_writer_fini(&s->sending);
	gdb_text_fini(&s->inspect_text);
	accept_arm(s);
}

/* reading and writing end by themselves */
static void hang_up(struct gdb_server *s)
{
	if (!s->gone && s->fd >= 0)
		shutdown(s->fd, SHUT_RDWR);
	s->gone = true;
	leave(s);
}

static void target_detach(void *ctx)
{
	end(ctx);
}

static void target_kill(void *ctx)
{
	struct gdb_server *s = ctx;

	log_at(LOG_NOTICE, "the debugger switches VTL0 off");
	worker_stop_vps(s->w);
	worker_notify(s->w, LINK_POWER_OFF, 0, "switched off by the debugger");
	end(s);
}

static void all_held(struct gdb_server *s)
{
	s->held++;
	switch (s->state) {
	case GDB_ATTACHING:
		s->state = GDB_HELD;
		if (begin(s)) {
			hang_up(s);
			return;
		}
		break;
	case GDB_HOLDING:
		s->state = GDB_HELD;
		gdb_stopped(&s->gdb, &s->stop);
		break;
	default:
		s->state = GDB_HELD;
	}
	if (s->gone)
		leave(s);
	else
		go_on(s);
}

/* ---- target */
static unsigned target_count(void *ctx)
{
	return ((struct gdb_server *)ctx)->w->layout.vp_count;
}

static void target_describe(void *ctx, unsigned vp, char *text, size_t size)
{
	struct gdb_server *s = ctx;
	const struct gdb_vp *v = &s->vps[vp];

	if (v->busy || !(v->regs.valid & GDB_CORE))
		snprintf(text, size, "VP %u", vp);
	else
		snprintf(text, size, "VP %u: CPL %u, %s", vp, v->regs.segment[2].attributes >> 5 & 3u,
			 v->regs.efer & BIT(10) ? "long mode" : v->regs.cr0 & 1 ? "protected mode" : "real mode");
}

static const struct gdb_target_ops target_ops = {
	.count = target_count, .interrupt = target_interrupt, .resume = target_resume, .registers = target_registers,
	.put = target_put, .read = gdb_target_read, .write = gdb_target_write, .insert = gdb_break_insert,
	.remove = gdb_break_remove, .monitor = gdb_monitor, .describe = target_describe, .detach = target_detach,
	.kill = target_kill,
};

/* ---- the connection */
static void have_read(struct op *op, int result)
{
	struct gdb_server *s = container_of(op, struct gdb_server, read_op);

	s->reading = false;
	if (result <= 0) {
		s->gone = true;
		leave(s);
		return;
	}
	s->in_len += (size_t)result;
	s->bytes_in += (u64)result;
	go_on(s);
}

static void written(struct op *op, int result)
{
	struct gdb_server *s = container_of(op, struct gdb_server, write_op);

	s->writing = false;
	if (result <= 0) {
		hang_up(s);
		return;
	}
	s->bytes_out += (u64)result;
	s->sent += (size_t)result;
	if (s->sent == s->sending.len)
		gdb_writer_fini(&s->sending);
	go_on(s);
}

static void write_more(struct gdb_server *s)
{
	if (s->writing)
		return;
	if (!s->sending.data) {
		s->sending = s->gdb.out;
		s->gdb.out = (struct gdb_writer){ 0 };
		s->sent = 0;
	}
	if (!s->sending.len)
		return;
	s->writing = true;
	s->write_iov = (struct iovec){ s->sending.data + s->sent, s->sending.len - s->sent };
	op_writev(s->w->main, &s->write_op, s->fd, &s->write_iov, 1, ~0ull);
}

static void read_more(struct gdb_server *s)
{
	if (s->reading || s->in_len == sizeof(s->in))
		return;
	s->reading = true;
	s->read_iov = (struct iovec){ s->in + s->in_len, sizeof(s->in) - s->in_len };
	op_readv(s->w->main, &s->read_op, s->fd, &s->read_iov, 1, ~0ull);
}

/* what can be done now: packets that wait, answers that wait */
static void go_on(struct gdb_server *s)
{
	if (s->fd < 0 || s->gone) {
		leave(s);
		return;
	}
	if (s->state == GDB_HELD || s->state == GDB_RUNNING || s->state == GDB_HOLDING) {
		size_t taken = gdb_receive(&s->gdb, s->in, s->in_len);

		memmove(s->in, s->in + taken, s->in_len - taken);
		s->in_len -= taken;
	}
	bool done = s->gdb.ended && !s->gdb.out.len && !s->sending.len;

	if (s->gdb.out.failed || done) {
		hang_up(s);
		return;
	}
	write_more(s);
	read_more(s);
}

static void accepted(struct op *op, int result)
{
	struct gdb_server *s = container_of(op, struct gdb_server, accept_op);
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_err(-errno, "no debuggers can be accepted any more");
			return;
		}
		accept_arm(s);
		return;
	}
	log_at(LOG_NOTICE, "a debugger is attached to VTL0");
	s->clients++;
	s->fd = fd;
	s->gone = false;
	s->in_len = 0;
	gdb_init(&s->gdb, &target_ops, s);
	s->state = GDB_ATTACHING;
	hold_all(s);
}

int gdb_server_create(struct worker *w, int listen_fd, struct gdb_server **ret)
{
	const char *wait = getenv("PARAVANE_WAIT_FOR_DEBUGGER");

	*ret = NULL;
	int listens;

	if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &(socklen_t){ sizeof(listens) }))
		return 0;
	struct gdb_server *s = calloc(1, sizeof(*s));

	if (s)
		s->vps = calloc(w->layout.vp_count, sizeof(*s->vps));
	if (!s || !s->vps) {
		free(s);
		return log_err(-ENOMEM, "gdbstub");
	}
	s->w = w;
	s->listen_fd = listen_fd;
	s->fd = -1;
	gdb_memory_init(&s->memory, &gdb_server_memory, s);
	s->accept_op.done = accepted;
	s->read_op.done = have_read;
	s->write_op.done = written;
	for (unsigned i = 0; i < w->layout.vp_count; i++) {
		s->vps[i].server = s;
		s->vps[i].vp = &w->vps[i].vp;
		/* a debugger is to see the first instruction: it lets go */
		w->vps[i].vp.debug.held = wait && *wait && strcmp(wait, "0");
	}
	if (w->vps[0].vp.debug.held)
		log_at(LOG_NOTICE, "VTL0 waits for a debugger (pvdiag gdbserver)");
	*ret = s;
	return 0;
}

void gdb_server_start(struct gdb_server *s)
{
	if (s)
		accept_arm(s);
}

void gdb_server_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "nobody", "attaching", "held", "running", "holding", "leaving" };
	struct gdb_server *s = object;

	inspect_str(in, "state", states[s->state]);
	inspect_str(in, "breakpoint_by", s->memory.opcode == GDB_OPCODE_INT3 ? "int3" :
					 s->memory.opcode ? "in" : "not decided");
	inspect_u64(in, "breakpoints", gdb_soft_count(&s->memory));
	inspect_count(in, "clients", s->clients);
	inspect_count(in, "stops", s->held);
	inspect_count(in, "packets", s->packets + (s->fd >= 0 ? s->gdb.packets : 0));
	inspect_count(in, "errors", s->gdb.errors);
	inspect_count(in, "bad_packets", s->gdb.bad);
	inspect_count(in, "bytes_in", s->bytes_in);
	inspect_count(in, "bytes_out", s->bytes_out);
}
