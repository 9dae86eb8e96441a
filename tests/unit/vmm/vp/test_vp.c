/* Exits of VTL0 that go to ports, MSRs and hypercalls, what is set up before it runs, and its end */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log/log.h"
#include "tests/lib/model_vp.h"

static void port_io_costs_no_hypercall(void **state)
{
	struct hv_io_port_intercept *m = model_exit(HVMSG_X64_IO_PORT);

	m->port = 0x500;
	m->access_info = 1;
	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	bed->fake.run.context.rax = 0x1177;
	m = model_exit(HVMSG_X64_IO_PORT);
	m->port = 0x1234;
	m->access_info = 2;
	model_play();
	assert_int_equal(bed->slow.written, 0x77);
	assert_int_equal(bed->fake.run.context.rax, 0xffff);
	assert_int_equal(bed->fake.page.rip, 0x1001);
	assert_true(bed->fake.page.dirty & HV_REGISTER_CLASS_IP);
	assert_int_equal(bed->vp.hcl.register_calls, 0);
	assert_int_equal(bed->fake.call_count, 0);
	assert_int_equal(bed->vp.exits[EXIT_IO], 2);
}

static void a_slow_device_parks_the_vp(void **state)
{
	struct hv_io_port_intercept *m = model_exit(HVMSG_X64_IO_PORT);

	m->port = 0x500;
	m->access_info = 4;
	model_exit(HVMSG_X64_CPUID);
	model_play();
	assert_int_equal(bed->next, 1);
	io_complete(bed->slow.token, 0xabcd);
	model_play();
	assert_int_equal(bed->next, 2);
	assert_int_equal(bed->vp.exits[EXIT_CPUID], 1);
}

