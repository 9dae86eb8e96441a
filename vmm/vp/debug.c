/*
 * Steps and breakpoints. A step is RFLAGS.TF, which the guest is not to see: PUSHF gets it out of the flags it has pushed, POPF
 * and IRET say what the guest's own TF is afterwards; SYSCALL and SYSRET, which change TF before the trap (SFMASK, R11), are done
 * here. Interrupts are kept away by the interrupt shadow, or, where the APIC is played here, by not injecting them: other VPs may
 * be held, and a handler that waits for one would never end. What this process itself did for an instruction that exited ends
 * the step too, for then no trap comes. An exception takes TF with it in its frame, and the trap comes after its handler's IRET;
 * when the step was given up meanwhile, that trap is nobody's: kernels do not step themselves, so at CPL 0 it is always ours.
 *
 * Breakpoints in memory are INT3. Hypervisors that intercept #DB but cannot intercept #BP get IN AL, DX: all ports are
 * intercepted anyway, so at CPL 0 it exits where it stands.
 */
#include "vmm/vp/debug.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/mem/walk.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("debug");

#define RFLAGS_FIXED BIT(1)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)
#define DR6_BS BIT(14)
#define EFER_SCE BIT(0)
#define CODE_MAX 15u

/* ---- intercepts */
static int intercept(struct hcl *hcl, u64 vector, bool on, u16 *ret_status)
{
	struct hv_install_intercept in = { .partition_id = HV_PARTITION_ID_SELF, .access_type = on ? HV_ACCESS_EXECUTE : 0,
					   .intercept_type = HV_INTERCEPT_EXCEPTION, .parameter = vector };

	return hcl_call(hcl, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), ret_status);
}

int vp_debug_intercept(struct hcl *hcl, bool on, bool *ret_soft)
{
	u16 status;
	int r = intercept(hcl, VECTOR_DB, on, &status);

	if (r)
		return log_err(r, "intercept of #DB: status %#x", status);
	*ret_soft = !intercept(hcl, VECTOR_BP, on, &status);
	return 0;
}

/* ---- what is about to be executed */
static u64 linear_of(const struct hv_register_page *s, u64 rip)
{
	return vp_mode(s) == 64 ? rip : (s->cs.base + rip) & 0xffffffffu;
}

static bool to_physical(struct vp *vp, const struct hv_register_page *s, u64 linear, u64 *ret_gpa)
{
	return walk_any(vp->machine->guest, (struct walk_state){ s->cr0, s->cr3, s->cr4, s->efer, false }, linear, ret_gpa);
}

