/* What KVM is told of interrupts, against a model of how it takes them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "host/vtl/vp.h"

#define TIMER_VECTOR 0xec
#define RFLAGS_IF BIT(9)

static struct partition p;
static struct vp vp;
static struct kvm_run run;
static struct { /* KVM's own */
	int interrupt, exception, nmis;
} kvm;

/* in the place of libc's: the only ioctls here are for a vcpu */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	if (request == KVM_INTERRUPT)
		kvm.interrupt = (int)va_arg(args, struct kvm_interrupt *)->irq;
	else if (request == KVM_NMI)
		kvm.nmis++;
	va_end(args);
	return 0;
}

/* KVM_RUN's beginning: the marked struct replaces everything */
static void enter(void)
{
	const struct kvm_vcpu_events *e = &run.s.regs.events;

	if (!(run.kvm_dirty_regs & KVM_SYNC_X86_EVENTS))
		return;
	kvm.interrupt = e->interrupt.injected ? e->interrupt.nr : -1;
	kvm.exception = e->exception.injected ? e->exception.nr : -1;
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		kvm.nmis = e->nmi.pending;
	run.kvm_dirty_regs = 0;
}

static void leave(void)
{
	kvm.interrupt = kvm.exception = -1;
	kvm.nmis = 0;
	memset(&run.s.regs.events, 0, sizeof(run.s.regs.events));
	run.s.regs.events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	run.ready_for_interrupt_injection = 1;
}

static int set_up(void **state)
{
	memset(&p, 0, sizeof(p));
	memset(&vp, 0, sizeof(vp));
	memset(&run, 0, sizeof(run));
	vp.partition = &p;
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		vp.per[vtl].vcpu.run = &run;
		lapic_init(&vp.per[vtl].apic, 0, true, 1000000, &apic_ops[vtl], &vp);
		assert_true(lapic_write(&vp.per[vtl].apic, LAPIC_SVR, 0x1ff));
	}
	run.s.regs.regs.rflags = RFLAGS_IF;
	leave();
	return 0;
}

static bool in_service(enum vtl vtl)
{
	return vp.per[vtl].apic.isr[TIMER_VECTOR / 64] >> TIMER_VECTOR % 64 & 1;
}

static void an_interrupt_is_queued(void **state)
{
	lapic_request(&vp.per[VTL0].apic, TIMER_VECTOR, false, false);
	inject_from_apic(&vp, VTL0, false);
	enter();
	assert_int_equal(kvm.interrupt, TIMER_VECTOR);
	assert_true(in_service(VTL0));
}

/* the host's own #UD, as for an unknown hypercall, takes nothing away from the APIC's interrupt */
static void behind_an_exception_it_waits(void **state)
{
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		vp_inject_exception(&vp, vtl, 6, false, 0);
		lapic_request(&vp.per[vtl].apic, TIMER_VECTOR, false, false);
		inject_from_apic(&vp, vtl, false);
		enter();
		assert_int_equal(kvm.exception, 6);
		assert_int_equal(kvm.interrupt, -1);
		assert_false(in_service(vtl));
		assert_int_equal(run.request_interrupt_window, 1);
		leave();
		inject_from_apic(&vp, vtl, false);
		enter();
		assert_int_equal(kvm.interrupt, TIMER_VECTOR);
		assert_true(in_service(vtl));
		leave();
	}
}

static void an_nmi_waits_too(void **state)
{
	lapic_request_nmi(&vp.per[VTL0].apic);
	vp_inject_exception(&vp, VTL0, 6, false, 0);
	inject_from_apic(&vp, VTL0, false);
	enter();
	assert_int_equal(kvm.exception, 6);
	assert_true(atomic_load(&vp.per[VTL0].apic.nmi_pending) || kvm.nmis == 1);
	leave();
	inject_from_apic(&vp, VTL0, false);
	enter();
	assert_int_equal(kvm.nmis, 1);
}

/* VTL2 sets an interrupt shadow, or takes it back, and injects, in one visit */
static void what_vtl2_injects_survives_a_shadow(void **state)
{
	for (unsigned shadow = 0; shadow < 2; shadow++) {
		const union hv_register_value value = { .u64 = { shadow ? HV_INTERRUPT_SHADOW : 0 } };

		assert_int_equal(register_set(&vp, VTL0, HV_REGISTER_INTERRUPT_STATE, &value), HV_STATUS_SUCCESS);
		vp.pending_event = HV_EVENT_PENDING | FIELD_PREP(HV_EVENT_TYPE, HV_EVENT_TYPE_EXTINT) |
				   FIELD_PREP(HV_EVENT_EXTINT_VECTOR, 0x55ull);
		assert_true(inject_for_vtl2(&vp));
		enter();
		assert_int_equal(kvm.interrupt, 0x55);
		leave();
		assert_int_equal(register_set(&vp, VTL0, HV_REGISTER_INTERRUPT_STATE, &value), HV_STATUS_SUCCESS);
		vp.pending_interruption = HV_PENDING_INTERRUPTION | FIELD_PREP(HV_PENDING_TYPE, HV_PENDING_TYPE_NMI);
		assert_true(inject_for_vtl2(&vp));
		enter();
		assert_int_equal(kvm.nmis, 1);
		leave();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_interrupt_is_queued, set_up),
		cmocka_unit_test_setup(behind_an_exception_it_waits, set_up),
		cmocka_unit_test_setup(an_nmi_waits_too, set_up),
		cmocka_unit_test_setup(what_vtl2_injects_survives_a_shadow, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
