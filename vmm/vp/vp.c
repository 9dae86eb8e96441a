#include "vmm/vp/vp.h"

#include <errno.h>
#include <stdio.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

#define DR6_BS BIT(14)

_Thread_local struct vp *vp_here;

void vp_unpark(struct vp *vp)
{
	vp->running = true;
	exec_set_idle(vp->exec, &vp->idle);
}

/* signals that wait for this VP to enter VTL0 would wait long */
void vp_park(struct vp *vp)
{
	struct hv_vtl_return_signal_event waiting[16];
	unsigned count = hcl_take_signals(&vp->hcl, waiting, ARRAY_SIZE(waiting));

	vp->running = false;
	exec_set_idle(vp->exec, NULL);
	for (unsigned i = 0; i < count; i++)
		vp_signal_event(vp->machine, waiting[i].vp_index, waiting[i].sint, waiting[i].flag);
}

/* on the VP's thread, once the device has answered */
static void resume(struct op *op, int ignored)
{
	struct vp *vp = container_of(op, struct vp, token_op);
	const struct vp_debug_ops *debug = vp->machine->debug;
	u64 injected = vp->injected;
	int r;

	vp->wait_done = true;
	if (vp_may_run(vp))
		vp_unpark(vp);
	r = io_resume(vp);
	if (!r && vp->debug.stepping)
		r = debug_after_exit(vp, EXIT_IO, injected);
	if (debug && vp->debug.held)
		debug->changed(vp->machine, vp->index);
	if (r) {
		vp_stop(vp);
		vp->machine->event(vp->machine, VP_FAILED, vp->index, "an access could not be finished", NULL);
	}
}

static void token_done(struct io_token *token, u64 value)
{
	struct vp *vp = container_of(token, struct vp, token);

	vp->wait_value = value;
	exec_post(vp->exec, &vp->token_op, resume, 0);
}

void vp_wait(struct vp *vp, int kind, u64 address, unsigned size)
{
	vp->wait = kind;
	vp->wait_address = address;
	vp->wait_size = (u8)size;
	vp->wait_done = false;
	vp_park(vp);
}

/* VTL0 runs until its next exit, which is handled; or it cannot run now */
static int enter(struct vp *vp)
{
	int r = vp->debug.stepping ? debug_enter(vp) : 1;

	if (r <= 0)
		return r;
	r = vp->apic ? interrupt_enter(vp) : 1;
	if (r <= 0) {
		vp_park(vp); /* an interrupt unparks it */
		return r;
	}
	u64 entered = __builtin_ia32_rdtsc();

	r = hcl_run(&vp->hcl);
	vp->tsc_in_vtl0 += __builtin_ia32_rdtsc() - entered;
	if (r == -EINTR) {
		vp->exits[EXIT_CANCELLED]++;
		return 0;
	}
	vp->event_queued = false;
	return r ? r : exit_dispatch(vp);
}

/*
 * The wake rule's second half (lib/task/wake.h): clear `cancel`, look, enter, in this order. The ring's file is mshv's poll
 * file, so whatever completes after the look sets `cancel` again before the kernel enters VTL0.
 */
static int wait_in_guest(struct idle *idle)
{
	struct vp *vp = container_of(idle, struct vp, idle);
	int r;

	hcl_clear_cancel(&vp->hcl);
	if (exec_pending(vp->exec))
		return 0;
	r = enter(vp);
	if (r) {
		char text[80];

		vp_stop(vp);
		snprintf(text, sizeof(text), "VP %u cannot run: error %d", vp->index, -r);
		log_err(r, "VP %u cannot run", vp->index);
		vp->machine->event(vp->machine, VP_FAILED, vp->index, text, NULL);
	}
	return 0;
}

void vp_init(struct vp *vp, struct machine *machine, unsigned index, struct exec *exec)
{
	*vp = (struct vp){ .machine = machine, .index = index, .exec = exec, .stopped = true,
			   .idle = { .wait = wait_in_guest }, .token = { .done = token_done } };
	if (machine->apics)
		interrupt_open(vp);
}

int vp_open(struct vp *vp)
{
	int r = hcl_vp_open(vp->machine->hcl, vp->index, &vp->hcl), fd = exec_poll_fd(vp->exec);

	if (!r && fd >= 0)
		r = hcl_set_poll_file(&vp->hcl, fd);
	if (!r)
		vp_here = vp;
	return r;
}

void vp_start(struct vp *vp)
{
	vp->stopped = false;
	if (vp_may_run(vp))
		vp_unpark(vp);
}

void vp_stop(struct vp *vp)
{
	vp->stopped = true;
	vp_park(vp);
}

int vp_skip(struct vp *vp, const struct hv_intercept_header *h, unsigned length)
{
	u64 rip = h->rip + length;

	if (!(h->cs.attributes & BIT(13))) /* CS.L clear: RIP has 32 bits */
		rip &= 0xffffffffu;
	return hcl_set_rip(&vp->hcl, rip);
}

