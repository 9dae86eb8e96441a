/* Devices that a machine has when it is asked for them: the guest's watchdog, in virtual time, and those of test suites; GPEs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/chipset/testdev.h"
#include "vmm/chipset/watchdog.h"

#define SECOND 1000000000ull

static struct bed {
	struct sim *sim;
	struct exec *home;
	struct timer clock; /* time goes on although no device waits for it */
	struct bus bus;
	struct ioapic ioapic;
	struct pic pic;
	struct isa isa;
	struct pm pm;
	struct watchdog watchdog;
	struct testdev testdev;
	struct power power;
	struct ioapic_message last;
	unsigned messages, events;
	enum power_event event;
	char how[80];
	u32 failed;
} *bed;

static void deliver(struct ioapic *a, const struct ioapic_message *m)
{
	bed->last = *m;
	bed->messages++;
}

static void set_output(struct pic *p, bool level)
{
}

static void power_event(struct power *p, enum power_event e, const char *how)
{
	bed->events++;
	bed->event = e;
	strncpy(bed->how, how, sizeof(bed->how) - 1);
}

static void failed(struct testdev *t, u32 value, const char *text)
{
	assert_int_equal(bed->events, 0);
	bed->failed = value;
}

static int set_up(void **state)
{
	bed = test_calloc(1, sizeof(*bed));
	bed->sim = sim_create(5);
	struct exec *home = bed->home = sim_exec(bed->sim, "home");

	bus_init(&bed->bus);
	ioapic_init(&bed->ioapic);
	bed->ioapic.deliver = deliver;
	pic_init(&bed->pic);
	bed->pic.set_output = set_output;
	bed->isa = (struct isa){ &bed->ioapic, &bed->pic };
	bed->power.event = power_event;
	pm_init(&bed->pm, home, &bed->isa, &bed->power);
	watchdog_init(&bed->watchdog, home, &bed->power, false);
	testdev_init(&bed->testdev, &bed->power, &bed->isa);
	bed->testdev.failed = failed;
	struct device *all[] = { &bed->ioapic.dev, &bed->pic.dev, &bed->pm.dev, &bed->watchdog.dev, &bed->testdev.dev };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(bus_attach(&bed->bus, all[i]), 0);
	return 0;
}

static int tear_down(void **state)
{
	sim_destroy(bed->sim);
	test_free(bed);
	return 0;
}

static void out(u64 port, unsigned size, u64 value)
{
	bus_access(&bed->bus, SPACE_PIO, port, size, true, &value, NULL);
}

static u64 in(u64 port, unsigned size)
{
	u64 value = 0;

	bus_access(&bed->bus, SPACE_PIO, port, size, false, &value, NULL);
	return value;
}

static void put(u32 reg, u32 value)
{
	out(WATCHDOG_PORT, 4, reg);
	out(WATCHDOG_PORT + 4, 4, value);
}

static u32 get(u32 reg)
{
	out(WATCHDOG_PORT, 4, reg);
	return (u32)in(WATCHDOG_PORT + 4, 4);
}

static void ring(struct timer *timer)
{
}

static void seconds(u64 n)
{
	u64 until = sim_now_ns(bed->sim) + n * SECOND;

	bed->clock.fire = ring;
	timer_arm(bed->home, &bed->clock, until);
	sim_run(bed->sim, until);
}

static void the_watchdog_expires(void **state)
{
	assert_int_equal(get(WATCHDOG_RESOLUTION), 1);
	assert_int_equal(get(WATCHDOG_COUNT), 120);
	assert_int_equal(get(WATCHDOG_CONFIG), 0);
	seconds(1000);
	assert_int_equal(bed->events, 0);
	put(WATCHDOG_COUNT, 10);
	seconds(20); /* not before it is told to run */
	assert_int_equal(bed->events, 0);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED | WATCHDOG_ENABLED);
	seconds(9);
	put(WATCHDOG_CONFIG, get(WATCHDOG_CONFIG)); /* a ping, as WDAT's action 1 does it */
	seconds(9);
	put(WATCHDOG_CONFIG, get(WATCHDOG_CONFIG));
	seconds(9);
	assert_int_equal(bed->events, 0);
	seconds(2);
	assert_int_equal(bed->events, 1);
	assert_int_equal(bed->event, POWER_EVENT_WATCHDOG);
	assert_int_equal(get(WATCHDOG_CONFIG), 0);
	seconds(100);
	assert_int_equal(bed->events, 1);
}

static void the_watchdog_stops(void **state)
{
	put(WATCHDOG_COUNT, 5);
	put(WATCHDOG_CONFIG, 3);
	seconds(4);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED);
	seconds(60);
	assert_int_equal(get(WATCHDOG_COUNT), 5);
	put(WATCHDOG_CONFIG, 3);
	seconds(3);
	/* a guest that does not run cannot ping */
	watchdog_pause(&bed->watchdog, true);
	seconds(60);
	watchdog_pause(&bed->watchdog, false);
	seconds(1);
	assert_int_equal(bed->events, 0);
	seconds(2);
	assert_int_equal(bed->events, 1);
}

static void mistakes_of_a_watchdogs_guest(void **state)
{
	put(WATCHDOG_COUNT, 5);
	put(WATCHDOG_CONFIG, 0x1003); /* a bit that is none */
	put(WATCHDOG_RESOLUTION, 7);
	assert_int_equal(get(WATCHDOG_CONFIG), 0);
	assert_int_equal(get(WATCHDOG_RESOLUTION), 1);
	assert_int_equal(get(0x26), 0xffffffff);
	assert_int_equal(in(WATCHDOG_PORT, 1), 0xff);
	assert_int_equal(bed->watchdog.dev.faults, 4);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED);
	put(WATCHDOG_CONFIG, 0);
	assert_int_equal(get(WATCHDOG_COUNT), 0);
}