/* memory of the guest as its kernel could reach it; the debugger does not ask for rights */
static bool touch_linear(struct vp *vp, const struct hv_register_page *s, u64 linear, void *data, size_t len, bool write)
{
	while (len) {
		size_t piece = MIN(len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
		u64 gpa;

		if (!to_physical(vp, s, linear, &gpa) || (write ? guest_write(vp->machine->guest, gpa, data, piece) :
								  guest_read(vp->machine->guest, gpa, data, piece)))
			return false;
		linear += piece;
		data = (u8 *)data + piece;
		len -= piece;
	}
	return true;
}

static size_t fetch(struct vp *vp, const struct hv_register_page *s, u8 code[CODE_MAX])
{
	size_t count = 0;

	while (count < CODE_MAX && touch_linear(vp, s, linear_of(s, s->rip + count), code + count, 1, false))
		count++;
	return count;
}

static bool is_prefix(u8 byte)
{
	switch (byte) {
	case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3: case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
		return true;
	}
	return false;
}

static u64 stack_at(const struct hv_register_page *s)
{
	unsigned mode = vp_mode(s);
	u64 rsp = s->gpr[HV_RSP];

	if (mode == 64)
		return rsp;
	return ((s->ss.attributes & BIT(14) ? rsp & 0xffffffffu : rsp & 0xffff) + s->ss.base) & 0xffffffffu;
}

/* the TF that POPF or IRET is about to load; what cannot be read will fault */
static bool loaded_tf(struct vp *vp, const struct hv_register_page *s, u64 linear)
{
	u16 image = 0;

	return touch_linear(vp, s, linear, &image, sizeof(image), false) && (image & RFLAGS_TF);
}

/* was a trap at that privilege, or a TF that is to be loaded there, left behind by a step? */
static bool is_leftover(struct vp *vp, unsigned cpl)
{
	return !cpl || atomic_load_explicit(&vp->machine->debug_stale, memory_order_relaxed);
}

/* IRET: IP, CS, flags; a TF of ours in them goes */
static bool iret_tf(struct vp *vp, const struct hv_register_page *s, unsigned size)
{
	u64 at = stack_at(s);
	u16 cs = 0, image;

	if (!loaded_tf(vp, s, at + 2 * size) || !touch_linear(vp, s, at + size, &cs, sizeof(cs), false))
		return false;
	if (!is_leftover(vp, cs & 3) || !touch_linear(vp, s, at + 2 * size, &image, sizeof(image), false))
		return true;
	image &= (u16)~RFLAGS_TF;
	return !touch_linear(vp, s, at + 2 * size, &image, sizeof(image), true);
}

static void classify(struct vp *vp, const struct hv_register_page *s)
{
	struct vp_debug *d = &vp->debug;
	unsigned mode = vp_mode(s), operand = mode == 16 ? 2 : 4;
	u8 code[CODE_MAX];
	size_t count = fetch(vp, s, code), at = 0;
	bool wide_operand = false;

	d->kind = STEP_PLAIN;
	for (; at < count && is_prefix(code[at]); at++)
		if (code[at] == 0x66)
			operand = mode == 16 ? 4 : 2;
	if (mode == 64 && at < count && (code[at] & 0xf0) == 0x40)
		wide_operand = code[at++] & 8;
	if (at == count)
		return;
	switch (code[at]) {
	case 0x9c: /* PUSHF */
		d->kind = STEP_PUSHF;
		return;
	case 0x9d: /* POPF */
		d->kind = STEP_LOADS_FLAGS;
		d->guest_tf = loaded_tf(vp, s, stack_at(s));
		return;
	case 0xcf: /* IRET */
		d->kind = STEP_LOADS_FLAGS;
		d->guest_tf = iret_tf(vp, s, wide_operand ? 8 : operand);
		return;
	case 0x0f:
		if (mode != 64 || at + 1 >= count || !(s->efer & EFER_SCE))
			return;
		if (code[at + 1] == 0x05)
			d->kind = STEP_SYSCALL;
		else if (code[at + 1] == 0x07 && wide_operand && !(s->ss.attributes >> 5 & 3))
			d->kind = STEP_SYSRET;
		d->rip = s->rip + at + 2;
	}
}

/* flat segments as SYSCALL and SYSRET load them (APM volume 3) */
static union hv_register_value flat(u16 selector, bool code, unsigned dpl)
{
	return (union hv_register_value){ .segment = { .limit = 0xffffffffu, .selector = selector,
			.attributes = (u16)((code ? 0xa09b : 0xc093) | dpl << 5) } };
}

static bool canonical(u64 linear, bool la57)
{
	unsigned bits = la57 ? 57 : 48;

	return (u64)((s64)(linear << (64 - bits)) >> (64 - bits)) == linear;
}

/* 1: done; 0: let the processor do it, which will fault; -errno */
static int do_syscall(struct vp *vp, const struct hv_register_page *s, u64 next)
{
	u64 star, lstar, mask, flags = s->rflags & ~RFLAGS_RF;
	int r = hcl_get64(&vp->hcl, HV_X64_REGISTER_STAR, &star);

	if (!r)
		r = hcl_get64(&vp->hcl, HV_X64_REGISTER_LSTAR, &lstar);
	if (!r)
		r = hcl_get64(&vp->hcl, HV_X64_REGISTER_SFMASK, &mask);
	if (r)
		return r;
	u16 selector = (u16)(star >> 32) & 0xfffc;
	union hv_register_value cs = flat(selector, true, 0), ss = flat((u16)(selector + 8), false, 0);

	hcl_set_gpr(&vp->hcl, HV_RCX, next);
	hcl_set_gpr(&vp->hcl, HV_R11, flags);
	r = hcl_set(&vp->hcl, HV_X64_REGISTER_CS, &cs);
	if (!r)
		r = hcl_set(&vp->hcl, HV_X64_REGISTER_SS, &ss);
	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_RFLAGS, (flags & ~mask) | RFLAGS_FIXED);
	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_RIP, lstar);
	return r ? r : 1;
}

