/* What made KVM_RUN return, and who answers it. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("exit");

#define DEBUG_PORT 0x3e8 /* COM3: the one console Hyper-V offers VTL2 */

static void port_ones(struct kvm_run *run)
{
	if (run->io.direction == KVM_EXIT_IO_IN)
		memset((u8 *)run + run->io.data_offset, 0xff, (size_t)run->io.size * run->io.count);
}

/* a 16550 that is always ready to send and never receives */
static void debug_port(struct vp *vp, struct kvm_run *run)
{
	struct partition *p = vp->partition;
	u8 *data = (u8 *)run + run->io.data_offset;
	u32 reg = run->io.port - DEBUG_PORT;

	for (u32 i = 0; i < run->io.count * run->io.size; i++) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			if (reg == 0 && !(p->debug_line_control & 0x80))
				p->config.ops->debug_output(p->config.ctx, data[i]);
			else if (reg == 3)
				p->debug_line_control = data[i];
			else if (reg == 7)
				p->debug_scratch = data[i];
			continue;
		}
		static const u8 fixed[8] = { [2] = 0x01, [5] = 0x60, [6] = 0xb0 };

		data[i] = reg == 3 ? p->debug_line_control : reg == 7 ? p->debug_scratch : fixed[reg];
	}
}

static bool in_hypercall_page(struct vp *vp, enum vtl vtl)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	u64 msr = atomic_load_explicit(&vp->partition->wide[vtl].hypercall, memory_order_relaxed), gpa;

	if (!(msr & HV_MSR_PAGE_ENABLE) || SREGS(v).ss.dpl)
		return false;
	if (vtl == VTL2)
		return true; /* the firmware is trusted with its own ports */
	return walk_linear(vp, SREGS(v).efer & BIT(10) ? REGS(v).rip : SREGS(v).cs.base + REGS(v).rip, &gpa) &&
	       (gpa & HV_MSR_PAGE_GPA) == (msr & HV_MSR_PAGE_GPA);
}

static void exit_msr(struct vp *vp, enum vtl vtl, bool write)
{
	struct kvm_run *run = vp->per[vtl].vcpu.run;
	u64 value = run->msr.data;
	bool wanted = vtl == VTL0 && write && msr_write_wanted(vp, run->msr.index);
	bool theirs = wanted || (vtl == VTL0 && msr_left_to_vtl2(vp, run->msr.index));
	bool known = !theirs && (write ? msr_write(vp, vtl, run->msr.index, value) : msr_read(vp, vtl, run->msr.index, &value));

	run->msr.error = 0;
	vp->per[vtl].vcpu.open = ACCESS_ANSWERED;
	if (known) {
		run->msr.data = value;
		return;
	}
	/* what it asked for by register comes also to a VTL2 without the intercept on MSRs */
	if (wanted || (vtl == VTL0 && intercept_wanted(vp->partition, HV_INTERCEPT_MSR))) {
		vp->per[vtl].vcpu.open = ACCESS_MSR;
		intercept_msr(vp, write);
		return;
	}
	log_at(LOG_DEBUG, "VP %u VTL%u: %s of unknown MSR %#x", vp->index, vtl_number(vtl), write ? "write" : "read",
	       run->msr.index);
	run->msr.error = 1;
}

static void dump_and_stop(struct vp *vp, enum vtl vtl, const char *what)
{
	struct vcpu *v = &vp->per[vtl].vcpu;

	vp_print_history(vp);
	vp_event(vp, vtl == VTL2 ? PARTITION_TRIPLE_FAULT_VTL2 : PARTITION_FATAL, vtl,
		 "VP %u VTL%u: %s; RIP %#llx RSP %#llx RFLAGS %#llx RAX %#llx RCX %#llx RDX %#llx CR0 %#llx CR2 %#llx CR3 %#llx "
		 "CR4 %#llx EFER %#llx CS base %#llx", vp->index, vtl_number(vtl), what, REGS(v).rip, REGS(v).rsp, REGS(v).rflags,
		 REGS(v).rax, REGS(v).rcx, REGS(v).rdx, SREGS(v).cr0, SREGS(v).cr2, SREGS(v).cr3, SREGS(v).cr4, SREGS(v).efer,
		 SREGS(v).cs.base);
}

