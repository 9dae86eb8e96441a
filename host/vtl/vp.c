/* A VP's thread: decide which VTL runs and with what interrupt, run it, answer its exit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("vp");

#define KICK_SIGNAL SIGUSR1

static __thread struct vp *self;

void vp_kick(struct vp *vp)
{
	if (vp == self || atomic_exchange(&vp->kicked, true))
		return;
	pid_t tid = __atomic_load_n(&vp->tid, __ATOMIC_ACQUIRE);

	if (tid)
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

void vp_event(struct vp *vp, enum partition_event event, enum vtl vtl, const char *format, ...)
{
	struct partition *p = vp->partition;
	char text[4608];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (event != PARTITION_CRASH) {
		atomic_store(&p->stopping, true);
		pause_break(p);
		for (u32 i = 0; i < p->vp_count; i++)
			vp_kick(&p->vps[i]);
	}
	p->config.ops->event(p->config.ctx, event, vtl, vp->index, text);
}

void vp_inject_exception(struct vp *vp, enum vtl vtl, u8 vector, bool has_error, u32 error)
{
	struct kvm_vcpu_events *e = &vp->per[vtl].vcpu.run->s.regs.events;

	e->exception.injected = 1;
	e->exception.nr = vector;
	e->exception.has_error_code = has_error;
	e->exception.error_code = error;
	vp->per[vtl].vcpu.run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
}

/* ---- VTL0's start-up states */

static void reset_vtl0_registers(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	u64 apic_base = SREGS(v).apic_base;

	if (v->open)
		finish_access(vp, VTL0);
	REGS(v) = vp->power_on_regs;
	SREGS(v) = vp->power_on_sregs;
	SREGS(v).apic_base = apic_base; /* INIT leaves it */
	memset(&v->run->s.regs.events, 0, sizeof(v->run->s.regs.events));
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	vp->halted = false;
	vp->pending_event = vp->pending_interruption = vp->deliverability = 0;
}

static void take_init_and_sipi(struct vp *vp)
{
	struct lapic *apic = &vp->per[VTL0].apic;

	if (atomic_exchange(&apic->init_pending, false)) {
		reset_vtl0_registers(vp);
		lapic_reset(apic);
		apic_sync_mode(vp, VTL0);
		vp->wait_for_sipi = true;
	}
	int vector = atomic_exchange(&apic->sipi_vector, -1);

	if (vector < 0 || !vp->wait_for_sipi)
		return;
	struct vcpu *v = &vp->per[VTL0].vcpu;

	SREGS(v).cs.selector = (u16)(vector << 8);
	SREGS(v).cs.base = (u64)vector << 12;
	REGS(v).rip = 0;
	v->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	vp->wait_for_sipi = false;
}

static bool apic_wakes(struct vp *vp, enum vtl vtl)
{
	lapic_settle(&vp->per[vtl].apic);
	return lapic_pending(&vp->per[vtl].apic) >= 0 || atomic_load(&vp->per[vtl].apic.nmi_pending);
}

/* ---- the loop */

static void drain_signal(void)
{
	sigset_t set;
	struct timespec none = { 0 };

	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	while (sigtimedwait(&set, NULL, &none) > 0)
		;
}

static void wait_for_signal(struct vp *vp)
{
	sigset_t set;
	struct timespec limit = { .tv_sec = 1 };

	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	atomic_store(&vp->waiting, true);
	sigtimedwait(&set, NULL, &limit);
	atomic_store(&vp->waiting, false);
	clock_check(vp);
	clock_arm(vp);
}

static void remember(struct vp *vp, enum vtl vtl, int result, u64 entry_rip)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	struct exit_record *e = &vp->history[vp->history_next++ % EXIT_HISTORY];

	*e = (struct exit_record){ .vtl = vtl_number(vtl), .reason = (u8)result, .rip = REGS(v).rip, .entry_rip = entry_rip,
				   .queued = (s16)vp->queued_vector, .left = (s16)queued_interrupt(v) };
	vp->queued_vector = -1;
	if (result == KVM_EXIT_IO)
		e->port = v->run->io.port;
	else if (result == KVM_EXIT_X86_RDMSR || result == KVM_EXIT_X86_WRMSR)
		e->detail = v->run->msr.index;
	else if (result == KVM_EXIT_MMIO)
		e->detail = (u32)v->run->mmio.phys_addr;
}

