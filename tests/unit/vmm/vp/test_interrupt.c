/* VTL0's local APIC, SynIC and timers played by the VPs' own process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

#define VPS 2u
#define SCRIPT 16u
#define IF BIT(9)
#define ASSIST 0x5000u
#define SLOTS 0x6000u
#define FLAGS 0x7000u

static const u32 apic_ids[VPS] = { 0, 1 };

struct cpu {
	struct hcl_fake fake;
	struct hv_message script[SCRIPT];
	unsigned next, count, runs;
	struct vp vp;
};

struct bed {
	struct sim *sim;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct pic pic;
	struct cpu cpus[VPS];
	unsigned deliverable;
};
static struct bed *bed;

static void deliver(struct ioapic *a, const struct ioapic_message *m)
{
	vp_assert_interrupt(&bed->machine, m);
}

static void output(struct pic *p, bool level)
{
	vapics_set_intr(bed->machine.apics, level);
}

static void event(struct machine *m, enum vp_event e, unsigned vp, const char *text, const struct vp_registers *registers)
{
	fail_msg("%s", text);
}

static void sints(struct machine *m, unsigned vp, u16 which)
{
	bed->deliverable |= which;
}

static struct vp *vp_of(struct machine *m, unsigned index)
{
	return &bed->cpus[index].vp;
}

/* VTL0 takes what was injected, and leaves with the next message of the script */
static int on_run(struct hcl_fake *f)
{
	struct cpu *c = container_of(f, struct cpu, fake);

	c->runs++;
	if (c->next == c->count)
		return -EINTR;
	f->run.exit_message = c->script[c->next++ % SCRIPT];
	return 0;
}

static void set(struct cpu *c, u32 name, u64 value)
{
	assert_int_equal(hcl_set64(&c->vp.hcl, name, value), 0);
}

static u64 get(struct cpu *c, u32 name)
{
	return hcl_fake_register(&c->fake, name);
}

static int set_up(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(1);
	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = deliver;
	pic_init(&bed->pic);
	bed->pic.set_output = output;
	bed->machine = (struct machine){ .bus = &bed->bus, .ioapic = &bed->ioapic, .pic = &bed->pic, .event = event,
					 .sint_deliverable = sints, .vp = vp_of };
	if (guest_create_fake(MiB, 0, &bed->machine.guest) || bus_attach(&bed->bus, &bed->ioapic.dev) ||
	    bus_attach(&bed->bus, &bed->pic.dev) || vp_create_apics(&bed->machine, VPS, apic_ids))
		return -1;
	for (unsigned i = 0; i < VPS; i++) {
		struct cpu *c = &bed->cpus[i];
		struct machine *m = &bed->machine;

		hcl_fake_init(&c->fake, true);
		c->fake.on_run = on_run;
		c->fake.page.efer = BIT(10);
		c->fake.page.cs.attributes = 0x209b;
		c->fake.page.rflags = 2 | IF;
		m->hcl = &c->fake.hcl; /* each VP has a fake of its own */
		vp_init(&c->vp, m, i, sim_exec(bed->sim, i ? "vp1" : "vp0"));
		if (vp_open(&c->vp))
			return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	vapics_destroy(bed->machine.apics);
	guest_destroy(bed->machine.guest);
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

static void *add(struct cpu *c, u32 type)
{
	struct hv_message *m = &c->script[c->count++ % SCRIPT];
	struct hv_intercept_header *h = (void *)m->payload;

	memset(m, 0, sizeof(*m));
	m->type = type;
	h->rip = 0x1000;
	h->cs.attributes = 0x209b;
	h->instruction_length = type == HVMSG_X64_HALT ? 0 : 2;
	return m->payload;
}

/* until the VP has nothing left to leave VTL0 with, and has been in it once more */
static void play(struct cpu *c)
{
	vp_start(&c->vp);
	do /* the idle work has one turn each time */
		sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	while (c->next != c->count);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}

static void wrmsr(struct cpu *c, u32 msr, u64 value)
{
	struct hv_msr_intercept *m = add(c, HVMSG_X64_MSR);

	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->msr = msr;
	c->fake.run.context.rax = (u32)value;
	c->fake.run.context.rdx = value >> 32;
	play(c);
}

static u64 rdmsr(struct cpu *c, u32 msr)
{
	struct hv_msr_intercept *m = add(c, HVMSG_X64_MSR);

	m->msr = msr;
	play(c);
	return (u32)c->fake.run.context.rax | c->fake.run.context.rdx << 32;
}

static void x2apic(struct cpu *c)
{
	wrmsr(c, 0x1b, 0xfee00c00);
	wrmsr(c, 0x80f, 0x1ff);
}

/* what the hypervisor was told to inject; as if VTL0 had taken it */
static int injected(struct cpu *c)
{
	u64 e = get(c, HV_REGISTER_PENDING_EVENT0);

	if (!(e & HV_EVENT_PENDING))
		return -1;
	assert_int_equal(FIELD_GET(HV_EVENT_TYPE, e), HV_EVENT_TYPE_EXTINT);
	set(c, HV_REGISTER_PENDING_EVENT0, 0);
	return FIELD_GET(HV_EVENT_EXTINT_VECTOR, e);
}

static void assert_vector(u8 vector, u32 destination)
{
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = destination, .vector = vector });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}