static int do_sysret(struct vp *vp, const struct hv_register_page *s)
{
	u64 star, rcx = hcl_gpr(&vp->hcl, HV_RCX), flags = hcl_gpr(&vp->hcl, HV_R11) & 0x3c7fd7;
	int r = hcl_get64(&vp->hcl, HV_X64_REGISTER_STAR, &star);

	if (r || !canonical(rcx, s->cr4 & BIT(12)))
		return r;
	u16 selector = (u16)(star >> 48);
	union hv_register_value cs = flat((u16)(selector + 16) | 3, true, 3), ss = flat((u16)(selector + 8) | 3, false, 3);

	r = hcl_set(&vp->hcl, HV_X64_REGISTER_CS, &cs);
	if (!r)
		r = hcl_set(&vp->hcl, HV_X64_REGISTER_SS, &ss);
	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_RFLAGS, flags | RFLAGS_FIXED);
	if (!r)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_RIP, rcx);
	return r ? r : 1;
}

/* ---- holding and running */
static void stop(struct vp *vp, enum vp_debug_stop why, u64 value)
{
	const struct vp_debug_ops *ops = vp->machine->debug;

	if (!ops)
		return;
	vp->debug.held = true;
	vp_park(vp);
	ops->stopped(vp->machine, vp->index, why, value);
}

/* TF as the guest has it. A step that did not come to its end may have left the bit in a frame of the guest's. */
static int disarm(struct vp *vp, bool finished)
{
	struct vp_debug *d = &vp->debug;
	const struct hv_register_page *s = hcl_state(&vp->hcl);

	if (!d->armed)
		return 0;
	d->armed = false;
	if (d->event) {
		int r = hcl_set64(&vp->hcl, HV_REGISTER_PENDING_EVENT0, d->event);

		d->event = 0;
		vp->event_queued = true;
		if (r)
			return r;
	}
	if (!s)
		return -EIO;
	if (!finished && !(s->rflags & RFLAGS_TF))
		atomic_store_explicit(&vp->machine->debug_stale, true, memory_order_relaxed);
	if (!(s->rflags & RFLAGS_TF) == !d->guest_tf || (!finished && !(s->rflags & RFLAGS_TF)))
		return 0;
	return hcl_set_rflags(&vp->hcl, (s->rflags & ~RFLAGS_TF) | (d->guest_tf ? RFLAGS_TF : 0));
}

void vp_hold(struct vp *vp)
{
	struct vp_debug *d = &vp->debug;

	d->holds++;
	if (d->stepping) {
		/* the guest's own TF before the instruction, which was not executed */
		if (d->kind == STEP_LOADS_FLAGS)
			d->guest_tf = false;
		if (disarm(vp, false))
			log_at(LOG_WARN, "VP %u: a step that is given up", vp->index);
		d->stepping = false;
	}
	d->held = true;
	vp_park(vp);
}

void vp_release(struct vp *vp, bool step, u64 from, u64 to)
{
	struct vp_debug *d = &vp->debug;

	d->held = false;
	d->stepping = step;
	d->armed = false;
	d->from = from;
	d->to = to;
	if (vp_may_run(vp))
		vp_unpark(vp);
}

