/*
 * MC146818A (Motorola data sheet): time, alarm, periodic and update interrupts, 114 bytes of NVRAM. Time is our wall clock plus a
 * skew the guest sets. Nothing runs in between: flags are found out when somebody looks, a timer runs for enabled interrupts.
 */
#include <errno.h>
#include <time.h>

#include "vmm/chipset/chipset.h"

enum { SECONDS = 0, ALARM_SECONDS = 1, MINUTES = 2, ALARM_MINUTES = 3, HOURS = 4, ALARM_HOURS = 5, WEEKDAY = 6,
       DAY = 7, MONTH = 8, YEAR = 9, REG_A = 10, REG_B = 11, REG_C = 12,
       REG_D = 13, CENTURY = 0x32 };
#define B_24H 2u
#define B_BINARY 4u
#define B_SET 0x80u
#define C_IRQ 0x80u
/* of B, which enables, and of C, which tells */
#define PERIODIC 0x40u
#define ALARM 0x20u
#define UPDATE 0x10u
#define ENABLES (PERIODIC | ALARM | UPDATE)
#define A_RATE 0x0fu
#define A_DIVIDER 0x70u
#define A_RUNNING 0x20u
#define ANY 0xc0u /* of an alarm register: each second, minute, hour */
#define NS_PER_S 1000000000
#define DAY_S 86400

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

