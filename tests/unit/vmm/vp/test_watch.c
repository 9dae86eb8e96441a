/* Writes of MSRs that VTL2 looks at and makes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_vp.h"

#define LSTAR 0xc0000082u

static void names_become_control_bits(void **state)
{
	char why[160];
	u64 control;

	assert_int_equal(watch_parse("lstar", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(6));
	assert_int_equal(watch_parse("star,sysenter_eip", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(8) | BIT(20));
	assert_int_equal(watch_parse("all", &control, why, sizeof(why)), 0);
	assert_int_equal(control, BIT(6) | BIT(8) | BIT(10) | BIT(19) | BIT(20) | BIT(21) | BIT(22) | BIT(23));
	assert_int_equal(watch_parse("", &control, why, sizeof(why)), -EINVAL);
	assert_int_equal(watch_parse("lstar,", &control, why, sizeof(why)), -EINVAL);
	assert_int_equal(watch_parse("lstar,cr0", &control, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "'cr0': star, lstar"));
	assert_non_null(strstr(why, "or all"));
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

static void a_write_is_counted_and_made(void **state)
{
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	write_msr(LSTAR, 0xffffffff81e00080);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_LSTAR), 0xffffffff81e00080);
	assert_int_equal(bed->fake.page.rip, 0x1002);
	assert_int_equal(bed->vp.injected, 0);
	assert_int_equal(bed->vp.watch.writes[1], 1);
	assert_int_equal(bed->vp.watch.last[1], 0xffffffff81e00080);
	assert_int_equal(bed->vp.unknown_msrs, 0);
	/* also what nobody asked for here, but an earlier worker may have */
	write_msr(0x176, 0x1234);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_SYSENTER_EIP), 0x1234);
}

static void a_value_that_is_none_faults(void **state)
{
	bed->machine.watch = HV_CR_INTERCEPT_LSTAR_WRITE;
	write_msr(LSTAR, 0x1000);
	bed->fake.refuse_register = HV_X64_REGISTER_LSTAR;
	write_msr(LSTAR, 1ull << 63);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_X64_REGISTER_LSTAR), 0x1000);
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_PENDING_EVENT0) & 0xffffff, 1 | 1 << 8 | 13 << 16);
	assert_int_equal(bed->vp.watch.writes[1], 2);
	assert_int_equal(bed->vp.watch.refused[1], 1);
	assert_int_equal(bed->vp.watch.last[1], 0x1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_vp_create, model_vp_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_become_control_bits), TEST(the_hypervisor_is_asked), TEST(a_write_is_counted_and_made),
		TEST(a_value_that_is_none_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
