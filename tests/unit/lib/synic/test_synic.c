#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/synic/synic.h"

#define SLOTS 0x1000u
#define FLAGS 0x2000u

static struct hv_message slots[HV_SINT_COUNT];
static struct hv_synic_event_flags flags[HV_SINT_COUNT];
static struct synic s;
static unsigned interrupts, changes;
static u8 last_vector;
static bool last_auto_eoi;
static u64 now;

static void *page(void *ctx, u64 gpa)
{
	return gpa == SLOTS ? (void *)slots : gpa == FLAGS ? (void *)flags : NULL;
}

static void interrupt(void *ctx, u8 vector, bool auto_eoi)
{
	interrupts++;
	last_vector = vector;
	last_auto_eoi = auto_eoi;
}

static u64 reference(void *ctx) { return now; }
static void changed(void *ctx) { changes++; }

static const struct synic_ops ops = { page, interrupt, reference, changed };

static int set_up(void **state)
{
	memset(slots, 0, sizeof(slots));
	memset(flags, 0, sizeof(flags));
	interrupts = changes = 0;
	now = 1000;
	synic_init(&s, &ops, NULL);
	return 0;
}

static int tear_down(void **state)
{
	synic_fini(&s);
	return 0;
}

static void write_msr(u32 msr, u64 value)
{
	assert_true(synic_write(&s, msr, value));
}

static void enable(u8 sint, u64 value)
{
	write_msr(HV_MSR_SINT0 + sint, value);
	write_msr(HV_MSR_SIMP, SLOTS | 1);
	write_msr(HV_MSR_SIEFP, FLAGS | 1);
}

static void messages_wait_for_their_slot(void **state)
{
	assert_true(synic_post(&s, 2, HVMSG_VMBUS, "one", 3)); /* no slots yet: it waits */
	assert_int_equal(interrupts, 0);
	enable(2, 0x77 | HV_SINT_AUTO_EOI);
	assert_int_equal(interrupts, 1);
	assert_int_equal(last_vector, 0x77);
	assert_true(last_auto_eoi);
	assert_memory_equal(slots[2].payload, "one", 3);
	assert_true(synic_post(&s, 2, HVMSG_VMBUS, "two", 3));
	assert_int_equal(interrupts, 1);
	assert_int_equal(slots[2].flags & HV_MESSAGE_FLAG_PENDING, 1);
	slots[2].type = HVMSG_NONE;
	write_msr(HV_MSR_EOM, 0);
	assert_int_equal(interrupts, 2);
	assert_memory_equal(slots[2].payload, "two", 3);
	assert_int_equal(slots[2].flags, 0);
	for (unsigned i = 0; i < SYNIC_QUEUE_MAX; i++)
		assert_true(synic_post(&s, 2, HVMSG_VMBUS, &i, sizeof(i)));
	assert_false(synic_post(&s, 2, HVMSG_VMBUS, "", 0));
}

static void direct_messages_do_not_wait(void **state)
{
	struct hv_message m = { .type = HVMSG_VMBUS, .payload_size = 1, .payload = { 9 } };

	assert_int_equal(synic_post_direct(&s, 3, &m), HV_STATUS_INVALID_SYNIC_STATE);
	enable(3, 0x60);
	assert_int_equal(synic_post_direct(&s, 3, &m), HV_STATUS_SUCCESS);
	assert_int_equal(synic_post_direct(&s, 3, &m), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(slots[3].flags, HV_MESSAGE_FLAG_PENDING);
	assert_int_equal(synic_free_slots(&s, 0xffff), 0xfff7);
	slots[3].type = HVMSG_NONE;
	assert_int_equal(synic_free_slots(&s, 1 << 3), 1 << 3);
	assert_int_equal(synic_post_direct(&s, 3, &m), HV_STATUS_SUCCESS);
}

static void flags_interrupt_once(void **state)
{
	assert_false(synic_signal(&s, 2, 5)); /* nowhere to put it */
	enable(2, 0x77 | HV_SINT_MASKED);
	assert_true(synic_signal(&s, 2, 5));
	assert_int_equal(interrupts, 0);
	write_msr(HV_MSR_SINT0 + 2, 0x77);
	assert_false(synic_signal(&s, 2, 5));
	assert_true(synic_signal(&s, 2, 2047));
	assert_int_equal(interrupts, 1);
	assert_int_equal(flags[2].flags[0], 1 << 5);
	assert_int_equal(flags[2].flags[31], 1ull << 63);
}

static void timers(void **state)
{
	u64 value;

	/* auto enable, direct: armed by its count */
	write_msr(HV_MSR_STIMER0_CONFIG, HV_STIMER_AUTO_ENABLE | HV_STIMER_DIRECT | 0xecu << 4);
	assert_int_equal(synic_timer_deadline(&s), 0);
	write_msr(HV_MSR_STIMER0_CONFIG + 1, 1500);
	assert_int_equal(synic_timer_deadline(&s), 1500);
	now = 1499;
	synic_timer_check(&s);
	assert_int_equal(interrupts, 0);
	now = 1500;
	synic_timer_check(&s);
	assert_int_equal(last_vector, 0xec);
	assert_int_equal(synic_timer_deadline(&s), 0);
	/* a vector below 16, or a message to SINT 0: cannot be enabled */
	write_msr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE | HV_STIMER_DIRECT | 0xfu << 4);
	assert_true(synic_read(&s, HV_MSR_STIMER0_CONFIG, &value));
	assert_int_equal(value & HV_STIMER_ENABLE, 0);
	write_msr(HV_MSR_STIMER0_CONFIG, HV_STIMER_ENABLE);
	assert_true(synic_read(&s, HV_MSR_STIMER0_CONFIG, &value));
	assert_int_equal(value & HV_STIMER_ENABLE, 0);
	/* periodic, by message, and late: one for the periods missed, the beat is kept */
	enable(4, 0x44);
	write_msr(HV_MSR_STIMER0_CONFIG + 2, HV_STIMER_PERIODIC | HV_STIMER_ENABLE | 4u << 16);
	write_msr(HV_MSR_STIMER0_CONFIG + 3, 100);
	write_msr(HV_MSR_STIMER0_CONFIG + 2, HV_STIMER_PERIODIC | HV_STIMER_ENABLE | 4u << 16);
	assert_int_equal(synic_timer_deadline(&s), 1600);
	now = 1950;
	synic_timer_check(&s);
	assert_int_equal(slots[4].type, HVMSG_TIMER_EXPIRED);
	assert_int_equal(synic_timer_deadline(&s), 2000);
	/* a period longer than time is: not always due, but never */
	interrupts = 0;
	write_msr(HV_MSR_STIMER0_CONFIG + 2, 0);
	write_msr(HV_MSR_STIMER0_CONFIG, HV_STIMER_PERIODIC | HV_STIMER_AUTO_ENABLE | HV_STIMER_DIRECT | 0xecu << 4);
	write_msr(HV_MSR_STIMER0_CONFIG + 1, -12ull);
	assert_int_equal(synic_timer_deadline(&s), ~0ull);
	synic_timer_check(&s);
	assert_int_equal(interrupts, 0);
	assert_false(synic_read(&s, HV_MSR_SCONTROL - 1, &value));
	assert_false(synic_write(&s, HV_MSR_SVERSION, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = { TEST(messages_wait_for_their_slot), TEST(direct_messages_do_not_wait),
					    TEST(flags_interrupt_once), TEST(timers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