static void an_interrupt_is_injected_when_it_can_be_taken(void **state)
{
	struct cpu *c = &bed->cpus[0];

	x2apic(c);
	assert_vector(0x41, 0);
	assert_int_equal(injected(c), 0x41);
	wrmsr(c, 0x80b, 0);
	c->fake.page.rflags = 2;
	assert_vector(0x52, 0);
	assert_int_equal(injected(c), -1);
	assert_int_equal(get(c, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT | 5 << 2);
	c->fake.page.rflags = 2 | IF;
	add(c, HVMSG_X64_INTERRUPTION_DELIVERABLE);
	play(c);
	assert_int_equal(injected(c), 0x52);
	/* one event at a time, and none in a shadow */
	wrmsr(c, 0x80b, 0);
	c->fake.page.pending_interruption = HV_PENDING_INTERRUPTION;
	assert_vector(0x61, 0);
	assert_int_equal(injected(c), -1);
	c->fake.page.pending_interruption = 0;
	c->fake.page.interrupt_state = HV_INTERRUPT_SHADOW;
	play(c);
	assert_int_equal(injected(c), -1);
	c->fake.page.interrupt_state = 0;
	play(c);
	assert_int_equal(injected(c), 0x61);
}

/* the register tells whether a cancelled run had taken the event */
static void an_event_that_waits_is_not_overwritten(void **state)
{
	struct cpu *c = &bed->cpus[0];

	x2apic(c);
	assert_vector(0x41, 0);
	assert_true(get(c, HV_REGISTER_PENDING_EVENT0) & HV_EVENT_PENDING);
	assert_vector(0x91, 0);
	assert_int_equal(injected(c), 0x41);
	play(c);
	assert_int_equal(injected(c), 0x91);
}

/* nor is an NMI lost that a cancelled run left behind */
static void an_nmi_that_waits_is_not_overtaken(void **state)
{
	struct cpu *c = &bed->cpus[0];

	x2apic(c);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = 0, .delivery_mode = LAPIC_NMI });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_true(get(c, HV_REGISTER_PENDING_INTERRUPTION) & HV_PENDING_INTERRUPTION);
	assert_vector(0x41, 0);
	assert_int_equal(injected(c), -1);
	set(c, HV_REGISTER_PENDING_INTERRUPTION, 0); /* taken */
	play(c);
	assert_int_equal(injected(c), 0x41);
}

static void hlt_parks_until_an_interrupt(void **state)
{
	struct cpu *c = &bed->cpus[0];

	x2apic(c);
	c->fake.page.interrupt_state = HV_INTERRUPT_SHADOW; /* sti; hlt */
	add(c, HVMSG_X64_HALT);
	play(c);
	assert_true(c->vp.halted);
	unsigned runs = c->runs;

	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000000);
	assert_int_equal(c->runs, runs);
	assert_vector(0x41, 0);
	assert_false(c->vp.halted);
	assert_int_equal(injected(c), 0x41);
	assert_true(c->runs > runs);
	/* with IF clear only an NMI does */
	c->fake.page.rflags = 2;
	add(c, HVMSG_X64_HALT);
	play(c);
	assert_vector(0x42, 0);
	assert_true(c->vp.halted);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .destination = 0, .delivery_mode = LAPIC_NMI });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_false(c->vp.halted);
	assert_int_equal(FIELD_GET(HV_PENDING_TYPE, get(c, HV_REGISTER_PENDING_INTERRUPTION)), HV_PENDING_TYPE_NMI);
}