bool partition_vp_exit(struct partition *p, u32 index, u32 n, char *text, size_t size)
{
	const struct vp *vp = &p->vps[index];
	u32 end = vp->history_next, i = (end > EXIT_HISTORY ? end - EXIT_HISTORY : 0) + n;
	const struct exit_record *e = &vp->history[i % EXIT_HISTORY];

	if (n >= MIN(end, EXIT_HISTORY))
		return false;
	snprintf(text, size,
		 "VP %u, exit %u: VTL%u entered at %#lx, left at %#lx: reason %d, port %#x, detail %#x, interrupt %d, left %d",
		 index, i, e->vtl, e->entry_rip, e->rip, (s8)e->reason, e->port, e->detail, e->queued, e->left);
	return true;
}

void vp_print_history(struct vp *vp)
{
	char text[200];

	for (u32 i = 0; partition_vp_exit(vp->partition, vp->index, i, text, sizeof(text)); i++)
		log_at(LOG_NOTICE, "%s", text);
}

static void run(struct vp *vp, enum vtl vtl)
{
	struct vp_vtl *per = &vp->per[vtl];
	struct vcpu *v = &per->vcpu;

	u64 entry_rip = REGS(v).rip;

	if (vtl == VTL0)
		debug_before_run(vp);
	else
		firmware_debug_before_run(vp);
	v->run->cr8 = per->apic.tpr >> 4;
	vp->counters.kvm_runs[vtl]++;
	int r = ioctl(v->fd, KVM_RUN, 0), error = errno;

	/*
	 * KVM adds to this and never takes away, and queues the lowest bit again whenever SREGS are written back: an interrupt
	 * that once waited would come for ever. What waits now KVM remembers by itself.
	 */
	memset(SREGS(v).interrupt_bitmap, 0, sizeof(SREGS(v).interrupt_bitmap));
	if (v->run->cr8 != per->apic.tpr >> 4)
		per->apic.tpr = (u32)v->run->cr8 << 4;
	if (vtl == VTL0)
		debug_after_run(vp);
	remember(vp, vtl, r < 0 ? -error : (int)v->run->exit_reason, entry_rip);
	if (r < 0) {
		if (error == EINTR || error == EAGAIN) {
			vp->counters.interrupted[vtl]++;
			drain_signal();
			clock_check(vp);
			clock_arm(vp);
		} else if (error == EFAULT && vtl == VTL0) {
			vtl0_fault(vp);
		} else {
			vp_event(vp, PARTITION_FATAL, vtl, "VP %u VTL%u: KVM_RUN: %s", vp->index, vtl_number(vtl),
				 strerror(error));
		}
		return;
	}
	if (v->run->exit_reason < ARRAY_SIZE(vp->counters.exits[0]))
		vp->counters.exits[vtl][v->run->exit_reason]++;
	if (vtl == VTL2)
		exit_vtl2(vp);
	else
		exit_vtl0(vp);
}

static bool enter_vtl2(struct vp *vp)
{
	if (vp->vtl2_halted && !apic_wakes(vp, VTL2) && !firmware_debug_stepping(vp)) {
		wait_for_signal(vp);
		return false;
	}
	vp->vtl2_halted = false;
	if (firmware_debug_stepping(vp))
		vp->per[VTL2].vcpu.run->request_interrupt_window = 0; /* else a step goes into a handler */
	else
		inject_from_apic(vp, VTL2, false);
	return true;
}

/* false: VTL2 got the VP instead, or there was only waiting */
static bool enter_vtl0(struct vp *vp)
{
	if (apic_wakes(vp, VTL2)) {
		vp->counters.intercepts[COUNT_PREEMPTED]++;
		switch_to_vtl2(vp, HV_VTL_ENTRY_INTERRUPT);
		return false;
	}
	take_init_and_sipi(vp);
	if (vp->trap_pending && debug_wanted(vp)) {
		debug_trap(vp);
		return false;
	}
	vp->trap_pending = false; /* the debugger has left meanwhile */
	if (vp->eoi_vector >= 0) {
		u8 vector = (u8)vp->eoi_vector;

		vp->eoi_vector = -1;
		intercept_eoi(vp, vector);
		return false;
	}
	u16 sints = (u16)FIELD_GET(HV_DELIVERABILITY_SINTS, vp->deliverability);
	u16 free_slots = sints ? synic_free_slots(&vp->per[VTL0].synic, sints) : 0;

	if (free_slots) {
		vp->deliverability &= ~FIELD_PREP(HV_DELIVERABILITY_SINTS, free_slots);
		intercept_sints(vp, free_slots);
		return false;
	}
	/* KVM queues an NMI by itself, whatever it is masked by: it can be taken as soon as no other event is under way */
	if (vp->deliverability & HV_DELIVERABILITY_NMI && !pending_interruption(vp) && !(vp->pending_event & HV_EVENT_PENDING)) {
		vp->deliverability &= ~DELIVERABILITY_INTERRUPTION;
		intercept_simple(vp, HVMSG_X64_INTERRUPTION_DELIVERABLE);
		return false;
	}
	if (vp->wait_for_sipi || (vp->halted && !apic_wakes(vp, VTL0) && !(vp->pending_interruption & HV_PENDING_INTERRUPTION) &&
				  !(vp->pending_event & HV_EVENT_PENDING))) {
		wait_for_signal(vp);
		return false;
	}
	vp->halted = false;
	if (!vp->cpuid_loaded[VTL0]) {
		if (cpuid_load(vp, VTL0)) {
			vp_event(vp, PARTITION_FATAL, VTL0, "VP %u: CPUID of VTL0 could not be set", vp->index);
			return false;
		}
		vp->cpuid_loaded[VTL0] = true;
	}
	bool busy = inject_for_vtl2(vp);

	inject_from_apic(vp, VTL0, busy || vp->shadow);
	vp->shadow = false;
	if (vp->deliverability & HV_DELIVERABILITY_NMI)
		clock_soon(vp); /* looked at again once the event that is in the way was taken */
	if (interruption_awaited(vp))
		vp->per[VTL0].vcpu.run->request_interrupt_window = 1;
	return true;
}

