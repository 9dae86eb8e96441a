/* VTL0's local APIC, SynIC and timers played by the VPs' own process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_apics.h"

static void an_interrupt_is_injected_when_it_can_be_taken(void **state)
{
	struct model_cpu *c = &bed->cpus[0];

	model_x2apic(c);
	model_assert_vector(0x41, 0);
	assert_int_equal(model_injected(c), 0x41);
	model_wrmsr(c, 0x80b, 0);
	c->fake.page.rflags = 2;
	model_assert_vector(0x52, 0);
	assert_int_equal(model_injected(c), -1);
	assert_int_equal(model_get(c, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT | 5 << 2);
	c->fake.page.rflags = 2 | MODEL_IF;
	model_exit(c, HVMSG_X64_INTERRUPTION_DELIVERABLE);
	model_play(c);
	assert_int_equal(model_injected(c), 0x52);
	/* one event at a time, and none in a shadow */
	model_wrmsr(c, 0x80b, 0);
	c->fake.page.pending_interruption = HV_PENDING_INTERRUPTION;
	model_assert_vector(0x61, 0);
	assert_int_equal(model_injected(c), -1);
	c->fake.page.pending_interruption = 0;
	c->fake.page.interrupt_state = HV_INTERRUPT_SHADOW;
	model_play(c);
	assert_int_equal(model_injected(c), -1);
	c->fake.page.interrupt_state = 0;
	model_play(c);
	assert_int_equal(model_injected(c), 0x61);
}

/* the register tells whether a cancelled run had taken the event */
static void an_event_that_waits_is_not_overwritten(void **state)
{
	struct model_cpu *c = &bed->cpus[0];

	model_x2apic(c);
	model_assert_vector(0x41, 0);
	assert_true(model_get(c, HV_REGISTER_PENDING_EVENT0) & HV_EVENT_PENDING);
	model_assert_vector(0x91, 0);
	assert_int_equal(model_injected(c), 0x41);
	model_play(c);
	assert_int_equal(model_injected(c), 0x91);
}

/* nor is an NMI lost that a cancelled run left behind */
static void an_nmi_that_waits_is_not_overtaken(void **state)
{
	struct model_cpu *c = &bed->cpus[0];

	model_x2apic(c);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = 0, .delivery_mode = LAPIC_NMI });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_true(model_get(c, HV_REGISTER_PENDING_INTERRUPTION) & HV_PENDING_INTERRUPTION);
	model_assert_vector(0x41, 0);
	assert_int_equal(model_injected(c), -1);
	model_set(c, HV_REGISTER_PENDING_INTERRUPTION, 0); /* taken */
	model_play(c);
	assert_int_equal(model_injected(c), 0x41);
}

static void hlt_parks_until_an_interrupt(void **state)
{
	struct model_cpu *c = &bed->cpus[0];

	model_x2apic(c);
	c->fake.page.interrupt_state = HV_INTERRUPT_SHADOW; /* sti; hlt */
	model_exit(c, HVMSG_X64_HALT);
	model_play(c);
	assert_true(c->vp.halted);
	unsigned runs = c->runs;

	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000000);
	assert_int_equal(c->runs, runs);
	model_assert_vector(0x41, 0);
	assert_false(c->vp.halted);
	assert_int_equal(model_injected(c), 0x41);
	assert_true(c->runs > runs);
	/* with MODEL_IF clear only an NMI does */
	c->fake.page.rflags = 2;
	model_exit(c, HVMSG_X64_HALT);
	model_play(c);
	model_assert_vector(0x42, 0);
	assert_true(c->vp.halted);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = 0, .delivery_mode = LAPIC_NMI });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_false(c->vp.halted);
	assert_int_equal(FIELD_GET(HV_PENDING_TYPE, model_get(c, HV_REGISTER_PENDING_INTERRUPTION)), HV_PENDING_TYPE_NMI);
}

static void init_and_sipi_start_a_processor(void **state)
{
	struct model_cpu *a = &bed->cpus[0], *b = &bed->cpus[1];

	model_play(b);
	assert_int_equal(b->runs, 0);
	model_x2apic(a);
	model_wrmsr(a, 0x830, 1ull << 32 | 0xc500); /* INIT */
	model_wrmsr(a, 0x830, 1ull << 32 | 0x8500); /* de-assert: nothing */
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(b->runs, 0);
	assert_int_equal(model_get(b, HV_X64_REGISTER_CR0), 0x60000010);
	assert_int_equal(model_get(b, HV_X64_REGISTER_RIP), 0xfff0);
	model_wrmsr(a, 0x830, 1ull << 32 | 0x69a);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_true(b->runs > 0);
	assert_int_equal(model_get(b, HV_X64_REGISTER_CS), 0x9a000); /* the base */
	assert_int_equal(model_get(b, HV_X64_REGISTER_RIP), 0);
	/* another start-up interrupt means nothing */
	model_set(b, HV_X64_REGISTER_RIP, 5);
	model_wrmsr(a, 0x830, 1ull << 32 | 0x69b);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(model_get(b, HV_X64_REGISTER_RIP), 5);
	/* IPIs: to one, to the others, to itself */
	model_x2apic(b);
	b->fake.page.rflags = 2 | MODEL_IF;
	model_wrmsr(a, 0x830, 1ull << 32 | 0x45);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(model_injected(b), 0x45);
	model_wrmsr(a, 0x830, 3ull << 18 | 0x77);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(model_injected(b), 0x77);
	assert_int_equal(model_injected(a), -1);
	model_wrmsr(a, 0x83f, 0x33);
	assert_int_equal(model_injected(a), 0x33);
}