static void init_and_sipi_start_a_processor(void **state)
{
	struct cpu *a = &bed->cpus[0], *b = &bed->cpus[1];

	play(b);
	assert_int_equal(b->runs, 0);
	x2apic(a);
	wrmsr(a, 0x830, 1ull << 32 | 0xc500); /* INIT */
	wrmsr(a, 0x830, 1ull << 32 | 0x8500); /* de-assert: nothing */
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(b->runs, 0);
	assert_int_equal(get(b, HV_X64_REGISTER_CR0), 0x60000010);
	assert_int_equal(get(b, HV_X64_REGISTER_RIP), 0xfff0);
	wrmsr(a, 0x830, 1ull << 32 | 0x69a);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_true(b->runs > 0);
	assert_int_equal(get(b, HV_X64_REGISTER_CS), 0x9a000); /* the base */
	assert_int_equal(get(b, HV_X64_REGISTER_RIP), 0);
	/* another start-up interrupt means nothing */
	set(b, HV_X64_REGISTER_RIP, 5);
	wrmsr(a, 0x830, 1ull << 32 | 0x69b);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(get(b, HV_X64_REGISTER_RIP), 5);
	/* IPIs: to one, to the others, to itself */
	x2apic(b);
	b->fake.page.rflags = 2 | IF;
	wrmsr(a, 0x830, 1ull << 32 | 0x45);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(injected(b), 0x45);
	wrmsr(a, 0x830, 3ull << 18 | 0x77);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(injected(b), 0x77);
	assert_int_equal(injected(a), -1);
	wrmsr(a, 0x83f, 0x33);
	assert_int_equal(injected(a), 0x33);
}