/* an interrupt that was accepted already would take TF into its handler's frame */
static int hold_back(struct vp *vp)
{
	u64 event;
	int r = vp->event_queued ? hcl_get64(&vp->hcl, HV_REGISTER_PENDING_EVENT0, &event) : 1;

	if (r || !(event & HV_EVENT_PENDING) || FIELD_GET(HV_EVENT_TYPE, event) != HV_EVENT_TYPE_EXTINT)
		return r < 0 ? r : 0;
	vp->debug.event = event;
	vp->event_queued = false;
	return hcl_set64(&vp->hcl, HV_REGISTER_PENDING_EVENT0, 0);
}

/* HLT ends at once, as it may: else a step would last until an interrupt, and there are none */
int debug_wake(struct vp *vp)
{
	u64 activity = 0;

	if (vp->apic) {
		vp->halted = false;
		return 0;
	}
	int r = hcl_get64(&vp->hcl, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &activity);

	return !r && activity & HV_ACTIVITY_HALT_SUSPEND ?
		       hcl_set64(&vp->hcl, HV_REGISTER_INTERNAL_ACTIVITY_STATE, activity & ~(u64)HV_ACTIVITY_HALT_SUSPEND) : 0;
}

/* the step is over: told, or, within a range, the next one */
static int finish(struct vp *vp)
{
	struct vp_debug *d = &vp->debug;
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	u16 image;

	if (!s)
		return -EIO;
	d->steps++;
	if (d->armed && d->kind == STEP_PUSHF && !d->guest_tf && touch_linear(vp, s, stack_at(s), &image, sizeof(image), false)) {
		image &= (u16)~RFLAGS_TF;
		if (!touch_linear(vp, s, stack_at(s), &image, sizeof(image), true))
			log_guest("VP %u: flags that were pushed out of memory", vp->index);
	}
	int r = disarm(vp, true);

	if (r || range_within(s->rip, 1, d->from, d->to > d->from ? d->to - d->from : 0))
		return r;
	d->stepping = false;
	stop(vp, VP_STOP_STEP, 0);
	return 0;
}

int debug_enter(struct vp *vp)
{
	struct vp_debug *d = &vp->debug;
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	int r;

	if (!s)
		return -EIO;
	/* within what the instruction has led to, a handler for instance: the trap will come */
	if (d->armed && d->rip != s->rip)
		return 1;
	if (!d->armed) {
		d->guest_tf = s->rflags & RFLAGS_TF;
		r = debug_wake(vp);
		if (!r && vp->apic)
			r = hold_back(vp);
		if (r)
			return r;
	}
	classify(vp, s);
	r = d->kind == STEP_SYSCALL ? do_syscall(vp, s, d->rip) : d->kind == STEP_SYSRET ? do_sysret(vp, s) : 0;
	if (r < 0)
		return r;
	if (r)
		return finish(vp);
	d->rip = s->rip;
	d->armed = true;
	if (!vp->apic && s->rflags & RFLAGS_IF && hcl_set64(&vp->hcl, HV_REGISTER_INTERRUPT_STATE, HV_INTERRUPT_SHADOW))
		log_guest("VP %u: interrupts cannot be kept away from a step", vp->index);
	r = s->rflags & RFLAGS_TF ? 0 : hcl_set_rflags(&vp->hcl, s->rflags | RFLAGS_TF);
	return r ? r : 1;
}

int debug_after_exit(struct vp *vp, enum exit_reason reason, u64 injected_before)
{
	struct vp_debug *d = &vp->debug;

	switch (reason) {
	case EXIT_IO:
	case EXIT_MEMORY:
	case EXIT_MSR:
	case EXIT_CPUID:
	case EXIT_HALT:
	case EXIT_HYPERCALL:
		break;
	default:
		return 0;
	}
	if (!d->stepping || !d->armed || vp->wait || vp->injected != injected_before)
		return 0;
	return finish(vp);
}

bool debug_steps_unseen(const struct vp *vp)
{
	return vp->debug.stepping && vp->debug.armed && !vp->debug.guest_tf;
}

