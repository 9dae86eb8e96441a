/* Writes of MSRs that VTL2 looks at and makes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log/log.h"
#include "spec/msr.h"
#include "tests/lib/model_vp.h"

static void names_become_control_bits(void **state)
{
	char why[150];
	u64 control;

	assert_int_equal(watch_parse("lstar", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(6));
	assert_int_equal(watch_parse("star,sysenter_eip", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(8) | BIT(20));
	assert_int_equal(watch_parse("all", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(6) | BIT(8) | BIT(10) | BIT(19) | BIT(20) | BIT(21) | BIT(22));
	assert_int_equal(watch_parse("", &control, why, sizeof(why)), -EINVAL);
	assert_int_equal(watch_parse("lstar,", &control, why, sizeof(why)), -EINVAL);
	assert_int_equal(watch_parse("lstar,cr0", &control, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "'cr0': star, lstar"));
	assert_int_equal(watch_parse("a_name_that_has_no_end_to_it", &control, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "'a_name_that_has_no_e': star"));
	assert_string_equal(why + strlen(why) - 6, "or all");
}

/* the control is VTL2's own register, and the VP's whose thread asks */
static void the_hypervisor_is_asked(void **state)
{
	struct hv_register_assoc control;
	struct hv_set_vp_registers head;

	assert_int_equal(watch_open(&bed->vp), 0);
	assert_null(hcl_fake_last(&bed->fake, HVCALL_SET_VP_REGISTERS)); /* for nothing */
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	assert_int_equal(watch_open(&bed->vp), 0);
	const struct fake_call *call = hcl_fake_last(&bed->fake, HVCALL_SET_VP_REGISTERS);

	assert_non_null(call);
	memcpy(&head, call->in, sizeof(head));
	memcpy(&control, call->in + sizeof(head), sizeof(control));
	assert_int_equal(head.vp_index, HV_VP_INDEX_SELF);
	assert_int_equal(head.input_vtl, 0);
	assert_int_equal(control.name, HV_X64_REGISTER_CR_INTERCEPT_CONTROL);
	assert_int_equal(control.value.u64[0], BIT(6));
	bed->fake.status = HV_STATUS_INVALID_PARAMETER;
	assert_int_equal(watch_open(&bed->vp), -EIO);
}

static void write_msr(u32 msr, u64 value)
{
	struct hv_msr_intercept *m = model_exit(HVMSG_X64_MSR);

	m->msr = msr;
	m->header.access_type = HV_INTERCEPT_ACCESS_WRITE;
	m->header.instruction_length = 2;
	bed->fake.run.context.rax = (u32)value;
	bed->fake.run.context.rdx = value >> 32;
	model_play();
}

static const struct watch_register *lstar(void)
{
	return &bed->vp.watch.all[1];
}

static u64 injected(void)
{
	return hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0) & 0xffffff;
}

static void a_write_is_counted_and_made(void **state)
{
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	write_msr(MSR_LSTAR, 0xffffffff81e00080);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_LSTAR), 0xffffffff81e00080);
	assert_int_equal(bed->fake.page.rip, 0x1002);
	assert_int_equal(bed->vp.injected, 0);
	assert_int_equal(lstar()->writes, 1);
	assert_int_equal(lstar()->last, 0xffffffff81e00080);
	assert_int_equal(lstar()->last_rip, 0x1000);
	assert_int_equal(bed->vp.unknown_msrs, 0);
}

/* what KVM did not make for its own reasons is not made here either */
static void what_is_not_watched_faults(void **state)
{
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	write_msr(MSR_SYSENTER_EIP, 0x1234);
	assert_int_equal(injected(), 1 | 1 << 8 | 13 << 16);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_SYSENTER_EIP), 0);
	assert_int_equal(bed->vp.unknown_msrs, 1);
}

static void a_value_that_is_none_faults(void **state)
{
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	write_msr(MSR_LSTAR, 0x1000);
	bed->fake.refuse_register = HV_X64_REGISTER_LSTAR;
	write_msr(MSR_LSTAR, 1ull << 63);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_LSTAR), 0x1000);
	assert_int_equal(injected(), 1 | 1 << 8 | 13 << 16);
	assert_int_equal(lstar()->writes, 2);
	assert_int_equal(lstar()->refused, 1);
	assert_int_equal(lstar()->last, 0x1000);
	assert_int_equal(bed->vp.unknown_msrs, 0);
}

static char lines[40][100];
static unsigned line_count;

static void keep_line(enum log_level level, const char *domain, const char *text)
{
	if (line_count < ARRAY_SIZE(lines))
		snprintf(lines[line_count++], sizeof(lines[0]), "%s", text);
}

/* a guest that writes one all the time cannot hide what it does to another */
static void each_register_has_lines_of_its_own(void **state)
{
	log_set_sink(keep_line);
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE | HV_CR_INTERCEPT_STAR_WRITE;
	for (unsigned i = 0; i < 30; i++) {
		write_msr(MSR_STAR, i);
		bed->next = bed->count = 0; /* room in the script */
	}
	assert_in_range(line_count, 1, 20); /* ten a second */
	line_count = 0;
	write_msr(MSR_LSTAR, 0x5000);
	assert_int_equal(line_count, 1);
	assert_non_null(strstr(lines[0], "VP 0: VTL0 writes lstar at 0x1000: 0x5000, was 0"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_vp_create, model_vp_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_become_control_bits), TEST(the_hypervisor_is_asked), TEST(a_write_is_counted_and_made),
		TEST(what_is_not_watched_faults), TEST(a_value_that_is_none_faults), TEST(each_register_has_lines_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
