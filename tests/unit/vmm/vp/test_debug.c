/* A VP under a debugger: steps by TF that the guest does not see, breakpoints, exceptions that are not the debugger's */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/hcl/fake.h"
#include "vmm/vp/vp.h"

#define TF BIT(8)
#define IF BIT(9)
#define BS BIT(14)
#define CODE 0x1000u
#define STACK 0x2000u

struct bed {
	struct sim *sim;
	struct hcl_fake fake;
	struct machine machine;
	struct bus bus;
	struct ioapic ioapic;
	struct vp vp;
	struct hv_message message;     /* what the next run ends with; type 0: it is cancelled */
	unsigned runs, stops;
	u64 entered_rflags, shadow;
	enum vp_debug_stop why;
	u64 value, breakpoint;
};
static struct bed *bed;

static void deliver(struct ioapic *a, const struct ioapic_message *m) {}
static void event(struct machine *m, enum vp_event e, unsigned vp, const char *text, const struct vp_registers *registers)
{
	fail_msg("%s", text);
}

static void on_stopped(struct machine *m, unsigned vp, enum vp_debug_stop why, u64 value)
{
	bed->stops++;
	bed->why = why;
	bed->value = value;
}
static void on_changed(struct machine *m, unsigned vp) {}
static bool on_breakpoint(struct machine *m, u64 gpa) { return gpa == bed->breakpoint; }
static const struct vp_debug_ops ops = { on_stopped, on_changed, on_breakpoint };

static int on_run(struct hcl_fake *f)
{
	bed->runs++;
	bed->entered_rflags = f->page.rflags;
	bed->shadow = hcl_fake_register(f, HV_REGISTER_INTERRUPT_STATE);
	if (!bed->message.type)
		return -EINTR;
	f->run.exit_message = bed->message;
	memset(&bed->message, 0, sizeof(bed->message));
	return 0;
}

static struct hv_register_page *page(void)
{
	return &bed->fake.page;
}

static int set_up(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(1);
	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = deliver;
	hcl_fake_init(&bed->fake, true);
	bed->fake.on_run = on_run;
	page()->efer = BIT(10) | 1;
	page()->cs.attributes = 0xa09b;
	page()->ss.attributes = 0xc093;
	page()->rflags = 2 | IF;
	page()->rip = CODE;
	page()->gpr[HV_RSP] = STACK;
	bed->machine = (struct machine){ .hcl = &bed->fake.hcl, .bus = &bed->bus, .ioapic = &bed->ioapic, .event = event,
					 .debug = &ops };
	if (guest_create_fake(MiB, 0, &bed->machine.guest) || bus_attach(&bed->bus, &bed->ioapic.dev))
		return -1;
	vp_init(&bed->vp, &bed->machine, 0, sim_exec(bed->sim, "vp0"));
	if (vp_open(&bed->vp))
		return -1;
	vp_hold(&bed->vp);
	vp_start(&bed->vp);
	return 0;
}

static int tear_down(void **state)
{
	guest_destroy(bed->machine.guest);
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

static void put(u64 gpa, const void *bytes, size_t len)
{
	assert_int_equal(guest_write(bed->machine.guest, gpa, bytes, len), 0);
}

static u64 get(u64 gpa)
{
	u64 value = 0;

	assert_int_equal(guest_read(bed->machine.guest, gpa, &value, sizeof(value)), 0);
	return value;
}

static void *message(u32 type)
{
	struct hv_intercept_header *h = (void *)bed->message.payload;

	memset(&bed->message, 0, sizeof(bed->message));
	bed->message.type = type;
	h->rip = page()->rip;
	h->cs = page()->cs;
	h->rflags = page()->rflags;
	return h;
}

static struct hv_exception_intercept *exception(u16 vector, u64 parameter)
{
	struct hv_exception_intercept *m = message(HVMSG_X64_EXCEPTION);

	m->vector = vector;
	m->parameter = parameter;
	return m;
}

static void go(void)
{
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000);
}

/* enters with TF; then the processor has executed the instruction: RIP and flags are these, and the trap comes */
static void step(u64 rip, u64 rflags)
{
	unsigned stops = bed->stops;

	vp_release(&bed->vp, true, 0, 0);
	go();
	assert_true(bed->entered_rflags & TF);
	assert_int_equal(bed->stops, stops);
	page()->rip = rip;
	page()->rflags = rflags;
	exception(1, 0xffff0ff0 | BS);
	go();
	assert_int_equal(bed->stops, stops + 1);
	assert_int_equal(bed->why, VP_STOP_STEP);
	assert_true(bed->vp.debug.held);
}

static void a_step_is_a_trap_that_the_guest_does_not_see(void **state)
{
	put(CODE, "\x90", 1);
	step(CODE + 1, 2 | IF | TF);
	assert_int_equal(bed->shadow, HV_INTERRUPT_SHADOW);
	assert_int_equal(page()->rflags, 2 | IF);
	assert_int_equal(bed->vp.injected, 0);
	/* it does not run while it is held */
	unsigned runs = bed->runs;

	go();
	assert_int_equal(bed->runs, runs);
	vp_release(&bed->vp, false, 0, 0);
	go();
	assert_true(bed->runs > runs);
	assert_int_equal(bed->entered_rflags, 2 | IF);
}

