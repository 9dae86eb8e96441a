/* 8254 (Intel data sheet) counters 0 and 2, and port 61h. Counter 0 in modes 2 and 3 ticks line 0. */
#include <errno.h>

#include "vmm/chipset/chipset.h"

#define PIT_HZ 1193182ull

static u64 ticks_of(struct pit *p, struct pit_channel *c)
{
	u64 ns = exec_now_ns(p->dev.home) - c->start_ns;

	return ns / 1000000000u * PIT_HZ + ns % 1000000000u * PIT_HZ / 1000000000u;
}

static u32 reload_of(const struct pit_channel *c)
{
	return c->reload ? c->reload : 0x10000;
}

static u16 counter(struct pit *p, struct pit_channel *c)
{
	u64 ticks = ticks_of(p, c);
	u32 reload = reload_of(c);

	if (c->mode == 2)
		return (u16)(reload - ticks % reload);
	if (c->mode == 3)
		return (u16)((reload - ticks * 2 % reload) & ~1ull);
	return (u16)(reload - ticks);
}

static bool output(struct pit *p, struct pit_channel *c)
{
	u64 ticks = ticks_of(p, c);
	u32 reload = reload_of(c);

	if (c->mode == 3)
		return ticks % reload < (reload + 1) / 2;
	if (c->mode == 2)
		return ticks % reload != reload - 1;
	return ticks >= reload;
}

/* on home: the timer list is its */
static void rearm(struct op *op, int ignored)
{
	struct pit *p = container_of(op, struct pit, post);

	device_lock(&p->dev);
	p->post_busy = false;
	if (p->period_ns) {
		p->next_ns = exec_now_ns(p->dev.home) + p->period_ns;
		timer_arm(p->dev.home, &p->timer, p->next_ns);
	} else {
		timer_disarm(p->dev.home, &p->timer);
	}
	device_unlock(&p->dev);
}

static void tick(struct timer *timer)
{
	struct pit *p = container_of(timer, struct pit, timer);
	u64 now = exec_now_ns(p->dev.home);

	device_lock(&p->dev);
	u64 period = p->period_ns;

	if (period) {
		p->next_ns += period;
		if (p->next_ns < now) /* late by more than a period: the missed ticks are lost, as with a masked line */
			p->next_ns = now + period;
		timer_arm(p->dev.home, &p->timer, p->next_ns);
		p->ticks++;
	}
	device_unlock(&p->dev);
	if (period) {
		isa_set(p->isa, 0, true);
		isa_set(p->isa, 0, false);
	}
}

static void schedule(struct pit *p)
{
	struct pit_channel *c = &p->channel[0];

	p->period_ns = c->mode == 2 || c->mode == 3 ? reload_of(c) * 1000000000ull / PIT_HZ : 0;
	if (!p->post_busy) {
		p->post_busy = true;
		exec_post(p->dev.home, &p->post, rearm, 0);
	}
}

static void load(struct pit *p, unsigned n, u16 value)
{
	p->channel[n].reload = value;
	p->channel[n].start_ns = exec_now_ns(p->dev.home);
	if (n == 0)
		schedule(p);
}

static void latch(struct pit *p, struct pit_channel *c)
{
	if (c->latch_count)
		return;
	c->latched = counter(p, c);
	c->latch_count = c->access == 3 ? 2 : 1;
}

static void write_control(struct pit *p, u8 value)
{
	unsigned n = value >> 6;

	if (n == 3) { /* read-back */
		for (unsigned i = 0; i < 3; i++) {
			struct pit_channel *c = &p->channel[i];

			if (!(value & 2u << i))
				continue;
			if (!(value & 0x20))
				latch(p, c);
			if (!(value & 0x10) && !c->status_latched) {
				c->status = (u8)((output(p, c) ? 0x80 : 0) | c->access << 4 | c->mode << 1);
				c->status_latched = true;
			}
		}
		return;
	}
	struct pit_channel *c = &p->channel[n];

	if (!(value & 0x30)) {
		latch(p, c);
		return;
	}
	c->access = value >> 4 & 3;
	c->mode = (u8)((value >> 1 & 7) > 5 ? (value >> 1 & 3) : (value >> 1 & 7));
	c->low_next = c->write_low_next = false;
	c->latch_count = 0;
	if (n == 0) {
		p->period_ns = 0;
		schedule(p);
		p->period_ns = 0; /* until a count is loaded */
	}
}

