#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/apic/lapic.h"

static u64 clock_ns, sent_icr;
static int eois, last_eoi, armed;
static bool last_level;

static void send(void *ctx, struct lapic *from, u64 icr) { sent_icr = icr; }
static void eoi(void *ctx, struct lapic *apic, u8 vector, bool level)
{
	eois++;
	last_eoi = vector;
	last_level = level;
}
static void changed(void *ctx, struct lapic *apic) { armed++; }
static u64 now(void *ctx) { return clock_ns; }
static u64 tsc(void *ctx) { return clock_ns * 2; }
static u64 tsc_to_ns(void *ctx, u64 value) { return value / 2; }

static const struct lapic_ops ops = { send, eoi, changed, now, tsc, tsc_to_ns };

static struct lapic fresh(u32 id, bool x2apic)
{
	struct lapic apic;

	clock_ns = 1000;
	eois = 0;
	memset(&apic, 0, sizeof(apic));
	lapic_init(&apic, id, !id, 1000000000, &ops, NULL);
	apic.x2apic = x2apic;
	assert_true(lapic_write(&apic, LAPIC_SVR, 0x1ff));
	return apic;
}

static void priorities(void **state)
{
	struct lapic a = fresh(0, true);
	int requested, in_service;

	lapic_highest(&a, &requested, &in_service);
	assert_int_equal(requested, LAPIC_NO_VECTOR);
	assert_int_equal(in_service, LAPIC_NO_VECTOR);
	lapic_request(&a, 0x31, false, false);
	lapic_request(&a, 0x52, true, false);
	assert_int_equal(lapic_pending(&a), 0x52);
	lapic_accept(&a, 0x52);
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR); /* 0x31 waits below 0x5x */
	lapic_highest(&a, &requested, &in_service);
	assert_int_equal(requested, 0x31);
	assert_int_equal(in_service, 0x52);
	lapic_request(&a, 0x5f, false, false);
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR); /* the same class does not interrupt it */
	lapic_request(&a, 0x60, false, false);
	assert_int_equal(lapic_pending(&a), 0x60);
	lapic_accept(&a, 0x60);
	lapic_end_of_interrupt(&a);
	assert_int_equal(last_eoi, 0x60);
	assert_false(last_level);
	lapic_end_of_interrupt(&a);
	assert_int_equal(last_eoi, 0x52);
	assert_true(last_level);
	assert_int_equal(lapic_pending(&a), 0x5f);
	assert_true(lapic_write(&a, LAPIC_TPR, 0x50));
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
	assert_true(lapic_write(&a, LAPIC_TPR, 0x4f));
	assert_int_equal(lapic_pending(&a), 0x5f);
}

static void auto_eoi_leaves_no_service_bit(void **state)
{
	struct lapic a = fresh(0, true);

	lapic_request(&a, 0xf3, false, true);
	lapic_accept(&a, 0xf3);
	lapic_request(&a, 0x30, false, false);
	assert_int_equal(lapic_pending(&a), 0x30);
	lapic_end_of_interrupt(&a);
	assert_int_equal(eois, 0); /* nothing was in service */
}

static void disabled_apic_delivers_nothing(void **state)
{
	struct lapic a = fresh(0, true);

	lapic_request(&a, 0x80, false, false);
	assert_true(lapic_write(&a, LAPIC_SVR, 0xff));
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
}

static void destinations(void **state)
{
	struct lapic x = fresh(0x25, true), old = fresh(3, false);

	assert_true(lapic_matches(&x, 0x25, false));
	assert_true(lapic_matches(&x, ~0u, false));
	assert_false(lapic_matches(&x, 0xff, false)); /* an id in x2APIC mode */
	assert_true(lapic_matches(&x, 2u << 16 | 1u << 5, true));
	assert_false(lapic_matches(&x, 1u << 16 | 1u << 5, true));
	assert_true(lapic_matches(&old, 0xff, false));
	assert_true(lapic_write(&old, LAPIC_LDR, 0x08000000));
	assert_true(lapic_matches(&old, 0x0c, true));
	assert_false(lapic_matches(&old, 0x04, true));
	assert_true(lapic_write(&old, LAPIC_DFR, 0)); /* cluster model */
	assert_true(lapic_write(&old, LAPIC_LDR, 0x12000000));
	assert_true(lapic_matches(&old, 0x16, true));
	assert_false(lapic_matches(&old, 0x22, true));
}