static void task_priority_is_one_with_cr8(void **state)
{
	struct model_cpu *c = &bed->cpus[0];

	model_x2apic(c);
	model_wrmsr(c, 0x808, 0x57);
	assert_int_equal(model_get(c, HV_X64_REGISTER_CR8), 5);
	model_assert_vector(0x51, 0);
	assert_int_equal(model_injected(c), -1);
	/* the guest may lower it without an exit: the hypervisor is asked to tell */
	assert_int_equal(model_get(c, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT | 5 << 2);
	assert_int_equal(model_rdmsr(c, 0x808), 0x57);
	c->fake.page.cr8 = 4; /* the guest's mov to CR8 */
	model_play(c);
	assert_int_equal(model_injected(c), 0x51);
	assert_int_equal(model_rdmsr(c, 0x808), 0x40);
	assert_int_equal(model_rdmsr(c, 0x40000072), 0x40);
}

static u32 word_at(u64 gpa)
{
	u32 word = 0;

	assert_int_equal(guest_read(bed->machine.guest, gpa, &word, sizeof(word)), 0);
	return word;
}

static void end_of_interrupt_without_an_exit(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	u32 none = 0;

	model_x2apic(c);
	model_wrmsr(c, 0x40000073, MODEL_ASSIST | 1);
	model_assert_vector(0x41, 0);
	assert_int_equal(model_injected(c), 0x41);
	assert_int_equal(word_at(MODEL_ASSIST), 1);
	assert_int_equal(guest_write(bed->machine.guest, MODEL_ASSIST, &none, sizeof(none)), 0);
	model_assert_vector(0x42, 0); /* of the same class: only since the first has ended */
	assert_int_equal(model_injected(c), 0x42);
	/* one more of that class waits for its end: then the guest must say so */
	assert_int_equal(word_at(MODEL_ASSIST), 1);
	model_assert_vector(0x43, 0);
	assert_int_equal(model_injected(c), -1);
	assert_int_equal(word_at(MODEL_ASSIST), 0);
	model_wrmsr(c, 0x40000070, 0);
	assert_int_equal(model_injected(c), 0x43);
	/* level-triggered ones end at the IO-APIC, which must hear of it */
	assert_int_equal(guest_write(bed->machine.guest, MODEL_ASSIST, &none, sizeof(none)), 0);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .vector = 0x61, .level = true });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(model_injected(c), 0x61);
	assert_int_equal(word_at(MODEL_ASSIST), 0);
	u64 eois = bed->ioapic.eois;

	model_wrmsr(c, 0x80b, 0);
	assert_int_equal(bed->ioapic.eois, eois + 1);
	/* a page that is none */
	model_wrmsr(c, 0x40000073, 0xfffff001);
	model_assert_vector(0x44, 0);
	assert_int_equal(model_injected(c), 0x44);
}

static void xapic_by_memory(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	const u8 load[] = { 0x8b, 0x07 }, store[] = { 0x89, 0x07 }; /* mov (%rdi), %eax and back */
	const struct { const u8 *code; u64 reg, rax; } steps[] = {
		{ store, 0xf0, 0x1ff }, { load, 0xf0, 0 }, { store, 0x80, 0x30 }, { load, 0x30, 0 },
	};
	const u64 want[] = { 0x1ff, 0x1ff, 0x30, 0x50014 };

	for (unsigned i = 0; i < 4; i++) {
		struct hv_memory_intercept *m = model_exit(c, HVMSG_UNMAPPED_GPA);

		m->gpa = m->gva = LAPIC_BASE + steps[i].reg;
		m->access_info = 3;
		m->header.access_type = steps[i].code == store;
		m->instruction_byte_count = 2;
		memcpy(m->instruction_bytes, steps[i].code, 2);
		c->fake.run.context.rdi = m->gva;
		c->fake.run.context.rax = steps[i].rax;
		model_play(c);
		assert_int_equal(c->fake.run.context.rax, want[i]);
	}
	assert_int_equal(model_get(c, HV_X64_REGISTER_CR8), 3);
	c->fake.run.context.rax = 7;
	model_rdmsr(c, 0x808); /* #GP in xAPIC mode */
	assert_int_equal(FIELD_GET(HV_EVENT_VECTOR, model_get(c, HV_REGISTER_PENDING_EVENT0)), 13);
}