/*
 * VTL2's kernel ends each interrupt before it idles. One that is still in service then has never reached it, and holds up all
 * below it for good: told once, with how it came to this.
 */
static void check_in_service(struct vp *vp)
{
	struct lapic *apic = &vp->per[VTL2].apic;
	int requested, in_service;

	lapic_settle(apic);
	lapic_highest(apic, &requested, &in_service);
	if (in_service < 0 || vp->told_in_service)
		return;
	vp->told_in_service = true;
	log_at(LOG_WARN, "VP %u: VTL2 halts with interrupt %d in service (%d is requested): it never arrived", vp->index,
	       in_service, requested);
	vp_print_history(vp);
}

static void answer_vtl2(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL2].vcpu;
	struct kvm_run *run = v->run;
	struct partition *p = vp->partition;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (firmware_debug_port(vp))
			return;
		if (run->io.port >= HYPERCALL_PORT && run->io.port <= VTL_RETURN_PORT && in_hypercall_page(vp, VTL2)) {
			if (run->io.port == HYPERCALL_PORT)
				hypercall(vp, VTL2);
			else if (run->io.port == VTL_RETURN_PORT)
				switch_to_vtl0(vp);
			else
				vp_inject_exception(vp, VTL2, 6, false, 0); /* VTL2 is the highest: no VTL to call */
		} else if (run->io.port >= DEBUG_PORT && run->io.port < DEBUG_PORT + 8) {
			debug_port(vp, run);
		} else {
			port_ones(run);
		}
		return;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(vp, VTL2, run->exit_reason == KVM_EXIT_X86_WRMSR);
		return;
	case KVM_EXIT_MMIO:
		if (!apic_mmio(vp, VTL2, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write) &&
		    !(p->config.ops->mmio && p->config.ops->mmio(p->config.ctx, run->mmio.phys_addr, run->mmio.data,
								 run->mmio.len, run->mmio.is_write)) &&
		    !run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return;
	case KVM_EXIT_HLT:
		check_in_service(vp);
		vp->vtl2_halted = true;
		return;
	case KVM_EXIT_DEBUG:
		firmware_debug_exit(vp);
		return;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		return;
	case KVM_EXIT_SHUTDOWN:
		dump_and_stop(vp, VTL2, "the firmware's kernel ended in a triple fault");
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		dump_and_stop(vp, VTL2, run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
			      "KVM could not emulate an instruction" : "KVM internal error");
		return;
	}
	dump_and_stop(vp, VTL2, "KVM exit reason that pvhost does not know");
}

void exit_vtl2(struct vp *vp)
{
	answer_vtl2(vp);
	if (firmware_debug_stepping(vp))
		firmware_debug_after_exit(vp);
}

void finish_vtl2(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL2].vcpu;

	while (atomic_load(&vp->vtl) == VTL2 && (v->run->exit_reason == KVM_EXIT_IO || v->run->exit_reason == KVM_EXIT_MMIO ||
						 v->run->exit_reason == KVM_EXIT_X86_RDMSR ||
						 v->run->exit_reason == KVM_EXIT_X86_WRMSR)) {
		v->run->immediate_exit = 1;
		int r = ioctl(v->fd, KVM_RUN, 0);

		v->run->immediate_exit = 0;
		if (r < 0)
			return;
		exit_vtl2(vp); /* its next piece */
	}
}