static void msrs(void **state)
{
	struct hv_msr_intercept *m = model_exit(HVMSG_X64_MSR);

	m->msr = 0x8b;
	m->header.instruction_length = 0; /* a host that does not say */
	model_play();
	assert_int_equal(bed->fake.page.rip, 0x1002);
	m = model_exit(HVMSG_X64_MSR);
	m->msr = 0x8b;
	m->header.instruction_length = 3; /* RDMSR with a prefix */
	model_play();
	assert_int_equal(bed->fake.page.rip, 0x1003);
	assert_int_equal(bed->fake.run.context.rdx, 0xffffffff);
	m = model_exit(HVMSG_X64_MSR);
	m->msr = 0x12345;
	model_play();
	u64 e = hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0);

	assert_int_equal(e & 0xffffff, 1 | 1 << 8 | 13 << 16);
	bed->fake.run.context.rax = 0;
	bed->fake.run.context.rdx = 0x80000000;
	m = model_exit(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	model_play();
	assert_int_equal(bed->last_event, VP_GUEST_CRASH);
	assert_int_equal(bed->last_registers.count, 6);
	assert_int_equal(bed->last_registers.all[5].name, HV_REGISTER_GUEST_CRASH_CTL);
	assert_int_equal(bed->last_registers.all[5].value[0], 1ull << 63);
	/* again at once: counted, not told */
	unsigned events = bed->events;

	m = model_exit(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	model_play();
	assert_int_equal(bed->events, events);
	assert_int_equal(bed->vp.crashes, 2);
}

static char crash_log[16][128];
static unsigned crash_lines;

static void keep_line(enum log_level level, const char *domain, const char *text)
{
	if (!strncmp(text, "guest: ", 7) || strstr(text, "crash text"))
		snprintf(crash_log[crash_lines++ % 16], sizeof(crash_log[0]), "%s", text);
}

static void crash_with_a_text(u64 gpa, u64 len)
{
	struct hv_msr_intercept *m;

	usleep(1010000); /* reports come once a second at most */
	crash_lines = 0;
	bed->machine.crash[3] = gpa;
	bed->machine.crash[4] = len;
	bed->fake.run.context.rax = 0;
	bed->fake.run.context.rdx = 0xc0000000;
	m = model_exit(HVMSG_X64_MSR);
	m->msr = 0x40000105;
	m->header.access_type = 1;
	model_play();
}

static void a_guests_last_words(void **state)
{
	static const char words[] = "Oops\n\nat \033[1m here\nend";

	log_set_sink(keep_line);
	assert_int_equal(guest_write(bed->machine.guest, 0x3000, words, sizeof(words)), 0);
	crash_with_a_text(0x3000, sizeof(words));
	assert_int_equal(crash_lines, 3);
	assert_string_equal(crash_log[0], "guest: Oops");
	assert_string_equal(crash_log[1], "guest: at .[1m here");
	assert_string_equal(crash_log[2], "guest: end");
	crash_with_a_text(0x3000, ~0ull); /* a page of it, no more */
	assert_int_equal(crash_lines, 3);
	crash_with_a_text(~0ull - 5, 10);
	assert_int_equal(crash_lines, 1);
	assert_non_null(strstr(crash_log[0], "not in the guest's memory"));
}

static void hypercalls_and_the_end(void **state)
{
	struct hv_hypercall_intercept *m = model_exit(HVMSG_HYPERCALL_INTERCEPT);

	m->rcx = HVCALL_POST_MESSAGE;
	m->header.instruction_length = 0; /* not told: VMCALL has 3 bytes */
	model_play();
	assert_int_equal(bed->fake.run.context.rax, HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(bed->fake.page.rip, 0x1003);
	m = model_exit(HVMSG_HYPERCALL_INTERCEPT);
	m->header.instruction_length = 2; /* a hypercall page without VMCALL */
	m->rcx = HVCALL_POST_MESSAGE;
	model_play();
	assert_int_equal(bed->fake.page.rip, 0x1002);
	struct hv_apic_eoi *eoi = model_exit(HVMSG_X64_APIC_EOI);

	*eoi = (struct hv_apic_eoi){ 0, 0x30 };
	model_exit(HVMSG_UNRECOVERABLE_EXCEPTION);
	model_exit(HVMSG_X64_CPUID);
	model_play();
	assert_int_equal(bed->ioapic.eois, 1);
	assert_int_equal(bed->last_event, VP_TRIPLE_FAULT);
	assert_true(bed->last_registers.count >= 28);
	assert_int_equal(bed->last_registers.all[0].name, HV_X64_REGISTER_RIP);
	assert_int_equal(bed->last_registers.all[0].value[0], bed->fake.page.rip);
	bed->vp.stopped = true;
	assert_int_equal(bed->next, 4);
}

static void string_output(void **state)
{
	struct hv_io_port_intercept *m = model_exit(HVMSG_X64_IO_PORT);

	assert_int_equal(guest_write(bed->machine.guest, 0x2000, "abc", 3), 0);
	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.access_type = 1;
	m->header.instruction_length = 2;
	bed->fake.run.context.rsi = 0x2000;
	bed->fake.run.context.rcx = 3;
	model_play();
	assert_int_equal(bed->slow.written, 'c');
	assert_int_equal(bed->fake.run.context.rsi, 0x2003);
	assert_int_equal(bed->fake.run.context.rcx, 0);
	assert_int_equal(bed->fake.page.rip, 0x1002);
}

/* what the port gave goes nowhere while there is no place for it: a data port would have lost it */
static void string_input(void **state)
{
	struct hv_io_port_intercept *m = model_exit(HVMSG_X64_IO_PORT);
	u8 got[3] = { 0 };

	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.instruction_length = 2;
	bed->fake.run.context.rdi = 0x2000;
	bed->fake.run.context.rcx = 3;
	model_play();
	assert_int_equal(guest_read(bed->machine.guest, 0x2000, got, 3), 0);
	assert_int_equal(got[0] & got[1] & got[2], 0x5a);
	assert_int_equal(bed->fake.run.context.rdi, 0x2003);
	assert_int_equal(bed->fake.run.context.rcx, 0);
	assert_int_equal(bed->slow.dev.reads, 3);

	m = model_exit(HVMSG_X64_IO_PORT);
	m->port = 0x500;
	m->access_info = 1 | HV_IO_STRING | HV_IO_REP;
	m->header.instruction_length = 2;
	bed->fake.page.cr0 = 0x80000001u; /* its tables at 4000h are empty */
	bed->fake.page.cr3 = 0x4000;
	bed->fake.run.context.rcx = 3;
	u64 injected = bed->vp.injected;

	model_play();
	assert_int_equal(bed->vp.injected, injected + 1);
	assert_int_equal(bed->slow.dev.reads, 3);
	assert_int_equal(bed->fake.run.context.rcx, 3);
}

static void set_up_calls(void **state)
{
	assert_int_equal(vp_install_intercepts(&bed->fake.hcl, false), 0);
	assert_int_equal(bed->fake.call_count, 5);
	struct hv_install_intercept *in = (void *)bed->fake.calls[0].in;

	assert_int_equal(in->intercept_type, HV_INTERCEPT_IO_PORT_RANGE);
	assert_int_equal(in->parameter, 0xffff0000);
	bed->fake.refuse_code = HVCALL_REGISTER_INTERCEPT_RESULT;
	struct cpuid_changes cpuid;
	char why[160];

	assert_int_equal(vp_configure_cpuid(false, NULL, &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), 0); /* VTL0 sees more than it needs to */
	assert_int_equal(vp_configure_cpuid(true, NULL, &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), -EIO); /* VTL0 would lack what it is promised */
	bed->fake.refuse_code = 0;
	assert_int_equal(vp_configure_cpuid(true, "-x2apic,-avx2", &cpuid, why, sizeof(why)), 0);
	assert_int_equal(vp_register_cpuid(&bed->fake.hcl, &cpuid), 0);
	struct hv_register_intercept_result *leaf = (void *)hcl_fake_last(&bed->fake, HVCALL_REGISTER_INTERCEPT_RESULT)->in;

	assert_int_equal(leaf->parameters.eax, 7);
	assert_int_equal(leaf->parameters.subleaf_specific, 1);
	assert_int_equal(leaf->parameters.result.ebx_mask, 1 << 5);
	assert_int_equal(leaf->parameters.result.ebx, 0);
	/* the policy's word counts, not that of the APIC played here */
	assert_int_equal(cpuid.all[0].leaf, 1);
	assert_int_equal(cpuid.all[0].mask[CPUID_ECX], 1 << 21 | 1 << 24);
	assert_int_equal(cpuid.all[0].value[CPUID_ECX], 1 << 24);
	assert_int_equal(vp_configure_cpuid(false, "-lm", &cpuid, why, sizeof(why)), -EINVAL);
	struct ioapic_message m = { .destination = 2, .vector = 0x31, .level = true };

	vp_assert_interrupt(&bed->machine, &m);
	struct hv_assert_virtual_interrupt *a = (void *)hcl_fake_last(&bed->fake, HVCALL_ASSERT_VIRTUAL_INTERRUPT)->in;

	assert_int_equal(a->destination, 2);
	assert_int_equal(a->control, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_vp_create, model_vp_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_io_costs_no_hypercall), TEST(a_slow_device_parks_the_vp), TEST(msrs),
		TEST(a_guests_last_words), TEST(hypercalls_and_the_end), TEST(string_output),
		TEST(string_input), TEST(set_up_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