/* it ended the guest's last life; the guest reads that until it writes it */
static void a_watchdog_tells_what_it_did(void **state)
{
	struct watchdog next;

	watchdog_init(&next, bed->home, &bed->power, true);
	bed->watchdog.config = next.config;
	assert_int_equal(get(WATCHDOG_CONFIG), WATCHDOG_BOOT_STATUS);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED);
	assert_int_equal(get(WATCHDOG_CONFIG), WATCHDOG_CONFIGURED | WATCHDOG_BOOT_STATUS);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED | WATCHDOG_BOOT_STATUS);
	assert_int_equal(get(WATCHDOG_CONFIG), WATCHDOG_CONFIGURED);
}

static void a_watchdog_is_saved(void **state)
{
	struct saver s;
	struct loader l;

	put(WATCHDOG_COUNT, 30);
	put(WATCHDOG_CONFIG, 3);
	seconds(10);
	saver_init(&s);
	bus_save(&bed->bus, &s);
	assert_int_equal(saver_finish(&s), 0);
	put(WATCHDOG_CONFIG, WATCHDOG_CONFIGURED);
	seconds(5);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(bus_restore(&bed->bus, l), 0);
	saver_fini(&s);
	seconds(19);
	assert_int_equal(bed->events, 0);
	seconds(2);
	assert_int_equal(bed->events, 1);
}

static void general_purpose_events(void **state)
{
	u64 pin = 0x10 + 2 * PM_SCI_LINE, entry = 0x39 | 1u << 15;

	bus_access(&bed->bus, SPACE_MMIO, 0xfec00000, 4, true, &pin, NULL);
	bus_access(&bed->bus, SPACE_MMIO, 0xfec00010, 4, true, &entry, NULL);
	pm_gpe(&bed->pm, PM_GPE_GENERATION_ID);
	assert_int_equal(bed->messages, 0);
	assert_int_equal(in(PM_GPE_PORT, 2), 1);
	out(PM_GPE_PORT + 2, 1, 0xff);
	assert_int_equal(in(PM_GPE_PORT + 2, 2), 1);
	assert_int_equal(in(PM_GPE_PORT, 4), 0x10001);
	assert_int_equal(bed->messages, 1);
	assert_int_equal(bed->last.vector, 0x39);
	out(PM_GPE_PORT, 1, 1);
	assert_int_equal(in(PM_GPE_PORT, 1), 0);
	ioapic_eoi(&bed->ioapic, 0x39);
	assert_int_equal(bed->messages, 1); /* the line fell */
	out(PM_GPE_PORT + 3, 1, 0xf);
	assert_int_equal(in(PM_GPE_PORT, 4), 0xf010000);
	out(PM_RESET_PORT, 1, PM_RESET_VALUE);
	assert_int_equal(bed->event, POWER_EVENT_RESET);
}

static void what_suites_expect(void **state)
{
	u64 value = 0x1122334455667788ull;
	u64 pin = 0x10 + 2 * 17, entry = 0x41;

	out(TESTDEV_PORT, 4, 0x12345678);
	assert_int_equal(in(TESTDEV_PORT, 4), 0x12345678);
	assert_int_equal(in(TESTDEV_PORT + 1, 1), 0x56);
	out(TESTDEV_PORT + 2, 2, 0xabcd);
	assert_int_equal(in(TESTDEV_PORT + 8, 4), 0xabcd5678);
	out(TESTDEV_FLUSH_PORT, 4, 0x1000);
	assert_int_equal(bed->testdev.flushes, 1);
	bus_access(&bed->bus, SPACE_MMIO, TESTDEV_MEMORY + 0xfff8, 8, true, &value, NULL);
	value = 0;
	bus_access(&bed->bus, SPACE_MMIO, TESTDEV_MEMORY + 0xfffc, 4, false, &value, NULL);
	assert_int_equal(value, 0x11223344);
	bus_access(&bed->bus, SPACE_MMIO, 0xfec00000, 4, true, &pin, NULL);
	bus_access(&bed->bus, SPACE_MMIO, 0xfec00010, 4, true, &entry, NULL);
	out(TESTDEV_LINES_PORT + 17, 1, 1);
	assert_int_equal(bed->messages, 1);
	assert_int_equal(bed->last.vector, 0x41);
	out(TESTDEV_LINES_PORT + 17, 1, 0);
	out(TESTDEV_LINES_PORT + 5, 1, 1);
	assert_int_equal(bed->pic.half[0].lines & 1 << 5, 1 << 5);
	out(TESTDEV_LINES_PORT + 5, 1, 0);
	assert_int_equal(bed->pic.half[0].lines & 1 << 5, 0);
	assert_int_equal(bed->events, 0);
	out(TESTDEV_EXIT_PORT, 4, 0x10);
	assert_int_equal(bed->event, POWER_EVENT_OFF);
	assert_int_equal(bed->failed, 0x10);
	assert_string_equal(bed->how, "debug exit, value 0x10, status 33");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_watchdog_expires), TEST(the_watchdog_stops), TEST(mistakes_of_a_watchdogs_guest),
		TEST(a_watchdog_tells_what_it_did),
		TEST(a_watchdog_is_saved), TEST(general_purpose_events), TEST(what_suites_expect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
