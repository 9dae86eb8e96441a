/*
 * MC146818A (Motorola data sheet): time and 114 bytes of NVRAM. Time is our wall clock plus a skew the guest sets. No periodic
 * or update interrupts; the alarm is kept but does not ring: Linux on Hyper-V uses neither.
 */
#include <errno.h>
#include <time.h>

#include "vmm/chipset/chipset.h"

enum { SECONDS = 0, MINUTES = 2, HOURS = 4, WEEKDAY = 6, DAY = 7, MONTH = 8, YEAR = 9, REG_A = 10, REG_B = 11, REG_C = 12,
       REG_D = 13, CENTURY = 0x32 };
#define B_24H 2u
#define B_BINARY 4u
#define B_SET 0x80u

static bool is_clock(unsigned i)
{
	return i == SECONDS || i == MINUTES || i == HOURS || (i >= WEEKDAY && i <= YEAR) || i == CENTURY;
}

static u8 encode(const struct rtc *r, int value)
{
	return (u8)(r->registers[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *r, u8 value)
{
	return r->registers[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static void from_clock(struct rtc *r)
{
	time_t now = (time_t)(r->wall_clock_s() + r->skew_s);
	struct tm tm;

	if (r->registers[REG_B] & B_SET || !gmtime_r(&now, &tm))
		return;
	int hour = tm.tm_hour;
	u8 pm = 0;

	if (!(r->registers[REG_B] & B_24H)) {
		pm = hour >= 12 ? 0x80 : 0;
		hour = hour % 12 ? hour % 12 : 12;
	}
	r->registers[SECONDS] = encode(r, tm.tm_sec);
	r->registers[MINUTES] = encode(r, tm.tm_min);
	r->registers[HOURS] = encode(r, hour) | pm;
	r->registers[WEEKDAY] = encode(r, tm.tm_wday + 1);
	r->registers[DAY] = encode(r, tm.tm_mday);
	r->registers[MONTH] = encode(r, tm.tm_mon + 1);
	r->registers[YEAR] = encode(r, tm.tm_year % 100);
	r->registers[CENTURY] = encode(r, (tm.tm_year + 1900) / 100);
}

static void to_clock(struct rtc *r)
{
	u8 hours = r->registers[HOURS];
	int hour = decode(r, hours & 0x7f);

	if (!(r->registers[REG_B] & B_24H))
		hour = hour % 12 + (hours & 0x80 ? 12 : 0);
	struct tm tm = {
		.tm_sec = decode(r, r->registers[SECONDS]), .tm_min = decode(r, r->registers[MINUTES]), .tm_hour = hour,
		.tm_mday = decode(r, r->registers[DAY]), .tm_mon = decode(r, r->registers[MONTH]) - 1,
		.tm_year = decode(r, r->registers[CENTURY]) * 100 + decode(r, r->registers[YEAR]) - 1900,
	};

	r->skew_s = (s64)timegm(&tm) - r->wall_clock_s();
}

static u8 read_register(struct rtc *r)
{
	if (is_clock(r->index))
		from_clock(r);
	if (r->index == REG_A)
		return r->registers[REG_A] & 0x7f; /* no update is ever in progress */
	if (r->index == REG_D)
		return 0x80; /* battery is good */
	return r->index == REG_C ? 0 : r->registers[r->index];
}

static void write_register(struct rtc *r, u8 value)
{
	u8 i = r->index;

	if (i == REG_C || i == REG_D)
		return;
	if (is_clock(i))
		from_clock(r);
	bool leaves_set = i == REG_B && (r->registers[REG_B] & B_SET) && !(value & B_SET);

	if (i == REG_B && !leaves_set)
		from_clock(r);
	r->registers[i] = value;
	if (leaves_set || (is_clock(i) && !(r->registers[REG_B] & B_SET)))
		to_clock(r);
}

static enum io_status rtc_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	if (io->size != 1)
		return IO_BAD_SIZE;
	if (io->offset == 0) {
		if (io->write)
			r->index = io->value & 0x7f; /* bit 7 masks NMI, of which there are none */
		else
			io->value = r->index;
	} else if (io->write) {
		write_register(r, (u8)io->value);
	} else {
		io->value = read_register(r);
	}
	return IO_OK;
}

static void rtc_save(struct device *dev, struct saver *s)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	saver_u8(s, r->index);
	saver_u64(s, (u64)r->skew_s);
	saver_put(s, r->registers, sizeof(r->registers));
}

static int rtc_restore(struct device *dev, struct bytes b)
{
	struct rtc *r = container_of(dev, struct rtc, dev);
	u64 skew;

	if (!bytes_u8(&b, &r->index) || !bytes_u64(&b, &skew) || !bytes_copy(&b, r->registers, sizeof(r->registers)))
		return -EPROTO;
	r->index &= 0x7f;
	r->skew_s = (s64)skew;
	return 0;
}

static void rtc_inspect(struct device *dev, struct inspect *in)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	inspect_s64(in, "skew_s", r->skew_s);
	inspect_s64(in, "time_s", r->wall_clock_s() + r->skew_s);
}

static const struct device_ops ops = {
	.access = rtc_access, .save = rtc_save, .restore = rtc_restore, .inspect = rtc_inspect,
};
static const struct region regions[] = { { "rtc", SPACE_PIO, 0x70, 2 } };

static s64 our_clock(void)
{
	return (s64)time(NULL);
}

void rtc_init(struct rtc *r, struct exec *home, struct isa *isa)
{
	r->dev = (struct device){ .name = "rtc", .tag = STATE_TAG('R', 'T', 'C', ' '), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions), .home = home };
	r->isa = isa;
	r->wall_clock_s = our_clock;
	r->registers[REG_A] = 0x26;
	r->registers[REG_B] = B_24H;
}