static void registers_fault_where_x2apic_says(void **state)
{
	struct lapic a = fresh(7, true);
	u64 value;

	assert_true(lapic_read(&a, LAPIC_ID, &value));
	assert_int_equal(value, 7);
	assert_false(lapic_read(&a, LAPIC_DFR, &value));
	assert_false(lapic_read(&a, LAPIC_ICR_HIGH, &value));
	assert_false(lapic_write(&a, LAPIC_VERSION, 0));
	assert_false(lapic_read(&a, 0x40, &value));
	assert_true(lapic_write(&a, LAPIC_ICR, 0x300000041ull));
	assert_int_equal(sent_icr, 0x300000041ull);
	assert_true(lapic_write(&a, LAPIC_SELF_IPI, 0x44));
	assert_int_equal(lapic_pending(&a), 0x44);
}

static void timer_modes(void **state)
{
	struct lapic a = fresh(0, true);
	u64 value;

	assert_true(lapic_write(&a, LAPIC_TIMER_DIVIDE, 0xb));
	assert_true(lapic_write(&a, LAPIC_LVT_TIMER, 0x40));
	assert_true(lapic_write(&a, LAPIC_TIMER_INITIAL, 500));
	assert_int_equal(lapic_timer_deadline(&a), 1500);
	clock_ns = 1200;
	assert_true(lapic_read(&a, LAPIC_TIMER_CURRENT, &value));
	assert_int_equal(value, 300);
	lapic_timer_check(&a);
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
	clock_ns = 1500;
	lapic_timer_check(&a);
	assert_int_equal(lapic_pending(&a), 0x40);
	assert_int_equal(lapic_timer_deadline(&a), 0);

	a = fresh(0, true);
	assert_true(lapic_write(&a, LAPIC_TIMER_DIVIDE, 0xb));
	assert_true(lapic_write(&a, LAPIC_LVT_TIMER, 0x20041));
	assert_true(lapic_write(&a, LAPIC_TIMER_INITIAL, 100));
	clock_ns += 350; /* three periods late: one interrupt, and the beat is kept */
	lapic_timer_check(&a);
	assert_int_equal(lapic_pending(&a), 0x41);
	assert_int_equal(lapic_timer_deadline(&a), 1400);

	a = fresh(0, true);
	assert_true(lapic_write(&a, LAPIC_LVT_TIMER, 0x40042));
	lapic_set_tsc_deadline(&a, 4000);
	assert_int_equal(lapic_timer_deadline(&a), 2000);
	clock_ns = 2000;
	lapic_timer_check(&a);
	assert_int_equal(lapic_pending(&a), 0x42);
}

static void mode_changes(void **state)
{
	struct lapic a = fresh(0, false);

	assert_int_equal(lapic_base(&a), 0xfee00900);
	assert_true(lapic_set_base(&a, 0xfee00d00));
	assert_true(a.x2apic);
	assert_false(lapic_set_base(&a, 0xfee00900)); /* x2APIC mode is left by switching off */
	assert_false(lapic_set_base(&a, 0xfee00500)); /* extended, not enabled */
	assert_false(lapic_set_base(&a, 0xfed00d00)); /* moved */
	lapic_request(&a, 0x41, false, false);
	assert_true(lapic_set_base(&a, 0xfee00100));
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
	assert_false(lapic_set_base(&a, 0xfee00d00)); /* not in one step */
	assert_true(lapic_set_base(&a, 0xfee00900));
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR); /* what was there is gone */
}