/* an access KVM has begun to emulate, outside the holes: nobody is there */
void stray_mmio(struct vp *vp)
{
	struct kvm_run *run = vp->per[VTL0].vcpu.run;

	vp->per[VTL0].vcpu.open = ACCESS_ANSWERED;
	if (apic_mmio(vp, VTL0, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write))
		return;
	log_guest("VP %u VTL0: %s of %#llx, outside memory and MMIO", vp->index, run->mmio.is_write ? "write" : "read",
		  run->mmio.phys_addr);
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

/*
 * KVM emulates OUTS to the end before it exits and has moved RSI, RCX and perhaps RIP: put them back, since VTL2 gets to
 * see the guest before the instruction. INS has moved nothing yet.
 */
static void rewind_string_output(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	struct kvm_run *run = v->run;
	struct decoded d;
	u64 bytes = (u64)run->io.size * run->io.count;

	decode_at_rip(vp, &d);
	for (u32 i = 0; i < d.length; i++)
		if ((d.bytes[i] & 0xfe) == 0x6e)
			goto moved_only_pointers;
	for (u64 back = 1; back <= 4; back++) {
		u8 before[4];
		u64 linear = REGS(v).rip - back + (SREGS(v).efer & BIT(10) ? 0 : SREGS(v).cs.base);

		if (fetch_code(vp, linear, before, 1) != 1)
			break;
		bool opcode = back == 1 && (before[0] & 0xfe) == 0x6e;
		bool prefix = before[0] == 0xf3 || before[0] == 0xf2 || before[0] == 0x66 || before[0] == 0x67;

		if (!(back == 1 ? opcode : prefix)) {
			REGS(v).rip -= back - 1;
			break;
		}
	}
moved_only_pointers:
	REGS(v).rsi += REGS(v).rflags & BIT(10) ? bytes : -bytes;
	decode_at_rip(vp, &d);
	for (u32 i = 0; i < d.length; i++)
		if (d.bytes[i] == 0xf3 || d.bytes[i] == 0xf2) {
			REGS(v).rcx += run->io.count;
			break;
		}
	regs_dirty(v);
}

static bool is_string_output(struct vp *vp)
{
	struct kvm_run *run = vp->per[VTL0].vcpu.run;
	struct decoded d;

	if (run->io.direction != KVM_EXIT_IO_OUT)
		return false;
	if (run->io.count > 1)
		return true;
	decode_at_rip(vp, &d);
	for (u32 i = 0; i < d.length; i++)
		if ((d.bytes[i] & 0xfc) == 0xe4 || (d.bytes[i] & 0xfc) == 0xec)
			return false;
	return true;
}

static void exit_port(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	struct kvm_run *run = v->run;

	v->open = ACCESS_ANSWERED;
	if (run->io.port == HYPERCALL_PORT && in_hypercall_page(vp, VTL0)) {
		hypercall(vp, VTL0);
		return;
	}
	if (!intercept_wanted(vp->partition, HV_INTERCEPT_IO_PORT_RANGE) &&
	    !intercept_wanted(vp->partition, HV_INTERCEPT_IO_PORT)) {
		port_ones(run);
		return;
	}
	if (is_string_output(vp)) {
		rewind_string_output(vp);
		v->open = ACCESS_NONE;
	} else {
		struct decoded d;

		decode_at_rip(vp, &d);
		v->open = decoded_string_io(&d) ? ACCESS_STRING_INPUT : ACCESS_PORT;
		v->open_rip = REGS(v).rip;
		v->open_linear = d.linear;
	}
	intercept_io(vp);
}

static void triple_fault(struct vp *vp)
{
	/* SVM resets the VMCB and forgets the TSC offset, though KVM still reports it */
	if (kvm_set_tsc_offset(&vp->per[VTL0].vcpu, vp->partition->tsc_offset))
		log_at(LOG_WARN, "VP %u: TSC offset after a triple fault", vp->index);
	vp->wait_for_sipi = true; /* nothing runs on until VTL2 decides */
	intercept_simple(vp, HVMSG_UNRECOVERABLE_EXCEPTION);
}

/* the instruction itself lies where VTL0 has no memory; false: it does not */
static bool fetch_intercept(struct vp *vp)
{
	const struct vcpu *v = &vp->per[VTL0].vcpu;
	bool long_mode = SREGS(v).efer & BIT(10) /* LMA */ && SREGS(v).cs.l;
	u64 linear = long_mode ? REGS(v).rip : (SREGS(v).cs.base + REGS(v).rip) & 0xffffffffu, gpa;

	if (!walk_linear(vp, linear, &gpa) || memory_for_vtl0(vp->partition, gpa, 1, HV_MAP_READ))
		return false;
	intercept_memory(vp, gpa, linear, HV_INTERCEPT_ACCESS_EXECUTE, NULL, 0, 0);
	return true;
}

/*
 * KVM gave up: on instructions where there is no memory, on an interrupt table or a stack there. All a guest's own doing,
 * and so the guest's end at most.
 */
static void kvm_gave_up(struct vp *vp)
{
	const struct kvm_run *run = vp->per[VTL0].vcpu.run;

	if (fetch_intercept(vp))
		return;
	log_guest("VP %u VTL0: KVM cannot go on at %#llx (internal error %u)", vp->index, REGS(&vp->per[VTL0].vcpu).rip,
		  run->internal.suberror);
	triple_fault(vp);
}

void exit_vtl0(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	struct kvm_run *run = v->run;

	v->open = ACCESS_NONE;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		exit_port(vp);
		return;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		exit_msr(vp, VTL0, run->exit_reason == KVM_EXIT_X86_WRMSR);
		return;
	case KVM_EXIT_MMIO:
		stray_mmio(vp);
		return;
	case KVM_EXIT_HLT:
		if (vp->partition->config.no_apic)
			intercept_simple(vp, HVMSG_X64_HALT); /* nothing here could wake it */
		else if (debug_stepping(vp))
			debug_trap(vp); /* a step that would last until an interrupt, which are kept away */
		else
			vp->halted = true;
		return;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		if (interruption_deliverable(vp)) {
			vp->deliverability &= ~DELIVERABILITY_INTERRUPTION;
			intercept_simple(vp, HVMSG_X64_INTERRUPTION_DELIVERABLE);
		}
		return;
	case KVM_EXIT_SHUTDOWN:
		triple_fault(vp);
		return;
	case KVM_EXIT_DEBUG:
		debug_exit(vp);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		kvm_gave_up(vp);
		return;
	}
	dump_and_stop(vp, VTL0, "KVM exit reason that pvhost does not know");
}