static void write_counter(struct pit *p, unsigned n, u8 value)
{
	struct pit_channel *c = &p->channel[n];

	if (c->access == 3 && !c->write_low_next) {
		c->write_low = value;
		c->write_low_next = true;
		return;
	}
	c->write_low_next = false;
	load(p, n, c->access == 3 ? (u16)(value << 8 | c->write_low) : c->access == 2 ? (u16)(value << 8) : value);
}

static u8 read_counter(struct pit *p, struct pit_channel *c)
{
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	u16 value = c->latch_count ? c->latched : counter(p, c);
	bool high = c->access == 2 || (c->access == 3 && c->low_next);

	if (c->access == 3)
		c->low_next = !c->low_next;
	if (c->latch_count)
		c->latch_count--;
	return (u8)(high ? value >> 8 : value);
}

static enum io_status pit_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct pit *p = container_of(dev, struct pit, dev);
	struct pit_channel *two = &p->channel[2];

	if (io->size != 1)
		return IO_BAD_SIZE;
	if (region == 1) {
		if (io->write) {
			if ((io->value & 1) && !(p->port61 & 1))
				two->start_ns = exec_now_ns(dev->home);
			p->port61 = io->value & 0xf;
		} else {
			/* bit 4 toggles with refresh, bit 5 is counter 2's output */
			io->value = p->port61 | (exec_now_ns(dev->home) / 15000 & 1) << 4 | (output(p, two) ? 0x20 : 0);
		}
	} else if (io->write) {
		if (io->offset == 3)
			write_control(p, (u8)io->value);
		else
			write_counter(p, (unsigned)io->offset, (u8)io->value);
	} else {
		io->value = io->offset == 3 ? 0xff : read_counter(p, &p->channel[io->offset]);
	}
	return IO_OK;
}

static void pit_reset(struct device *dev)
{
	struct pit *p = container_of(dev, struct pit, dev);

	for (unsigned i = 0; i < 3; i++)
		p->channel[i] = (struct pit_channel){ .access = 3, .mode = 3, .start_ns = exec_now_ns(dev->home) };
	p->port61 = 0;
	p->period_ns = 0;
}

static void pit_save(struct device *dev, struct saver *s)
{
	struct pit *p = container_of(dev, struct pit, dev);

	for (unsigned i = 0; i < 3; i++) {
		saver_u16(s, p->channel[i].reload);
		saver_u8(s, p->channel[i].mode);
		saver_u8(s, p->channel[i].access);
	}
	saver_u8(s, p->port61);
}

static int pit_restore(struct device *dev, struct bytes b)
{
	struct pit *p = container_of(dev, struct pit, dev);

	for (unsigned i = 0; i < 3; i++) {
		struct pit_channel *c = &p->channel[i];

		if (!bytes_u16(&b, &c->reload) || !bytes_u8(&b, &c->mode) || !bytes_u8(&b, &c->access) || c->mode > 5 ||
		    c->access > 3)
			return -EPROTO;
		c->start_ns = exec_now_ns(dev->home);
	}
	if (!bytes_u8(&b, &p->port61))
		return -EPROTO;
	schedule(p);
	return 0;
}

static void pit_inspect(struct device *dev, struct inspect *in)
{
	struct pit *p = container_of(dev, struct pit, dev);

	inspect_u64(in, "mode0", p->channel[0].mode);
	inspect_u64(in, "reload0", reload_of(&p->channel[0]));
	inspect_count(in, "ticks", p->ticks);
}

static void pit_stop(struct device *dev)
{
	struct pit *p = container_of(dev, struct pit, dev);

	p->period_ns = 0;
}

static const struct device_ops ops = {
	.access = pit_access, .stop = pit_stop, .reset = pit_reset, .save = pit_save, .restore = pit_restore,
	.inspect = pit_inspect,
};
static const struct region regions[] = { { "pit", SPACE_PIO, 0x40, 4 }, { "port 61", SPACE_PIO, 0x61, 1 } };

void pit_init(struct pit *p, struct exec *home, struct isa *isa)
{
	p->dev = (struct device){ .name = "pit", .tag = STATE_TAG('P', 'I', 'T', ' '), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions), .home = home };
	p->isa = isa;
	p->timer = (struct timer){ .fire = tick };
	p->post_busy = false;
	pit_reset(&p->dev);
}