static void errors_are_latched(void **state)
{
	struct lapic a = fresh(0, true);
	u64 value;

	sent_icr = 0;
	assert_true(lapic_write(&a, LAPIC_LVT_ERROR, 0x55));
	assert_true(lapic_write(&a, LAPIC_ICR, 0x0000000f)); /* vectors below 16 are illegal */
	assert_int_equal(sent_icr, 0);
	assert_int_equal(lapic_pending(&a), 0x55);
	assert_true(lapic_read(&a, LAPIC_ESR, &value));
	assert_int_equal(value, 0);
	assert_true(lapic_write(&a, LAPIC_ESR, 0));
	assert_true(lapic_read(&a, LAPIC_ESR, &value));
	assert_int_equal(value, 0x20);
	assert_true(lapic_write(&a, LAPIC_ESR, 0));
	assert_true(lapic_read(&a, LAPIC_ESR, &value));
	assert_int_equal(value, 0);
	assert_false(lapic_write(&a, LAPIC_ESR, 1));
	/* disabled by software: all LVTs are masked, and stay so */
	assert_true(lapic_write(&a, LAPIC_SVR, 0xff));
	assert_true(lapic_write(&a, LAPIC_LVT_ERROR, 0x55));
	assert_true(lapic_read(&a, LAPIC_LVT_ERROR, &value));
	assert_int_equal(value, 0x10055);
}

static void whom_an_ipi_is_for(void **state)
{
	struct lapic a = fresh(3, true), b = fresh(300, true);

	assert_true(lapic_ipi_matches(&a, &b, 300ull << 32 | 0x41));
	assert_false(lapic_ipi_matches(&a, &a, 300ull << 32 | 0x41));
	assert_true(lapic_ipi_matches(&a, &a, 1ull << 18));
	assert_false(lapic_ipi_matches(&a, &b, 1ull << 18));
	assert_true(lapic_ipi_matches(&a, &b, 2ull << 18));
	assert_false(lapic_ipi_matches(&a, &a, 3ull << 18));
	assert_true(lapic_ipi_matches(&a, &b, 3ull << 18));
	assert_true(lapic_ipi_matches(&a, &b, 0xffffffffull << 32));
	/* 300 is bit 12 of cluster 18 */
	assert_true(lapic_ipi_matches(&a, &b, 0x00121000ull << 32 | LAPIC_ICR_LOGICAL));
	assert_false(lapic_ipi_matches(&a, &b, 0x00121001ull << 32 | 0x00010000ull << 32 | LAPIC_ICR_LOGICAL));
	assert_true(lapic_deliver(&b, LAPIC_STARTUP, 0x9a, false));
	assert_int_equal(b.sipi_vector, 0x9a);
	assert_false(lapic_deliver(&b, LAPIC_SMI, 0, false));
}

static void ended_without_being_told(void **state)
{
	struct lapic a = fresh(0, true);
	u32 word = 0xf0;

	lapic_set_assist(&a, &word);
	lapic_request(&a, 0x41, false, false);
	lapic_accept(&a, 0x41);
	assert_int_equal(word, 0xf1);
	lapic_settle(&a);
	assert_int_equal(lapic_ppr(&a), 0x40);
	word = 0xf0; /* the guest's */
	lapic_settle(&a);
	assert_int_equal(lapic_ppr(&a), 0);
	assert_int_equal(a.eois_saved, 1);
	/* another waits: no mark, or the mark is taken back */
	lapic_request(&a, 0x41, false, false);
	lapic_request(&a, 0x51, false, false);
	lapic_accept(&a, 0x51);
	assert_int_equal(word, 0xf0);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	lapic_accept(&a, 0x41);
	assert_int_equal(word, 0xf1);
	lapic_request(&a, 0x42, false, false);
	lapic_settle(&a);
	assert_int_equal(word, 0xf0);
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	assert_int_equal(lapic_pending(&a), 0x42);
	/* the embedder hears of level-triggered ends: these are always told */
	lapic_accept(&a, 0x42);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	word = 0;
	lapic_request(&a, 0x61, true, false);
	lapic_accept(&a, 0x61);
	assert_int_equal(word, 0);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	/* a guest that ends what it need not; one whose page had rubbish in it */
	lapic_request(&a, 0x41, false, false);
	lapic_accept(&a, 0x41);
	assert_int_equal(word, 1);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	assert_int_equal(word, 0);
	assert_int_equal(lapic_ppr(&a), 0);
	word = 1;
	lapic_request(&a, 0x61, true, false);
	lapic_accept(&a, 0x61);
	assert_int_equal(word, 0);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	/* the page is set again, the APIC is reset: no mark stays that nobody knows of */
	lapic_request(&a, 0x41, false, false);
	lapic_accept(&a, 0x41);
	lapic_set_assist(&a, &word);
	assert_int_equal(word, 0);
	assert_true(lapic_write(&a, LAPIC_EOI, 0));
	lapic_request(&a, 0x41, false, false);
	lapic_accept(&a, 0x41);
	lapic_request_sipi(&a, 0x9a);
	lapic_reset(&a);
	assert_int_equal(word, 0);
	assert_int_equal(a.sipi_vector, 0x9a); /* on the heels of its INIT */
	assert_true(a.x2apic);
}