void vtl0_fault(struct vp *vp)
{
	const struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_vcpu_events *events = &v->run->s.regs.events;
	struct partition *p = vp->partition;
	struct decoded d;
	u64 gpa;

	decode_at_rip(vp, &d);
	if (d.length && d.memory && walk_linear(vp, d.linear, &gpa)) {
		/* an access may begin in a good page and end in a bad one */
		u64 last, linear = d.linear + (d.size ? d.size - 1 : 0);
		u32 access = d.write ? HV_MAP_READ | HV_MAP_WRITE : HV_MAP_READ;

		if (memory_for_vtl0(p, gpa, 1, access) && walk_linear(vp, linear, &last)) {
			gpa = last & ~(u64)(PAGE_SIZE - 1);
			d.linear = linear & ~(u64)(PAGE_SIZE - 1);
		}
		if (!memory_for_vtl0(p, gpa, 1, access)) {
			intercept_memory(vp, gpa, d.linear, d.write ? HV_INTERCEPT_ACCESS_WRITE : HV_INTERCEPT_ACCESS_READ,
					 d.bytes, d.byte_count, d.length);
			return;
		}
	}
	if (!d.byte_count && fetch_intercept(vp))
		return;
	/*
	 * No instruction, whatever the processor takes it for; or one with an operand that the decoder does not tell (ENTER's
	 * frame pointers). As for what VTL2 cannot emulate. While an event is delivered the page tables or the stack lie there:
	 * no guest does this on purpose.
	 */
	log_guest("VP %u VTL0: at %#llx (%02x %02x %02x %02x ...), an access outside memory whose address was not found",
		  vp->index, REGS(v).rip, d.bytes[0], d.bytes[1], d.bytes[2], d.bytes[3]);
	if (d.byte_count && !events->exception.injected && !events->interrupt.injected && !events->nmi.injected)
		vp_inject_exception(vp, VTL0, 6 /* #UD */, false, 0);
	else
		triple_fault(vp);
}
