#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/bus/bus.h"
#include "vmm/chipset/chipset.h"
#include "vmm/chipset/pci.h"

static struct bus bus;
static struct ioapic ioapic;
static struct pic pic;
static struct pit pit;
static struct rtc rtc;
static struct pm pm;
static struct legacy legacy;
static struct pci_bus pci;
static struct com com;
static struct isa isa = { &ioapic, &pic };
static struct sim *sim;
static u64 sim_start;
static struct ioapic_message last;
static unsigned messages, events;
static enum power_event last_event;
static bool intr;

static void deliver(struct ioapic *a, const struct ioapic_message *m) { last = *m; messages++; }
static void set_output(struct pic *p, bool level) { intr = level; }
static void power_event(struct power *p, enum power_event e, const char *how) { last_event = e; events++; }
static struct power power = { power_event };
/* 2023-11-14 22:13:20 UTC, and on */
static s64 wall_clock(struct rtc *r) { return 1700000000000000000 + (s64)(sim_now_ns(sim) - sim_start); }

static int set_up(void **state)
{
	struct exec *home;

	sim = sim_create(3);
	sim_start = sim_now_ns(sim);
	home = sim_exec(sim, "home");
	messages = events = 0;
	memset(&com, 0, sizeof(com));
	memset(&rtc, 0, sizeof(rtc));
	memset(&ioapic, 0, sizeof(ioapic));
	bus_init(&bus);
	ioapic_init(&ioapic);
	ioapic.deliver = deliver;
	pic_init(&pic);
	pic.set_output = set_output;
	pit_init(&pit, home, &isa);
	rtc_init(&rtc, home, &isa);
	rtc.wall_clock_ns = wall_clock;
	rtc.second = 1700000000;
	pm_init(&pm, home, &isa, &power);
	legacy_init(&legacy, &power);
	pci_bus_init(&pci, &power);
	com_init(&com, 0, &isa);
	struct device *all[] = { &ioapic.dev, &pic.dev, &pit.dev, &rtc.dev, &pm.dev, &legacy.dev, &pci.dev, &com.dev };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (bus_attach(&bus, all[i]))
			return -1;
	return 0;
}

static int tear_down(void **state)
{
	sim_destroy(sim);
	return 0;
}

static void out(u64 port, unsigned size, u64 value)
{
	bus_access(&bus, SPACE_PIO, port, size, true, &value, NULL);
}

static u64 in(u64 port, unsigned size)
{
	u64 value = 0;

	bus_access(&bus, SPACE_PIO, port, size, false, &value, NULL);
	return value;
}

static void ioapic_write(u8 reg, u32 value)
{
	u64 select = reg, v = value;

	bus_access(&bus, SPACE_MMIO, 0xfec00000, 4, true, &select, NULL);
	bus_access(&bus, SPACE_MMIO, 0xfec00010, 4, true, &v, NULL);
}

static void ioapic_level_and_edge(void **state)
{
	ioapic_write(0x10 + 2 * 9 + 1, 3u << 24);
	ioapic_write(0x10 + 2 * 9, 0x39 | 1u << 15); /* level, vector 0x39 */
	ioapic_set_pin(&ioapic, 9, true);
	assert_int_equal(messages, 1);
	assert_int_equal(last.vector, 0x39);
	assert_int_equal(last.destination, 3);
	assert_true(last.level);
	ioapic_set_pin(&ioapic, 9, true);
	assert_int_equal(messages, 1); /* remote IRR holds it */
	ioapic_eoi(&ioapic, 0x39);
	assert_int_equal(messages, 2); /* still high */
	ioapic_set_pin(&ioapic, 9, false);
	ioapic_eoi(&ioapic, 0x39);
	assert_int_equal(messages, 2);
	ioapic_write(0x10 + 2 * 4, 0x34);
	ioapic_set_pin(&ioapic, 4, true);
	ioapic_set_pin(&ioapic, 4, true);
	assert_int_equal(messages, 3);
	u64 v = 1;

	bus_access(&bus, SPACE_MMIO, 0xfec00000, 4, true, &v, NULL);
	bus_access(&bus, SPACE_MMIO, 0xfec00010, 4, false, &v, NULL);
	assert_int_equal(v, 0x170011);
}