static void awaited_whatever_the_priority(void **state)
{
	struct lapic a = fresh(0, true);

	assert_true(lapic_write(&a, LAPIC_TPR, 0x80));
	lapic_request(&a, 0x51, false, false);
	assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
	assert_int_equal(lapic_awaited(&a), 0x51);
	lapic_request(&a, 0x91, false, false);
	lapic_accept(&a, 0x91);
	assert_int_equal(lapic_awaited(&a), LAPIC_NO_VECTOR);
	assert_false(lapic_write(&a, LAPIC_ICR_HIGH, 7));
	assert_int_equal(a.icr >> 32, 0);
}

/* what the hypervisor adds for speed works in both modes; what is x2APIC's only there */
static void the_hypervisors_registers(void **state)
{
	for (unsigned x2apic = 0; x2apic < 2; x2apic++) {
		struct lapic a = fresh(0, x2apic);
		u64 value = x2apic ? 0x1000000fdull : 0x01000000000000fdull;

		assert_true(lapic_msr(&a, HV_MSR_ICR, true, &value));
		assert_int_equal(sent_icr, value);
		assert_true(lapic_msr(&a, HV_MSR_ICR, false, &value));
		assert_int_equal(value & 0xff, 0xfd);
		value = 0x40;
		assert_true(lapic_msr(&a, HV_MSR_TPR, true, &value));
		lapic_request(&a, 0x41, false, false);
		assert_int_equal(lapic_pending(&a), LAPIC_NO_VECTOR);
		value = 0;
		assert_true(lapic_msr(&a, HV_MSR_TPR, true, &value));
		lapic_accept(&a, 0x41);
		value = 77; /* ignored */
		assert_true(lapic_msr(&a, HV_MSR_EOI, true, &value));
		assert_int_equal(last_eoi, 0x41);
		assert_false(lapic_msr(&a, HV_MSR_EOI, false, &value));
		assert_true(lapic_msr(&a, HV_MSR_APIC_FREQUENCY, false, &value));
		assert_int_equal(value, 1000000000);
		assert_false(lapic_msr(&a, HV_MSR_APIC_FREQUENCY, true, &value));
		value = 0;
		assert_int_equal(lapic_msr(&a, LAPIC_MSR_X2APIC_FIRST + LAPIC_EOI, true, &value), x2apic);
		assert_true(lapic_owns_msr(LAPIC_MSR_X2APIC_FIRST) && !lapic_owns_msr(LAPIC_MSR_BASE));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priorities),
		cmocka_unit_test(auto_eoi_leaves_no_service_bit),
		cmocka_unit_test(disabled_apic_delivers_nothing),
		cmocka_unit_test(destinations),
		cmocka_unit_test(registers_fault_where_x2apic_says),
		cmocka_unit_test(timer_modes),
		cmocka_unit_test(mode_changes),
		cmocka_unit_test(errors_are_latched),
		cmocka_unit_test(whom_an_ipi_is_for),
		cmocka_unit_test(ended_without_being_told),
		cmocka_unit_test(the_hypervisors_registers),
		cmocka_unit_test(awaited_whatever_the_priority),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