static u8 encode_hour(const struct rtc *r, int hour)
{
	if (r->registers[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static s64 wall_clock_s(struct rtc *r)
{
	return r->wall_clock_ns(r) / NS_PER_S;
}

static void from_clock(struct rtc *r)
{
	time_t now = (time_t)(wall_clock_s(r) + r->skew_s);
	struct tm tm;

	if (r->registers[REG_B] & B_SET || !gmtime_r(&now, &tm))
		return;
	/* as a guest may set it: before 1900, and in the year before 0 */
	int year = MAX(tm.tm_year + 1900, 0);

	r->registers[SECONDS] = encode(r, tm.tm_sec);
	r->registers[MINUTES] = encode(r, tm.tm_min);
	r->registers[HOURS] = encode_hour(r, tm.tm_hour);
	r->registers[WEEKDAY] = encode(r, tm.tm_wday + 1);
	r->registers[DAY] = encode(r, tm.tm_mday);
	r->registers[MONTH] = encode(r, tm.tm_mon + 1);
	r->registers[YEAR] = encode(r, year % 100);
	r->registers[CENTURY] = encode(r, year / 100);
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

	r->skew_s = (s64)timegm(&tm) - wall_clock_s(r);
	r->second = wall_clock_s(r) + r->skew_s;
}

/* ---- interrupts */

/* 0: none */
static u64 period_ns(const struct rtc *r)
{
	unsigned rate = r->registers[REG_A] & A_RATE;

	if (!rate || (r->registers[REG_A] & A_DIVIDER) != A_RUNNING)
		return 0;
	/* 32,768 Hz divided; the two fastest rates are taken by slower ones (data sheet, table 5) */
	return (u64)NS_PER_S * (1u << ((rate < 3 ? rate + 7 : rate) - 1)) / 32768;
}

static bool rings_at(const struct rtc *r, s64 second)
{
	s64 of_day = ((second % DAY_S) + DAY_S) % DAY_S;
	const u8 *have = r->registers;
	const struct { u8 alarm, now; } parts[] = {
		{ have[ALARM_SECONDS], encode(r, (int)(of_day % 60)) },
		{ have[ALARM_MINUTES], encode(r, (int)(of_day / 60 % 60)) },
		{ have[ALARM_HOURS], encode_hour(r, (int)(of_day / 3600)) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if ((parts[i].alarm & ANY) != ANY && parts[i].alarm != parts[i].now)
			return false;
	return true;
}

static void set_flags(struct rtc *r, u8 flags)
{
	bool was = r->flags & C_IRQ;

	r->flags = flags & (u8)~C_IRQ;
	if (r->flags & r->registers[REG_B] & ENABLES)
		r->flags |= C_IRQ;
	if (was == ((r->flags & C_IRQ) != 0))
		return;
	r->interrupts += !was;
	isa_set(r->isa, 8, !was);
}

/* what has happened since somebody last looked; lock held */
static void look(struct rtc *r)
{
	s64 now_s = wall_clock_s(r) + r->skew_s;
	u64 now = exec_now_ns(r->dev.home), period = period_ns(r);
	u8 flags = r->flags;

	if (r->registers[REG_B] & B_SET) {
		r->second = now_s;
	} else if (now_s != r->second) {
		flags |= UPDATE;
		for (s64 s = MAX(r->second + 1, now_s - DAY_S + 1); s <= now_s && !(flags & ALARM); s++)
			flags |= rings_at(r, s) ? ALARM : 0;
		r->second = now_s;
	}
	if (period && now - r->beat_ns >= period) {
		flags |= PERIODIC;
		r->beat_ns += (now - r->beat_ns) / period * period;
	}
	set_flags(r, flags);
}

/* on home: the timer list is its; lock held */
static void arm(struct rtc *r)
{
	u64 now = exec_now_ns(r->dev.home), period = period_ns(r), next = 0;
	u8 enabled = r->registers[REG_B];

	if (enabled & (UPDATE | ALARM) && !(enabled & B_SET))
		next = now + (u64)(NS_PER_S - r->wall_clock_ns(r) % NS_PER_S);
	if (enabled & PERIODIC && period && (!next || r->beat_ns + period < next))
		next = r->beat_ns + period;
	if (next && !r->stopped)
		timer_arm(r->dev.home, &r->timer, next);
	else
		timer_disarm(r->dev.home, &r->timer);
}

static void fired(struct timer *timer)
{
	struct rtc *r = container_of(timer, struct rtc, timer);

	device_lock(&r->dev);
	if (!r->stopped)
		look(r);
	arm(r);
	device_unlock(&r->dev);
}

static void rearm(struct op *op, int ignored)
{
	struct rtc *r = container_of(op, struct rtc, post);

	device_lock(&r->dev);
	r->post_busy = false;
	arm(r);
	device_unlock(&r->dev);
}

static void schedule(struct rtc *r)
{
	if (r->post_busy)
		return;
	r->post_busy = true;
	exec_post(r->dev.home, &r->post, rearm, 0);
}

static u8 read_register(struct rtc *r)
{
	if (is_clock(r->index))
		from_clock(r);
	if (r->index == REG_A)
		return r->registers[REG_A] & 0x7f; /* no update is ever in progress */
	if (r->index == REG_D)
		return 0x80; /* battery is good */
	if (r->index != REG_C)
		return r->registers[r->index];
	look(r);
	u8 flags = r->flags;

	set_flags(r, 0); /* reading it is the acknowledgement */
	return flags;
}

static void write_register(struct rtc *r, u8 value)
{
	u8 i = r->index;

	if (i == REG_C || i == REG_D)
		return;
	if (i == REG_A || i == REG_B)
		look(r);
	if (is_clock(i))
		from_clock(r);
	bool leaves_set = i == REG_B && (r->registers[REG_B] & B_SET) && !(value & B_SET);

	if (i == REG_B && !leaves_set)
		from_clock(r);
	r->registers[i] = value;
	if (leaves_set || (is_clock(i) && !(r->registers[REG_B] & B_SET)))
		to_clock(r);
	if (i == REG_B && value & B_SET) /* data sheet: setting the time ends the update interrupts */
		r->registers[REG_B] &= (u8)~UPDATE;
	if (i != REG_A && i != REG_B && i != ALARM_SECONDS && i != ALARM_MINUTES && i != ALARM_HOURS)
		return;
	if (i == REG_A)
		r->beat_ns = exec_now_ns(r->dev.home);
	set_flags(r, r->flags);
	schedule(r);
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
	saver_u8(s, r->flags);
	saver_u64(s, (u64)r->second);
}

static int rtc_restore(struct device *dev, struct bytes b)
{
	struct rtc *r = container_of(dev, struct rtc, dev);
	u64 skew, second;

	if (!bytes_u8(&b, &r->index) || !bytes_u64(&b, &skew) || !bytes_copy(&b, r->registers, sizeof(r->registers)) ||
	    !bytes_u8(&b, &r->flags) || !bytes_u64(&b, &second))
		return -EPROTO;
	r->index &= 0x7f;
	r->flags &= C_IRQ | ENABLES;
	r->skew_s = (s64)skew;
	r->second = (s64)second; /* an alarm that should have rung meanwhile rings late */
	r->beat_ns = exec_now_ns(dev->home);
	return 0;
}

static void rtc_inspect(struct device *dev, struct inspect *in)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	inspect_s64(in, "skew_s", r->skew_s);
	inspect_s64(in, "time_s", wall_clock_s(r) + r->skew_s);
	inspect_hex(in, "enabled", r->registers[REG_B] & ENABLES);
	inspect_count(in, "interrupts", r->interrupts);
}

static void rtc_stop(struct device *dev)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	r->stopped = true;
	schedule(r);
}

static void rtc_start(struct device *dev)
{
	struct rtc *r = container_of(dev, struct rtc, dev);

	r->stopped = false;
	look(r);
	schedule(r);
}

static const struct device_ops ops = {
	.access = rtc_access, .start = rtc_start, .stop = rtc_stop, .save = rtc_save, .restore = rtc_restore,
	.inspect = rtc_inspect,
};
static const struct region regions[] = { { "rtc", SPACE_PIO, 0x70, 2 } };

static s64 our_clock(struct rtc *r)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (s64)t.tv_sec * NS_PER_S + t.tv_nsec;
}

void rtc_init(struct rtc *r, struct exec *home, struct isa *isa)
{
	r->dev = (struct device){ .name = "rtc", .tag = STATE_TAG('R', 'T', 'C', ' '), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions), .home = home };
	r->isa = isa;
	r->wall_clock_ns = our_clock;
	r->timer = (struct timer){ .fire = fired };
	r->post_busy = r->stopped = false;
	r->second = wall_clock_s(r);
	r->registers[REG_A] = 0x26;
	r->registers[REG_B] = B_24H;
}