static void task_priority_is_one_with_cr8(void **state)
{
	struct cpu *c = &bed->cpus[0];

	x2apic(c);
	wrmsr(c, 0x808, 0x57);
	assert_int_equal(get(c, HV_X64_REGISTER_CR8), 5);
	assert_vector(0x51, 0);
	assert_int_equal(injected(c), -1);
	/* the guest may lower it without an exit: the hypervisor is asked to tell */
	assert_int_equal(get(c, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_DELIVERABILITY_INTERRUPT | 5 << 2);
	assert_int_equal(rdmsr(c, 0x808), 0x57);
	c->fake.page.cr8 = 4; /* the guest's mov to CR8 */
	play(c);
	assert_int_equal(injected(c), 0x51);
	assert_int_equal(rdmsr(c, 0x808), 0x40);
	assert_int_equal(rdmsr(c, 0x40000072), 0x40);
}

static u32 word_at(u64 gpa)
{
	u32 word = 0;

	assert_int_equal(guest_read(bed->machine.guest, gpa, &word, sizeof(word)), 0);
	return word;
}

static void end_of_interrupt_without_an_exit(void **state)
{
	struct cpu *c = &bed->cpus[0];
	u32 none = 0;

	x2apic(c);
	wrmsr(c, 0x40000073, ASSIST | 1);
	assert_vector(0x41, 0);
	assert_int_equal(injected(c), 0x41);
	assert_int_equal(word_at(ASSIST), 1);
	assert_int_equal(guest_write(bed->machine.guest, ASSIST, &none, sizeof(none)), 0);
	assert_vector(0x42, 0); /* of the same class: only since the first has ended */
	assert_int_equal(injected(c), 0x42);
	/* one more of that class waits for its end: then the guest must say so */
	assert_int_equal(word_at(ASSIST), 1);
	assert_vector(0x43, 0);
	assert_int_equal(injected(c), -1);
	assert_int_equal(word_at(ASSIST), 0);
	wrmsr(c, 0x40000070, 0);
	assert_int_equal(injected(c), 0x43);
	/* level-triggered ones end at the IO-APIC, which must hear of it */
	assert_int_equal(guest_write(bed->machine.guest, ASSIST, &none, sizeof(none)), 0);
	vp_assert_interrupt(&bed->machine, &(struct ioapic_message){ .vector = 0x61, .level = true });
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
	assert_int_equal(injected(c), 0x61);
	assert_int_equal(word_at(ASSIST), 0);
	u64 eois = bed->ioapic.eois;

	wrmsr(c, 0x80b, 0);
	assert_int_equal(bed->ioapic.eois, eois + 1);
	/* a page that is none */
	wrmsr(c, 0x40000073, 0xfffff001);
	assert_vector(0x44, 0);
	assert_int_equal(injected(c), 0x44);
}

static void xapic_by_memory(void **state)
{
	struct cpu *c = &bed->cpus[0];
	const u8 load[] = { 0x8b, 0x07 }, store[] = { 0x89, 0x07 }; /* mov (%rdi), %eax and back */
	const struct { const u8 *code; u64 reg, rax; } steps[] = {
		{ store, 0xf0, 0x1ff }, { load, 0xf0, 0 }, { store, 0x80, 0x30 }, { load, 0x30, 0 },
	};
	const u64 want[] = { 0x1ff, 0x1ff, 0x30, 0x50014 };

	for (unsigned i = 0; i < 4; i++) {
		struct hv_memory_intercept *m = add(c, HVMSG_UNMAPPED_GPA);

		m->gpa = m->gva = LAPIC_BASE + steps[i].reg;
		m->access_info = 3;
		m->header.access_type = steps[i].code == store;
		m->instruction_byte_count = 2;
		memcpy(m->instruction_bytes, steps[i].code, 2);
		c->fake.run.context.rdi = m->gva;
		c->fake.run.context.rax = steps[i].rax;
		play(c);
		assert_int_equal(c->fake.run.context.rax, want[i]);
	}
	assert_int_equal(get(c, HV_X64_REGISTER_CR8), 3);
	c->fake.run.context.rax = 7;
	rdmsr(c, 0x808); /* #GP in xAPIC mode */
	assert_int_equal(FIELD_GET(HV_EVENT_VECTOR, get(c, HV_REGISTER_PENDING_EVENT0)), 13);
}

static void synic_and_timers(void **state)
{
	struct cpu *c = &bed->cpus[0];
	struct hv_message m = { .type = HVMSG_VMBUS, .payload_size = 4 };
	u32 none = 0;

	set(c, HV_REGISTER_TIME_REF_COUNT, 1000);
	x2apic(c);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_INVALID_SYNIC_STATE);
	wrmsr(c, 0x40000083, SLOTS | 1);
	wrmsr(c, 0x40000082, FLAGS | 1);
	wrmsr(c, 0x40000092, 0xf3 | BIT(17)); /* SINT 2, auto EOI */
	assert_int_equal(rdmsr(c, 0x40000083), SLOTS | 1);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_SUCCESS);
	play(c);
	assert_int_equal(injected(c), 0xf3);
	assert_int_equal(word_at(SLOTS + 512), HVMSG_VMBUS);
	assert_int_equal(vp_post_message(&bed->machine, 0, 2, &m), HV_STATUS_OBJECT_IN_USE);
	vp_want_sint(&c->vp, 2);
	play(c);
	assert_int_equal(bed->deliverable, 0);
	assert_int_equal(guest_write(bed->machine.guest, SLOTS + 512, &none, sizeof(none)), 0);
	wrmsr(c, 0x40000084, 0);
	assert_int_equal(bed->deliverable, 4);
	/* the slot may be free before anybody asked */
	bed->deliverable = 0;
	vp_want_sint(&c->vp, 2);
	play(c);
	assert_int_equal(bed->deliverable, 4);

	vp_signal_event(&bed->machine, 0, 2, 33);
	play(c);
	assert_int_equal(injected(c), 0xf3);
	assert_int_equal(word_at(FLAGS + 512 + 4), 2);
	vp_signal_event(&bed->machine, 0, 2, 33);
	play(c);
	assert_int_equal(injected(c), -1);

	/* direct mode, vector ec, in 5 ms; asleep until then */
	wrmsr(c, 0x400000b0, 1u | 0xecu << 4 | BIT(12));
	wrmsr(c, 0x400000b1, 1000 + 50000);
	add(c, HVMSG_X64_HALT);
	play(c);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 4000000);
	assert_true(c->vp.halted);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1500000);
	assert_false(c->vp.halted);
	assert_int_equal(injected(c), 0xec);
	wrmsr(c, 0x80b, 0);
	/* as a message, periodic */
	wrmsr(c, 0x40000091, 0x51);
	wrmsr(c, 0x400000b2, 3u | 1u << 16);
	wrmsr(c, 0x400000b3, 10000);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1100000);
	assert_int_equal(injected(c), 0x51);
	assert_int_equal(word_at(SLOTS + 256), HVMSG_TIMER_EXPIRED);
	/* the APIC's own, one shot: 200 MHz, divided by one */
	wrmsr(c, 0x400000b2, 0);
	wrmsr(c, 0x80b, 0);
	wrmsr(c, 0x83e, 0xb);
	wrmsr(c, 0x832, 0x61);
	wrmsr(c, 0x838, 200000);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 900000);
	assert_int_equal(injected(c), -1);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 200000);
	assert_int_equal(injected(c), 0x61);
}