int vp_inject(struct vp *vp, unsigned vector, bool has_error, u32 error, u64 parameter)
{
	union hv_register_value event = { { HV_EVENT_PENDING | (has_error ? HV_EVENT_DELIVER_ERROR : 0) |
					    FIELD_PREP(HV_EVENT_VECTOR, vector) | FIELD_PREP(HV_EVENT_ERROR_CODE, error),
					    parameter } };

	vp->injected++;
	vp->event_queued = true;
	if (vector == VECTOR_PF)
		vp->hcl.run->context.cr2 = parameter; /* the register event does not write CR2 on every hypervisor */
	if (!hcl_set(&vp->hcl, HV_REGISTER_PENDING_EVENT0, &event))
		return 0;
	return hcl_set64(&vp->hcl, HV_REGISTER_PENDING_INTERRUPTION,
			 HV_PENDING_INTERRUPTION | FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_EXCEPTION) |
			 (has_error ? HV_PENDING_HAS_ERROR : 0) | FIELD_PREP(HV_PENDING_VECTOR, vector) |
			 FIELD_PREP(HV_PENDING_ERROR_CODE, error));
}

int vp_single_step(struct vp *vp)
{
	u64 dr6;

	if (debug_steps_unseen(vp))
		return 0;
	int r = hcl_get64(&vp->hcl, HV_X64_REGISTER_DR6, &dr6);

	/* delivery of the event does not write DR6 on every hypervisor */
	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_DR6, dr6 | DR6_BS);
	return r ? r : vp_inject(vp, VECTOR_DB, false, 0, DR6_BS);
}

static void exits_inspect(void *object, struct inspect *in)
{
	static const char *const names[EXIT_REASONS] = { "io", "memory", "msr", "cpuid", "halt", "exception", "unrecoverable",
		"hypercall", "apic_eoi", "interruption_deliverable", "sint_deliverable", "unknown", "cancelled" };
	struct vp *vp = object;

	for (unsigned i = 0; i < EXIT_REASONS; i++)
		inspect_count(in, names[i], vp->exits[i]);
}

static void executor_inspect(void *object, struct inspect *in)
{
	struct exec_stats s;

	exec_get_stats(object, &s);
	inspect_count(in, "turns", s.turns);
	inspect_count(in, "tasks", s.tasks_run);
	inspect_count(in, "posts", s.posts_run);
	inspect_count(in, "ops", s.ops_done);
	inspect_count(in, "timers", s.timers_fired);
	inspect_count(in, "idle_waits", s.idle_waits);
	inspect_count(in, "kicks", s.kicks);
	inspect_count(in, "ring_enters", s.ring_enters);
}

static void apic_inspect(void *object, struct inspect *in)
{
	struct vp *vp = object;

	inspect_bool(in, "halted", vp->halted);
	inspect_bool(in, "waits_for_start_up", vp->wait_for_sipi);
	inspect_count(in, "injected_interrupts", vp->interrupts);
	inspect_count(in, "injected_nmis", vp->nmis);
	inspect_count(in, "windows", vp->windows);
	inspect_count(in, "halts", vp->halts);
	vapic_inspect(vp->apic, in);
}

void vp_inspect(void *object, struct inspect *in)
{
	struct vp *vp = object;

	inspect_bool(in, "stopped", vp->stopped);
	inspect_bool(in, "register_page", vp->hcl.page != NULL);
	inspect_count(in, "tsc", __builtin_ia32_rdtsc());
	inspect_count(in, "tsc_in_vtl0", vp->tsc_in_vtl0);
	inspect_bool(in, "return_actions", vp->hcl.return_actions);
	inspect_count(in, "signals_deferred", vp->signals_deferred);
	inspect_count(in, "signals_called", vp->signals_called);
	inspect_count(in, "register_calls", vp->hcl.register_calls);
	inspect_count(in, "injected", vp->injected);
	inspect_count(in, "emulated", vp->emulated);
	inspect_count(in, "not_emulated", vp->not_emulated);
	inspect_count(in, "unknown_msrs", vp->unknown_msrs);
	inspect_count(in, "crash_reports", vp->crashes);
	inspect_hex(in, "last_unknown_msr", vp->last_unknown_msr);
	inspect_count(in, "posts", vp->posts);
	inspect_count(in, "signals", vp->signals);
	inspect_count(in, "invalid_connections", vp->invalid_connections);
	inspect_child(in, "exits", exits_inspect, vp);
	inspect_child(in, "debug", debug_inspect, vp);
	inspect_child(in, "watch", watch_inspect, vp);
	if (vp->apic)
		inspect_child(in, "apic", apic_inspect, vp);
	inspect_child(in, "executor", executor_inspect, vp->exec);
	if (vp->hcl.page && inspect_wants(in, "rip"))
		inspect_hex(in, "rip", vp->hcl.page->rip);
}