static void pic_pair(void **state)
{
	const u8 init[][2] = { { 0x20, 0x11 }, { 0x21, 0x30 }, { 0x21, 4 }, { 0x21, 1 }, { 0xa0, 0x11 }, { 0xa1, 0x38 },
			       { 0xa1, 2 }, { 0xa1, 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(init); i++)
		out(init[i][0], 1, init[i][1]);
	out(0x21, 1, 0xfb);
	out(0xa1, 1, 0xfe);
	assert_int_equal(in(0x21, 1), 0xfb); /* Linux probes the PIC this way */
	pic_set_line(&pic, 8, true);
	assert_true(intr);
	assert_int_equal(pic_acknowledge(&pic), 0x38);
	assert_false(intr);
	out(0xa0, 1, 0x20);
	out(0x20, 1, 0x20);
	pic_set_line(&pic, 4, true); /* masked */
	assert_false(intr);
	assert_int_equal(pic_acknowledge(&pic), 0x37); /* spurious */
}

static void pit_counts_and_ticks(void **state)
{
	out(0x43, 1, 0x34);
	out(0x40, 1, 0x9c);
	out(0x40, 1, 0x2e); /* 11932: 100 Hz */
	ioapic_write(0x14, 0x30);
	sim_run(sim, sim_now_ns(sim) + 100500000);
	assert_in_range(pit.ticks, 9, 11);
	assert_int_equal(last.vector, 0x30);
	out(0x61, 1, 1);
	out(0x43, 1, 0xb0);
	out(0x42, 1, 0xff);
	out(0x42, 1, 0xff);
	assert_int_equal(in(0x61, 1) & 0x20, 0);
	sim_run(sim, sim_now_ns(sim) + 60000000);
	assert_int_equal(in(0x61, 1) & 0x20, 0x20);
}

static u64 cmos(u8 index)
{
	out(0x70, 1, index);
	return in(0x71, 1);
}

static void rtc_time_and_nvram(void **state)
{
	assert_int_equal(cmos(4), 0x22);
	assert_int_equal(cmos(2), 0x13);
	assert_int_equal(cmos(0), 0x20);
	assert_int_equal(cmos(9), 0x23);
	assert_int_equal(cmos(0x32), 0x20);
	assert_int_equal(cmos(13), 0x80);
	out(0x70, 1, 4);
	out(0x71, 1, 0x23);
	assert_int_equal(rtc.skew_s, 3600);
	out(0x70, 1, 0x40);
	out(0x71, 1, 0x5a);
	assert_int_equal(cmos(0x40), 0x5a);
}

static void set_cmos(u8 index, u8 value)
{
	out(0x70, 1, index);
	out(0x71, 1, value);
}

/* virtual time stands still where nothing is to happen: a timer of ours ends the wait */
static void ring(struct timer *timer) {}
static void wait_ms(unsigned ms)
{
	struct timer end = { .fire = ring };
	u64 until = sim_now_ns(sim) + ms * 1000000ull;

	timer_arm(rtc.dev.home, &end, until);
	sim_run(sim, until);
}

static void rtc_interrupts(void **state)
{
	/* IO-APIC pin 8: edge-triggered, vector 38h */
	ioapic_write(0x10 + 2 * 8, 0x38);
	ioapic_write(0x11 + 2 * 8, 0);
	wait_ms(300);
	/* the alarm: at each minute's 22nd second, whatever the minute and the hour */
	set_cmos(1, 0x22);
	set_cmos(3, 0xff);
	set_cmos(5, 0xc0);
	set_cmos(0xb, 0x22);
	wait_ms(1600);
	assert_int_equal(messages, 0);
	wait_ms(200);
	assert_int_equal(messages, 1);
	assert_int_equal(last.vector, 0x38);
	wait_ms(3000);
	assert_int_equal(messages, 1); /* not acknowledged: the line is up */
	assert_int_equal(cmos(0xc), 0xf0); /* the others came, too, though nobody wanted an interrupt */
	assert_int_equal(cmos(0xc), 0);
	wait_ms(58000);
	assert_int_equal(messages, 2);
	assert_int_equal(cmos(0xc) & 0xa0, 0xa0);
	/* updates, each second; setting the time ends them */
	set_cmos(0xb, 0x12);
	for (unsigned i = 0; i < 3; i++) {
		wait_ms(1000);
		assert_int_equal(cmos(0xc) & 0xb0, 0x90);
	}
	assert_int_equal(messages, 5);
	set_cmos(0xb, 0x92);
	assert_int_equal(cmos(0xb), 0x82);
	/* periodic at 4 Hz, and stopped by the divider */
	set_cmos(0xa, 0x2e);
	set_cmos(0xb, 0x42);
	messages = 0;
	for (unsigned i = 0; i < 8; i++) {
		wait_ms(250);
		assert_int_equal(cmos(0xc) & 0xc0, 0xc0);
	}
	assert_int_equal(messages, 8);
	set_cmos(0xa, 0x6e);
	wait_ms(2000);
	assert_int_equal(messages, 8);
	set_cmos(0xa, 0x26); /* 1024 Hz, polled */
	set_cmos(0xb, 2);
	cmos(0xc);
	wait_ms(1);
	assert_int_equal(cmos(0xc) & 0x40, 0x40);
	assert_int_equal(cmos(0xc) & 0x40, 0);
}

static void power_and_legacy(void **state)
{
	u32 first = (u32)in(PM_TIMER_PORT, 4);

	sim_run(sim, sim_now_ns(sim) + 1);
	struct timer wait = { 0 };

	(void)wait;
	assert_int_equal(first >> 24, 0);
	out(PM_CONTROL_PORT, 2, 0x2000 | 5 << 10);
	assert_int_equal(events, 0);
	out(PM_CONTROL_PORT, 2, 0x2000);
	assert_int_equal(events, 1);
	assert_int_equal(last_event, POWER_EVENT_OFF);
	out(0x64, 1, 0xfe);
	assert_int_equal(last_event, POWER_EVENT_RESET);
	out(0xcf8, 4, 0x80000000);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	last_event = POWER_EVENT_OFF;
	out(0xcf9, 1, 6);
	assert_int_equal(last_event, POWER_EVENT_RESET);
	assert_int_equal(in(0xcf8, 4), 0x80000000); /* the byte within is no part of the address */
	assert_int_equal(in(0x1234, 2), 0xffff);
	assert_int_equal(bus.unclaimed_reads[SPACE_PIO], 1);
	assert_int_equal(in(0x3ff, 2), 0xffff); /* across a device's end */
}

static enum io_status function_io(struct pci_bus_function *f, unsigned bar, struct io_access *io)
{
	io->value = bar << 8 | io->offset;
	return IO_OK;
}

static u32 config(u8 devfn, u8 offset)
{
	out(0xcf8, 4, 0x80000000 | devfn << 8 | (offset & 0xfc));
	return (u32)in(0xcfc + (offset & 3), offset & 3 ? 1 : 4);
}

static void save(struct saver *s)
{
	saver_init(s);
	bus_save(&bus, s);
	assert_int_equal(saver_finish(s), 0);
}

static void restore(struct saver *s)
{
	struct loader l;

	assert_int_equal(loader_init(&l, s->data, s->len), 0);
	assert_int_equal(bus_restore(&bus, l), 0);
	saver_fini(s);
}

/* a bus of its own: functions come before the bus is attached */
static void pci_functions(void **state)
{
	static struct pci_bridges bridges;
	static struct pci_bus_function f;

	bus_init(&bus);
	pci_bus_init(&pci, &power);
	assert_int_equal(pci_bridges_add(&bridges, &pci), 0);
	pci_bus_function_init(&f, "f", PCI_DEVFN(7, 1), PCI_DEVICE_PIIX4_IDE, PCI_CLASS_IDE_BUS_MASTER);
	pci_bus_function_io(&f, 4, 0xffa0, 16);
	f.io = function_io;
	assert_int_equal(pci_bus_add(&pci, &f), 0);
	assert_int_equal(pci_bus_add(&pci, &f), -EEXIST);
	assert_int_equal(bus_attach(&bus, &pci.dev), 0);
	assert_int_equal(config(0, 0), 0x71928086);
	assert_int_equal(config(PCI_DEVFN(7, 0), 0), 0x71108086);
	assert_int_equal(config(PCI_DEVFN(7, 0), 0x0e), 0x80);
	assert_int_equal(config(PCI_DEVFN(7, 1), 8), 0x01018000);
	assert_int_equal(config(PCI_DEVFN(7, 2), 0), 0xffffffff);
	assert_int_equal(config(PCI_DEVFN(7, 1), 0x20), 0xffa1);
	out(0xcfc, 4, 0xffffffff); /* sizing */
	assert_int_equal(in(0xcfc, 4), 0xfff1);
	out(0xcfc, 4, 0xc120);
	assert_int_equal(in(0xc125, 1), 0xff); /* ports are not enabled */
	config(PCI_DEVFN(7, 1), 4);
	out(0xcfc, 2, 5);
	assert_int_equal(in(0xc125, 4), 0x405);
	assert_int_equal(in(0xc12e, 4), 0xffffffff); /* across its end */
	assert_int_equal(in(0xffa5, 1), 0xff);
	assert_int_equal(config(PCI_DEVFN(7, 1), 0), 0x71118086);
	out(0xcfc, 4, 0); /* not to be changed */
	assert_int_equal(in(0xcfc, 4), 0x71118086);
	out(0xcf8, 4, 0x800100fc); /* bus 1 */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);

	struct saver s;

	save(&s);
	bus_reset(&bus);
	assert_int_equal(config(PCI_DEVFN(7, 1), 0x20), 0xffa1);
	restore(&s);
	assert_int_equal(config(PCI_DEVFN(7, 1), 0x20), 0xc121);
	assert_int_equal(in(0xc125, 4), 0x405);
}