static bool wait_for_start(struct vp *vp)
{
	while (!atomic_load(&vp->started)) {
		if (atomic_load(&vp->partition->stopping))
			return false;
		pause_here(vp);
		wait_for_signal(vp);
		atomic_store(&vp->kicked, false);
	}
	if (vp->index)
		load_start_context(vp, &vp->start_context.context);
	return true;
}

static void *vp_thread(void *arg)
{
	struct vp *vp = arg;
	struct partition *p = vp->partition;
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL };
	char name[16];

	self = vp;
	snprintf(name, sizeof(name), "vp%u", vp->index);
	pthread_setname_np(pthread_self(), name);
	__atomic_store_n(&vp->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	event._sigev_un._tid = vp->tid;
	if (timer_create(CLOCK_MONOTONIC, &event, &vp->timer)) {
		vp_event(vp, PARTITION_FATAL, VTL2, "timer of VP %u: %s", vp->index, strerror(errno));
		pause_thread(p, -1);
		return NULL;
	}
	vp->timer_made = true;
	if (wait_for_start(vp)) {
		while (!atomic_load_explicit(&p->stopping, memory_order_relaxed)) {
			atomic_store(&vp->kicked, false);
			pause_here(vp);
			clock_check(vp);
			enum vtl vtl = atomic_load_explicit(&vp->vtl, memory_order_relaxed);

			if (vtl == VTL2 ? enter_vtl2(vp) : enter_vtl0(vp))
				run(vp, vtl);
		}
	}
	timer_delete(vp->timer);
	vp->timer_made = false;
	pause_thread(p, -1);
	return NULL;
}

int vp_start_thread(struct vp *vp)
{
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &set, &before); /* inherited by the thread */
	pause_thread(vp->partition, 1);
	int r = pthread_create(&vp->thread, NULL, vp_thread, vp);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		pause_thread(vp->partition, -1);
	return r ? log_err(-r, "thread of VP %u", vp->index) : 0;
}

int vp_create(struct partition *p, u32 index)
{
	struct vp *vp = &p->vps[index];

	vp->partition = p;
	vp->index = index;
	vp->eoi_vector = vp->queued_vector = -1;
	atomic_store(&vp->vtl, VTL2);
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		struct vp_vtl *per = &vp->per[vtl];

		per->vcpu.fd = -1;
		synic_init(&per->synic, &synic_ops[vtl], vp);
		lapic_init(&per->apic, p->config.apic_ids[index], !index, APIC_TIMER_HZ, &apic_ops[vtl], vp);
		int r = kvm_make_vcpu(vp, vtl);

		if (r)
			return r;
		SREGS(&per->vcpu).apic_base = LAPIC_BASE | LAPIC_BASE_ENABLED | (index ? 0 : LAPIC_BASE_BSP);
		sregs_dirty(&per->vcpu);
	}
	vp->power_on_regs = REGS(&vp->per[VTL0].vcpu);
	vp->power_on_sregs = SREGS(&vp->per[VTL0].vcpu);
	vp->wait_for_sipi = index != 0;
	vp->vtl2_enabled = index == 0;
	int r = cpuid_load(vp, VTL2);

	vp->cpuid_loaded[VTL2] = !r;
	return r;
}

void vp_destroy(struct vp *vp)
{
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		struct vcpu *v = &vp->per[vtl].vcpu;

		if (v->run)
			munmap(v->run, vp->partition->run_size);
		if (v->fd >= 0)
			close(v->fd);
		free(v->fpu);
		synic_fini(&vp->per[vtl].synic);
	}
}