static void pushed_flags_have_no_tf(void **state)
{
	u64 image = 0x346 | TF;

	put(CODE, "\x9c", 1);
	put(STACK - 8, &image, 8);
	vp_release(&bed->vp, true, 0, 0);
	go();
	page()->gpr[HV_RSP] = STACK - 8;
	page()->rip = CODE + 1;
	exception(1, BS);
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(get(STACK - 8), 0x346 & ~TF);
}

static void popped_flags_are_the_guests(void **state)
{
	u64 image = 2 | TF;

	put(CODE, "\x9d\x90", 2);
	put(STACK, &image, 8);
	step(CODE + 1, 2 | TF);
	assert_int_equal(page()->rflags, 2 | TF);
	image = 2;
	page()->rip = CODE;
	page()->rflags = 2;
	put(STACK, &image, 8);
	step(CODE + 1, 2 | TF); /* as a hypervisor may say, which has hidden it */
	assert_int_equal(page()->rflags, 2);
}

static void iret_drops_a_tf_that_was_left_behind(void **state)
{
	u64 frame[5] = { 0x5000, 0x10, 2 | TF, 0x6000, 0x18 };

	put(CODE, "\x48\xcf", 2);
	put(STACK, frame, sizeof(frame));
	step(0x5000, 2 | TF);
	assert_int_equal(page()->rflags, 2);
	assert_int_equal(get(STACK + 16), 2);
	/* a program's own */
	frame[1] = 0x33;
	put(STACK, frame, sizeof(frame));
	page()->rip = CODE;
	step(0x5000, 2 | TF);
	assert_int_equal(page()->rflags, 2 | TF);
}

static void set(u32 name, u64 value)
{
	assert_int_equal(hcl_set64(&bed->vp.hcl, name, value), 0);
}

static void syscall_and_sysret_are_done_here(void **state)
{
	set(HV_X64_REGISTER_STAR, 0x0023001000000000);
	set(HV_X64_REGISTER_LSTAR, 0xffffffff81000000);
	set(HV_X64_REGISTER_SFMASK, 0x47700);
	put(CODE, "\x0f\x05", 2);
	vp_release(&bed->vp, true, 0, 0);
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(bed->runs, 0);
	assert_int_equal(page()->rip, 0xffffffff81000000);
	assert_int_equal(page()->rflags, 2);
	assert_int_equal(bed->fake.run.context.rcx, CODE + 2);
	assert_int_equal(bed->fake.run.context.r11, 2 | IF);
	page()->rip = CODE;
	put(CODE, "\x48\x0f\x07", 3);
	bed->fake.run.context.rcx = 0x7000;
	bed->fake.run.context.r11 = 2 | IF;
	vp_release(&bed->vp, true, 0, 0);
	go();
	assert_int_equal(bed->stops, 2);
	assert_int_equal(page()->rip, 0x7000);
	assert_int_equal(page()->rflags, 2 | IF);
	/* an address that faults is the processor's business */
	page()->rip = CODE;
	bed->fake.run.context.rcx = 1ull << 50;
	vp_release(&bed->vp, true, 0, 0);
	go();
	assert_int_equal(bed->stops, 2);
	assert_true(bed->entered_rflags & TF);
}

static void what_exits_ends_the_step(void **state)
{
	struct hv_io_port_intercept *m;

	put(CODE, "\xe6\x80", 2);
	vp_release(&bed->vp, true, 0, 0);
	m = message(HVMSG_X64_IO_PORT);
	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->header.instruction_length = 2;
	m->port = 0x80;
	m->access_info = 1;
	page()->rflags |= TF;
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(page()->rip, CODE + 2);
	assert_int_equal(page()->rflags, 2 | IF | TF); /* it was there before */
}

static void a_range_is_one_stop(void **state)
{
	put(CODE, "\x90\x90\x90", 3);
	vp_release(&bed->vp, true, CODE, CODE + 2);
	for (unsigned i = 1; i < 3; i++) {
		go();
		assert_int_equal(bed->stops, 0);
		page()->rip = CODE + i;
		page()->rflags |= TF;
		exception(1, BS);
	}
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(bed->vp.debug.steps, 2);
}

static void a_step_that_is_given_up(void **state)
{
	put(CODE, "\x90", 1);
	vp_release(&bed->vp, true, 0, 0);
	go();
	page()->rflags |= TF;
	vp_hold(&bed->vp);
	assert_int_equal(page()->rflags, 2 | IF);
	/* in a handler: the trap comes later, and is nobody's */
	vp_release(&bed->vp, true, 0, 0);
	go();
	page()->rip = 0x9000;
	page()->rflags = 2;
	vp_hold(&bed->vp);
	assert_true(bed->machine.debug_stale);
	vp_release(&bed->vp, false, 0, 0);
	page()->rflags = 2 | TF;
	page()->ss.attributes = 0xc0f3; /* in a program */
	exception(1, BS);
	go();
	assert_int_equal(bed->stops, 0);
	assert_int_equal(bed->vp.injected, 0);
	assert_int_equal(page()->rflags, 2);
}