static void uart_interrupts(void **state)
{
	u8 text[20];

	ioapic_write(0x10 + 2 * 4, 0x34);
	com.uart.connected = true;
	out(0x3fc, 1, 0x0b);
	out(0x3f9, 1, 2);
	assert_int_equal(messages, 1);
	assert_int_equal(in(0x3fa, 1) & 0xf, 2);
	assert_int_equal(in(0x3fa, 1) & 0xf, 1);
	out(0x3fa, 1, 1);
	for (const char *p = "hello"; *p; p++)
		out(0x3f8, 1, (u64)*p);
	assert_int_equal(uart_take(&com.uart, text, sizeof(text)), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(uart_put(&com.uart, (const u8 *)"0123456789abcdefgh", 18), 16);
	assert_int_equal(in(0x3fd, 1) & 1, 1);
	assert_int_equal(in(0x3f8, 1), '0');
}

/* a counter that goes back by one is no clock */
static void the_timer_goes_on_where_it_was_saved(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		struct saver s;

		wait_ms(7);
		u64 was = in(PM_TIMER_PORT, 4);

		save(&s);
		restore(&s);
		assert_int_equal(in(PM_TIMER_PORT, 4), was);
	}
}

/* as a guest does, while the clock stands (SET of register B) */
static void set_years(u8 century, u8 year)
{
	set_cmos(0xb, 0x82);
	set_cmos(9, year);
	set_cmos(0x32, century);
}