static void the_8259s_come_by_lint0(void **state)
{
	struct cpu *c = &bed->cpus[0];
	const struct { u64 port, value; } icw[] = { { 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 4 }, { 0x21, 1 }, { 0x21, 0 } };

	for (unsigned i = 0; i < ARRAY_SIZE(icw); i++) {
		u64 value = icw[i].value;

		bus_access(&bed->bus, SPACE_PIO, icw[i].port, 1, true, &value, NULL);
	}
	x2apic(c);
	wrmsr(c, 0x835, 0x10700);
	pic_set_line(&bed->pic, 4, true);
	play(c);
	assert_int_equal(injected(c), -1);
	wrmsr(c, 0x835, 0x700);
	assert_int_equal(injected(c), 0x34);
}

/* saved, spoilt, and put back: registers, and what the APIC and the SynIC were about to do */
static void state_goes_round(void **state)
{
	struct cpu *c = &bed->cpus[0];
	struct saver s;
	struct loader l;

	set(c, HV_REGISTER_TIME_REF_COUNT, 1000);
	x2apic(c);
	wrmsr(c, 0x40000073, ASSIST | 1);
	wrmsr(c, 0x40000083, SLOTS | 1);
	wrmsr(c, 0x40000091, 0x51);
	wrmsr(c, 0x400000b0, 1u | 0xecu << 4 | BIT(12));
	wrmsr(c, 0x400000b1, 1000 + 50000);
	assert_vector(0x41, 0);
	assert_int_equal(injected(c), 0x41);
	c->fake.page.rflags = 2;
	assert_vector(0x33, 0);
	assert_int_equal(injected(c), -1);
	vp_stop(&c->vp);
	set(c, HV_X64_REGISTER_CR3, 0x1234000);
	set(c, HV_X64_REGISTER_LSTAR, 0xffffffff81000000);
	hcl_set_gpr(&c->vp.hcl, HV_RSP, 0x7000);
	assert_int_equal(hcl_set_rip(&c->vp.hcl, 0x4321), 0);
	c->fake.page.valid = 1;
	c->fake.page.version = HV_REGISTER_PAGE_VERSION;
	assert_int_equal(hcl_set_rip(&c->vp.hcl, 0x4322), 0); /* in the page only */
	c->fake.run.context.rbx = 77;
	c->fake.run.context.fx_state[160] = 5;
	set(c, HV_X64_REGISTER_DR0 + 2, 0xd2);

	saver_init(&s);
	vp_save(&c->vp, &s);
	vp_save(&bed->cpus[1].vp, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(get(c, HV_X64_REGISTER_RIP), 0x4322);

	lapic_reset(vapic_lapic(c->vp.apic));
	synic_reset(vapic_synic(c->vp.apic));
	set(c, HV_X64_REGISTER_CR3, 0);
	set(c, HV_X64_REGISTER_LSTAR, 0);
	set(c, HV_X64_REGISTER_RIP, 0);
	set(c, HV_X64_REGISTER_DR0 + 2, 0);
	memset(&c->fake.run.context, 0, sizeof(c->fake.run.context));

	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(vp_restore(&c->vp, l), 0);
	assert_int_equal(get(c, HV_X64_REGISTER_CR3), 0x1234000);
	assert_int_equal(get(c, HV_X64_REGISTER_LSTAR), 0xffffffff81000000);
	assert_int_equal(get(c, HV_X64_REGISTER_RIP), 0x4322);
	assert_int_equal(get(c, HV_X64_REGISTER_DR0 + 2), 0xd2);
	assert_int_equal(c->fake.run.context.rbx, 77);
	assert_int_equal(c->fake.run.context.fx_state[160], 5);
	assert_int_equal(rdmsr(c, 0x1b), 0xfee00d00);
	assert_int_equal(rdmsr(c, 0x812), 2); /* 41h is in service */
	assert_int_equal(rdmsr(c, 0x40000091), 0x51);
	c->fake.page.rflags = 2 | IF; /* 33h still waits behind 41h, which is in service */
	play(c);
	assert_int_equal(injected(c), -1);
	wrmsr(c, 0x80b, 0);
	assert_int_equal(injected(c), 0x33);
	wrmsr(c, 0x80b, 0);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 6000000);
	assert_int_equal(injected(c), 0xec);

	assert_int_equal(vp_restore(&bed->cpus[1].vp, l), 0);
	bed->cpus[1].vp.index = 7; /* a VP that nobody saved */
	assert_int_equal(vp_restore(&bed->cpus[1].vp, l), -ENOENT);
	bed->cpus[1].vp.index = 1;
	/* half of it */
	for (size_t len = 16; len < s.len; len += 37) {
		struct loader part = { bytes_of(s.data + 16, len - 16) };

		if (vp_restore(&c->vp, part) == 0)
			assert_true(len > s.len / 2); /* the first VP's records are all there */
	}
	saver_fini(&s);
}