/* ---- what was met */
static bool breakpoint_at(struct vp *vp, const struct hv_register_page *s, u64 rip)
{
	const struct vp_debug_ops *ops = vp->machine->debug;
	u64 gpa;

	return ops && to_physical(vp, s, linear_of(s, rip), &gpa) && ops->breakpoint_at(vp->machine, gpa);
}

int debug_breakpoint(struct vp *vp, u64 rip)
{
	const struct hv_register_page *s = hcl_state(&vp->hcl);

	if (!s || !breakpoint_at(vp, s, rip))
		return 0;
	int r = rip == s->rip ? 0 : hcl_set_rip(&vp->hcl, rip);

	if (!r && vp->debug.stepping)
		r = disarm(vp, false);
	if (r)
		return r;
	vp->debug.stepping = false;
	vp->debug.breakpoints++;
	stop(vp, VP_STOP_BREAKPOINT, 0);
	return 1;
}

/* 1: the debugger's; 0: the guest's */
static int debug_trap(struct vp *vp, u64 dr6)
{
	struct vp_debug *d = &vp->debug;
	u64 hits = 0;
	bool own = d->guest_tf && d->kind != STEP_LOADS_FLAGS;

	for (unsigned i = 0; i < 4; i++)
		if (d->wanted.dr7 >> 2 * i & 3)
			hits |= dr6 & BIT(i);
	d->traps++;
	if (hits) {
		int r = d->stepping ? disarm(vp, dr6 & DR6_BS) : 0;

		d->stepping = false;
		stop(vp, VP_STOP_HARDWARE, hits);
		return r ? r : 1;
	}
	if (!(dr6 & DR6_BS))
		return 0;
	if (d->stepping && d->armed) {
		int r = finish(vp);

		return r ? r : !own;
	}
	const struct hv_register_page *s = hcl_state(&vp->hcl);

	if (!s)
		return -EIO;
	if (!is_leftover(vp, s->ss.attributes >> 5 & 3))
		return 0;
	int r = hcl_set_rflags(&vp->hcl, s->rflags & ~RFLAGS_TF);

	return r ? r : 1;
}

static int take_exception(struct vp *vp, const struct hv_exception_intercept *m)
{
	u64 dr6 = m->parameter;
	int r;

	if (m->vector == VECTOR_BP) {
		r = debug_breakpoint(vp, m->header.rip);
		return r ? r : debug_breakpoint(vp, m->header.rip - 1);
	}
	if (m->vector != VECTOR_DB)
		return 0;
	if (!dr6) {
		r = hcl_get64(&vp->hcl, HV_X64_REGISTER_DR6, &dr6);
		if (r)
			return r;
	}
	return debug_trap(vp, dr6);
}

int debug_exception(struct vp *vp, const struct hv_exception_intercept *m)
{
	int r = vp->machine->debug ? take_exception(vp, m) : 0;

	if (r)
		return r < 0 ? r : 0;
	/* INT3's frame says the address behind it: that is what a software exception of one byte is */
	if (m->vector == VECTOR_BP)
		return hcl_set64(&vp->hcl, HV_REGISTER_PENDING_INTERRUPTION,
				 HV_PENDING_INTERRUPTION | FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_SOFTWARE_EXCEPTION) |
				 FIELD_PREP(HV_PENDING_LENGTH, 1) | FIELD_PREP(HV_PENDING_VECTOR, VECTOR_BP));
	if (m->vector == VECTOR_DB && m->parameter)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_DR6, m->parameter);
	return r ? r : vp_inject(vp, m->vector, m->info & 1, m->error_code, m->parameter);
}

void debug_inspect(void *object, struct inspect *in)
{
	const struct vp *vp = object;
	const struct vp_debug *d = &vp->debug;

	inspect_bool(in, "held", d->held);
	inspect_bool(in, "stepping", d->stepping);
	inspect_bool(in, "debug_registers", d->hardware);
	inspect_count(in, "holds", d->holds);
	inspect_count(in, "steps", d->steps);
	inspect_count(in, "breakpoints", d->breakpoints);
	inspect_count(in, "traps", d->traps);
}