/* a century of 18, and one and a year of 0 with a month before the first */
static void years_before_1900(void **state)
{
	set_years(0x18, 0x93);
	set_cmos(0xb, 2);
	assert_int_equal(cmos(9), 0x93);
	assert_int_equal(cmos(0x32), 0x18);
	set_years(0, 0);
	set_cmos(8, 0);
	set_cmos(0xb, 2);
	assert_int_equal(cmos(9), 0);
	assert_int_equal(cmos(8), 0x12);
}

static void state_goes_round(void **state)
{
	struct saver s;

	ioapic_write(0x14, 0x55);
	out(0x70, 1, 0x41);
	out(0x71, 1, 0x77);
	save(&s);
	ioapic_write(0x14, 0x66);
	out(0x71, 1, 0);
	restore(&s);
	assert_int_equal(ioapic.pins[2], 0x55);
	assert_int_equal(cmos(0x41), 0x77);
}

static void regions_may_not_meet(void **state)
{
	static struct com again;

	com_init(&again, 0, &isa);
	assert_int_equal(bus_attach(&bus, &again.dev), -EEXIST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ioapic_level_and_edge), TEST(pic_pair), TEST(pit_counts_and_ticks), TEST(rtc_time_and_nvram),
		TEST(rtc_interrupts),
		TEST(power_and_legacy), TEST(pci_functions),
		TEST(the_timer_goes_on_where_it_was_saved), TEST(years_before_1900),
		TEST(uart_interrupts), TEST(state_goes_round), TEST(regions_may_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
