/* Writes of MSRs that VTL2 asks for: what KVM is told, and who gets them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "host/vtl/vp.h"
#include "spec/msr.h"

static struct partition p = { .lock = PTHREAD_MUTEX_INITIALIZER };
static struct vp vps[2];
static struct kvm_run runs[2];
static struct { /* KVM's own */
	unsigned filters;
	struct kvm_msr_filter filter;
	u32 msr;
	u64 value;
	bool refuses, no_filter;
} kvm;

/* in the place of libc's: the only ioctls here are KVM's */
int ioctl(int fd, unsigned long request, ...)
{
	const struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} *msrs;
	va_list args;
	int r = 0;

	va_start(args, request);
	if (request == KVM_X86_SET_MSR_FILTER && kvm.no_filter) {
		errno = ENOMEM;
		r = -1;
	} else if (request == KVM_X86_SET_MSR_FILTER) {
		kvm.filters++;
		kvm.filter = *va_arg(args, struct kvm_msr_filter *);
	} else if (request == KVM_SET_MSRS) {
		msrs = va_arg(args, void *);
		kvm.msr = msrs->entry.index;
		kvm.value = msrs->entry.data;
		r = !kvm.refuses;
	}
	va_end(args);
	return r;
}

static int set_up(void **state)
{
	memset(&kvm, 0, sizeof(kvm));
	memset(vps, 0, sizeof(vps));
	p.cr_intercepts = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(vps); i++) {
		vps[i].partition = &p;
		vps[i].index = i;
		vps[i].per[VTL0].vcpu.run = &runs[i];
	}
	return 0;
}

/* how KVM treats an access: KVM_MSR_FILTER_* that leave it */
static u32 leaves(u32 msr)
{
	u32 flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kvm.filter.ranges); i++) {
		const struct kvm_msr_filter_range *r = &kvm.filter.ranges[i];

		if (msr - r->base < r->nmsrs && !(r->bitmap[(msr - r->base) / 8] >> (msr - r->base) % 8 & 1))
			flags |= r->flags;
	}
	return flags;
}

static u16 control(struct vp *vp, u64 bits)
{
	return register_set(vp, VTL2, HV_X64_REGISTER_CR_INTERCEPT_CONTROL, &(union hv_register_value){ .u64[0] = bits });
}

static void what_kvm_keeps_is_refused(void **state)
{
	union hv_register_value value;

	assert_int_equal(control(&vps[0], BIT(0)), HV_STATUS_INVALID_REGISTER_VALUE); /* CR0 */
	assert_int_equal(control(&vps[0], BIT(14) | HV_CR_INTERCEPT_LSTAR_WRITE), HV_STATUS_INVALID_REGISTER_VALUE); /* EFER */
	assert_int_equal(kvm.filters, 0);
	assert_false(msr_write_wanted(&vps[0], MSR_LSTAR));
	assert_int_equal(register_get(&vps[0], VTL2, HV_X64_REGISTER_CR_INTERCEPT_CONTROL, &value), HV_STATUS_SUCCESS);
	assert_int_equal(value.u64[0], 0);
	/* it is VTL2's, not one of VTL0's */
	assert_int_equal(register_set(&vps[0], VTL0, HV_X64_REGISTER_CR_INTERCEPT_CONTROL, &value), HV_STATUS_INVALID_PARAMETER);
}

static void writes_leave_kvm_and_reads_do_not(void **state)
{
	union hv_register_value value;

	assert_int_equal(control(&vps[0], HV_CR_INTERCEPT_LSTAR_WRITE | HV_CR_INTERCEPT_SYSENTER_EIP_WRITE), HV_STATUS_SUCCESS);
	assert_int_equal(kvm.filters, 1);
	assert_int_equal(leaves(MSR_LSTAR), KVM_MSR_FILTER_WRITE);
	assert_int_equal(leaves(MSR_SYSENTER_EIP), KVM_MSR_FILTER_WRITE);
	assert_int_equal(leaves(MSR_STAR), 0);
	assert_int_equal(leaves(HV_MSR_VP_INDEX), KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);
	assert_true(msr_write_wanted(&vps[0], MSR_LSTAR));
	assert_false(msr_write_wanted(&vps[0], MSR_STAR));
	assert_int_equal(register_get(&vps[0], VTL2, HV_X64_REGISTER_CR_INTERCEPT_CONTROL, &value), HV_STATUS_SUCCESS);
	assert_int_equal(value.u64[0], HV_CR_INTERCEPT_LSTAR_WRITE | HV_CR_INTERCEPT_SYSENTER_EIP_WRITE);
	/* the same for the other VP is no news for KVM */
	assert_int_equal(control(&vps[1], HV_CR_INTERCEPT_LSTAR_WRITE), HV_STATUS_SUCCESS);
	assert_int_equal(kvm.filters, 1);
	assert_int_equal(control(&vps[1], HV_CR_INTERCEPT_STAR_WRITE), HV_STATUS_SUCCESS);
	assert_int_equal(kvm.filters, 2);
	assert_int_equal(leaves(MSR_LSTAR), KVM_MSR_FILTER_WRITE);
	assert_int_equal(leaves(MSR_STAR), KVM_MSR_FILTER_WRITE);
}

/* KVM's filter is for all VPs: where this one's VTL2 did not ask, the write is made here */
static void a_vp_that_did_not_ask(void **state)
{
	assert_int_equal(control(&vps[0], HV_CR_INTERCEPT_LSTAR_WRITE), HV_STATUS_SUCCESS);
	assert_false(msr_write_wanted(&vps[1], MSR_LSTAR));
	assert_true(msr_write(&vps[1], VTL0, MSR_LSTAR, 0xffffffff81000000));
	assert_int_equal(kvm.msr, MSR_LSTAR);
	assert_int_equal(kvm.value, 0xffffffff81000000);
	kvm.refuses = true;
	assert_false(msr_write(&vps[1], VTL0, MSR_LSTAR, 1ull << 63));
}

/* what KVM does not do is not in force, and is asked for again */
static void a_filter_that_fails(void **state)
{
	kvm.no_filter = true;
	assert_int_equal(control(&vps[0], HV_CR_INTERCEPT_LSTAR_WRITE), HV_STATUS_INVALID_REGISTER_VALUE);
	assert_false(msr_write_wanted(&vps[0], MSR_LSTAR));
	kvm.no_filter = false;
	assert_int_equal(control(&vps[1], HV_CR_INTERCEPT_LSTAR_WRITE), HV_STATUS_SUCCESS);
	assert_int_equal(kvm.filters, 1);
	assert_int_equal(leaves(MSR_LSTAR), KVM_MSR_FILTER_WRITE);
	assert_true(msr_write_wanted(&vps[1], MSR_LSTAR));
}

/* KVM hands out also what it refuses to make: that is nobody's then */
static void nobody_asked(void **state)
{
	assert_false(msr_write(&vps[0], VTL0, MSR_LSTAR, 1ull << 63));
	assert_int_equal(kvm.msr, 0);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_kvm_keeps_is_refused), TEST(writes_leave_kvm_and_reads_do_not), TEST(a_vp_that_did_not_ask),
		TEST(a_filter_that_fails), TEST(nobody_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