/* a host of VPs that are held goes on: what it asks for between the save and the restore is not forgotten */
static void what_comes_while_state_goes_round_is_kept(void **state)
{
	struct cpu *c = &bed->cpus[0];
	struct saver s;
	struct loader l;

	x2apic(c);
	wrmsr(c, 0x40000082, FLAGS | 1);
	wrmsr(c, 0x40000092, 0x52);
	c->fake.page.rflags = 2;
	assert_vector(0x33, 0);
	play(c);
	vp_stop(&c->vp);
	saver_init(&s);
	vp_save(&c->vp, &s);
	assert_int_equal(saver_finish(&s), 0);

	assert_vector(0x61, 0);
	assert_true(synic_signal(vapic_synic(c->vp.apic), 2, 5));
	vapics_set_intr(bed->machine.apics, true);
	vp_want_sint(&c->vp, 2);

	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(vp_restore(&c->vp, l), 0);
	assert_true(atomic_load(&vapic_lapic(c->vp.apic)->intr));
	assert_int_equal(atomic_load(&c->vp.wanted_sints), BIT(2));
	assert_int_equal(rdmsr(c, 0x823), 1u << (0x61 - 0x60));
	assert_int_equal(rdmsr(c, 0x822), 1u << (0x52 - 0x40));
	assert_int_equal(rdmsr(c, 0x821), 1u << (0x33 - 0x20));
	saver_fini(&s);
}

struct signaller {
	struct synic *synic;
	u64 *flags;
	atomic_bool done;
	atomic_uint signals;
	unsigned lost;
};

static void *signal_again_and_again(void *object)
{
	struct signaller *g = object;

	while (!atomic_load(&g->done)) {
		__atomic_store_n(g->flags, 0, __ATOMIC_SEQ_CST);
		g->lost += !synic_signal(g->synic, 2, 5);
		atomic_fetch_add(&g->signals, 1);
	}
	return NULL;
}

static void a_signal_meets_no_half_restored_synic(void **state)
{
	struct cpu *c = &bed->cpus[0];
	struct signaller g = { .synic = vapic_synic(c->vp.apic) };
	struct iovec page;
	struct saver s;
	struct loader l;
	pthread_t thread;

	x2apic(c);
	wrmsr(c, 0x40000082, FLAGS | 1);
	wrmsr(c, 0x40000092, 0x52);
	play(c);
	vp_stop(&c->vp);
	assert_int_equal(guest_iovec(bed->machine.guest, FLAGS + 2 * 256, 8, &page), 0);
	g.flags = page.iov_base;
	saver_init(&s);
	vp_save(&c->vp, &s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(pthread_create(&thread, NULL, signal_again_and_again, &g), 0);
	while (atomic_load(&g.signals) < 100000)
		assert_int_equal(vp_restore(&c->vp, l), 0);
	atomic_store(&g.done, true);
	pthread_join(thread, NULL);
	assert_int_equal(g.lost, 0);
	saver_fini(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_interrupt_is_injected_when_it_can_be_taken), TEST(an_event_that_waits_is_not_overwritten),
		TEST(an_nmi_that_waits_is_not_overtaken),
		TEST(hlt_parks_until_an_interrupt), TEST(init_and_sipi_start_a_processor),
		TEST(task_priority_is_one_with_cr8), TEST(end_of_interrupt_without_an_exit), TEST(xapic_by_memory),
		TEST(synic_and_timers), TEST(the_8259s_come_by_lint0), TEST(state_goes_round),
		TEST(what_comes_while_state_goes_round_is_kept), TEST(a_signal_meets_no_half_restored_synic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