static void synic_and_timers(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	struct hv_message m = { .type = HVMSG_VMBUS, .payload_size = 4 };
	u32 none = 0;

	model_set(c, HV_REGISTER_TIME_REF_COUNT, 1000);
	model_x2apic(c);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_INVALID_SYNIC_STATE);
	model_wrmsr(c, 0x40000083, MODEL_SLOTS | 1);
	model_wrmsr(c, 0x40000082, MODEL_FLAGS | 1);
	model_wrmsr(c, 0x40000092, 0xf3 | BIT(17)); /* SINT 2, auto EOI */
	assert_int_equal(model_rdmsr(c, 0x40000083), MODEL_SLOTS | 1);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_SUCCESS);
	model_play(c);
	assert_int_equal(model_injected(c), 0xf3);
	assert_int_equal(word_at(MODEL_SLOTS + 512), HVMSG_VMBUS);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_OBJECT_IN_USE);
	vp_want_sint(&c->vp, 2);
	model_play(c);
	assert_int_equal(bed->deliverable, 0);
	assert_int_equal(guest_write(bed->machine.guest, MODEL_SLOTS + 512, &none, sizeof(none)), 0);
	model_wrmsr(c, 0x40000084, 0);
	assert_int_equal(bed->deliverable, 4);
	/* the slot may be free before anybody asked */
	bed->deliverable = 0;
	vp_want_sint(&c->vp, 2);
	model_play(c);
	assert_int_equal(bed->deliverable, 4);

	vp_signal_event(&bed->machine, 0, 2, 33);
	model_play(c);
	assert_int_equal(model_injected(c), 0xf3);
	assert_int_equal(word_at(MODEL_FLAGS + 512 + 4), 2);
	vp_signal_event(&bed->machine, 0, 2, 33);
	model_play(c);
	assert_int_equal(model_injected(c), -1);

	/* direct mode, vector ec, in 5 ms; asleep until then */
	model_wrmsr(c, 0x400000b0, 1u | 0xecu << 4 | BIT(12));
	model_wrmsr(c, 0x400000b1, 1000 + 50000);
	model_exit(c, HVMSG_X64_HALT);
	model_play(c);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 4000000);
	assert_true(c->vp.halted);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1500000);
	assert_false(c->vp.halted);
	assert_int_equal(model_injected(c), 0xec);
	model_wrmsr(c, 0x80b, 0);
	/* as a message, periodic */
	model_wrmsr(c, 0x40000091, 0x51);
	model_wrmsr(c, 0x400000b2, 3u | 1u << 16);
	model_wrmsr(c, 0x400000b3, 10000);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1100000);
	assert_int_equal(model_injected(c), 0x51);
	assert_int_equal(word_at(MODEL_SLOTS + 256), HVMSG_TIMER_EXPIRED);
	/* the APIC's own, one shot: 200 MHz, divided by one */
	model_wrmsr(c, 0x400000b2, 0);
	model_wrmsr(c, 0x80b, 0);
	model_wrmsr(c, 0x83e, 0xb);
	model_wrmsr(c, 0x832, 0x61);
	model_wrmsr(c, 0x838, 200000);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 900000);
	assert_int_equal(model_injected(c), -1);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 200000);
	assert_int_equal(model_injected(c), 0x61);
}

static void the_8259s_come_by_lint0(void **state)
{
	struct model_cpu *c = &bed->cpus[0];
	const struct { u64 port, value; } icw[] = { { 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0 } };

	for (unsigned i = 0; i < ARRAY_SIZE(icw); i++) {
		u64 value = icw[i].value;

		bus_access(&bed->bus, SPACE_PIO, icw[i].port, 1, true, &value, NULL);
	}
	model_x2apic(c);
	model_wrmsr(c, 0x835, 0x10700);
	pic_set_line(&bed->pic, 4, true);
	model_play(c);
	assert_int_equal(model_injected(c), -1);
	model_wrmsr(c, 0x835, 0x700);
	assert_int_equal(model_injected(c), 0x34);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_apics_create, model_apics_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_interrupt_is_injected_when_it_can_be_taken),
		TEST(an_event_that_waits_is_not_overwritten), TEST(an_nmi_that_waits_is_not_overtaken),
		TEST(hlt_parks_until_an_interrupt), TEST(init_and_sipi_start_a_processor),
		TEST(task_priority_is_one_with_cr8), TEST(end_of_interrupt_without_an_exit),
		TEST(xapic_by_memory), TEST(synic_and_timers), TEST(the_8259s_come_by_lint0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