static void software_breakpoints(void **state)
{
	bed->breakpoint = CODE;
	vp_release(&bed->vp, false, 0, 0);
	exception(3, 0);
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(bed->why, VP_STOP_BREAKPOINT);
	/* reported behind the instruction */
	vp_release(&bed->vp, false, 0, 0);
	page()->rip = CODE + 1;
	exception(3, 0);
	go();
	assert_int_equal(bed->stops, 2);
	assert_int_equal(page()->rip, CODE);
	/* made of IN */
	vp_release(&bed->vp, false, 0, 0);
	struct hv_io_port_intercept *m = message(HVMSG_X64_IO_PORT);

	m->header.instruction_length = 1;
	m->port = 0x1234;
	m->access_info = 1;
	bed->fake.run.context.rax = 0x77;
	go();
	assert_int_equal(bed->stops, 3);
	assert_int_equal(page()->rip, CODE);
	assert_int_equal(bed->fake.run.context.rax, 0x77);
	/* the guest's own goes to the guest */
	bed->breakpoint = 0;
	vp_release(&bed->vp, false, 0, 0);
	exception(3, 0);
	go();
	assert_int_equal(bed->stops, 3);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_INTERRUPTION), 3 << 16 | 1 << 5 | 6 << 1 | 1);
}

static void hardware_breakpoints_are_shared_out_and_given_back(void **state)
{
	struct vp_hardware wanted = { .address = { 0x1111, 0x2222 }, .dr7 = 1 | 4 | 1 << 20 };
	struct gdb_registers regs = { 0 };

	set(HV_X64_REGISTER_DR0, 0xaaaa);
	set(HV_X64_REGISTER_DR7, 0x401);
	assert_int_equal(vp_debug_hardware(&bed->vp, &wanted), 0);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR0 + 1), 0x2222);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR7), wanted.dr7 | 0x400);
	/* gdb sees the guest's */
	assert_int_equal(vp_debug_read(&bed->vp, GDB_CORE | GDB_SYSTEM, &regs), 0);
	assert_int_equal(regs.dr[0], 0xaaaa);
	vp_release(&bed->vp, false, 0, 0);
	exception(1, 2);
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(bed->why, VP_STOP_HARDWARE);
	assert_int_equal(bed->value, 2);
	/* a register that is not the debugger's */
	vp_release(&bed->vp, false, 0, 0);
	exception(1, 4);
	go();
	assert_int_equal(bed->stops, 1);
	assert_int_equal(bed->vp.injected, 1);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR6), 4);
	assert_int_equal(vp_debug_hardware(&bed->vp, &(struct vp_hardware){ 0 }), 0);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR0), 0xaaaa);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_DR7), 0x401);
}

static void registers_go_back(void **state)
{
	struct gdb_registers regs = { 0 };

	assert_int_equal(vp_debug_read(&bed->vp, GDB_CORE | GDB_SYSTEM, &regs), 0);
	assert_int_equal(regs.rip, CODE);
	set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_HALT_SUSPEND);
	regs.rip = 0x1234;
	regs.gpr[HV_RBX] = 5;
	regs.lstar = 77;
	regs.fx[0] = 9;
	regs.changed = BIT(UNIT_RIP) | BIT(UNIT_GPR + HV_RBX) | BIT(UNIT_LSTAR) | BIT(UNIT_FX);
	assert_int_equal(vp_debug_write(&bed->vp, &regs), 0);
	assert_int_equal(page()->rip, 0x1234);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
	assert_int_equal(bed->fake.run.context.rbx, 5);
	assert_int_equal(bed->fake.run.context.fx_state[0], 9);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_LSTAR), 77);
	assert_int_equal(regs.changed, 0);
}

static void the_intercept_of_int3_may_be_refused(void **state)
{
	bool soft;

	assert_int_equal(vp_debug_intercept(&bed->fake.hcl, true, &soft), 0);
	assert_true(soft);
	bed->fake.status = HV_STATUS_OPERATION_DENIED;
	assert_int_not_equal(vp_debug_intercept(&bed->fake.hcl, true, &soft), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_step_is_a_trap_that_the_guest_does_not_see), TEST(pushed_flags_have_no_tf),
		TEST(popped_flags_are_the_guests),
		TEST(iret_drops_a_tf_that_was_left_behind), TEST(syscall_and_sysret_are_done_here),
		TEST(what_exits_ends_the_step),
		TEST(a_range_is_one_stop), TEST(a_step_that_is_given_up), TEST(software_breakpoints),
		TEST(hardware_breakpoints_are_shared_out_and_given_back), TEST(registers_go_back),
		TEST(the_intercept_of_int3_may_be_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
