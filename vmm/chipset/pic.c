/* a pair of 8259A (Intel data sheet) with edge/level registers at 4D0/4D1 */
#include <errno.h>

#include "vmm/chipset/chipset.h"

/* the line to serve next, -1: none */
static int pending(const struct pic_half *h)
{
	u8 wanted = h->irr & (u8)~(h->imr | h->isr);
	int line = wanted ? __builtin_ctz(wanted) : -1;

	/* one of higher priority in service holds it back */
	return line < 0 || h->special_mask || !(h->isr & ((1u << line) - 1)) ? line : -1;
}

static void update(struct pic *p)
{
	u8 slave = pending(&p->half[1]) >= 0 ? 4 : 0;

	p->half[0].irr = (u8)((p->half[0].irr & ~4u) | slave);
	bool output = pending(&p->half[0]) >= 0;

	if (output != p->output) {
		p->output = output;
		p->set_output(p, output);
	}
}

void pic_set_line(struct pic *p, unsigned line, bool level)
{
	struct pic_half *h = &p->half[line >> 3 & 1];
	u8 bit = (u8)(1u << (line & 7));

	device_lock(&p->dev);
	if (level && ((h->elcr & bit) || !(h->lines & bit)))
		h->irr |= bit;
	else if (!level)
		h->irr &= (u8)~bit;
	h->lines = level ? h->lines | bit : h->lines & (u8)~bit;
	update(p);
	device_unlock(&p->dev);
}

static u8 take(struct pic_half *h, int line)
{
	u8 bit = (u8)(1u << (line < 0 ? 7 : line));

	if (line >= 0) {
		if (!h->auto_eoi)
			h->isr |= bit;
		if (!(h->elcr & bit))
			h->irr &= (u8)~bit;
	}
	return (u8)(h->base + (line < 0 ? 7 : line)); /* nothing there: the spurious vector */
}

u8 pic_acknowledge(struct pic *p)
{
	device_lock(&p->dev);
	int line = pending(&p->half[0]);
	u8 vector = take(&p->half[0], line);

	if (line == 2)
		vector = take(&p->half[1], pending(&p->half[1]));
	update(p);
	device_unlock(&p->dev);
	return vector;
}

static void end_of_interrupt(struct pic_half *h, u8 command)
{
	if (command & 0x40) {
		h->isr &= (u8)~(1u << (command & 7));
		return;
	}
	for (int i = 0; i < 8; i++)
		if (h->isr & 1u << i) {
			h->isr &= (u8)~(1u << i);
			return;
		}
}

static void write_command(struct pic_half *h, u8 value)
{
	if (value & 0x10) { /* ICW1 */
		u8 lines = h->lines, elcr = h->elcr;

		*h = (struct pic_half){ .icw1 = value, .icw_step = 2, .lines = lines, .elcr = elcr };
	} else if (value & 8) { /* OCW3 */
		if (value & 4)
			h->poll = true;
		if (value & 2)
			h->read_isr = value & 1;
		if (value & 0x40)
			h->special_mask = value & 0x20;
	} else if (value & 0x20) { /* OCW2: EOI; rotation is not offered */
		end_of_interrupt(h, value);
	}
}

static void write_data(struct pic_half *h, u8 value)
{
	switch (h->icw_step) {
	case 2:
		h->base = value & 0xf8;
		h->icw_step = h->icw1 & 2 ? (h->icw1 & 1 ? 4 : 0) : 3;
		break;
	case 3:
		h->icw_step = h->icw1 & 1 ? 4 : 0;
		break;
	case 4:
		h->auto_eoi = value & 2;
		h->icw_step = 0;
		break;
	default:
		h->imr = value;
		break;
	}
}

static u8 read_command(struct pic_half *h)
{
	if (h->poll) {
		int line = pending(h);

		h->poll = false;
		if (line >= 0)
			take(h, line);
		return line < 0 ? 0 : (u8)(0x80 | line);
	}
	return h->read_isr ? h->isr : h->irr;
}

static enum io_status pic_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct pic *p = container_of(dev, struct pic, dev);
	struct pic_half *h = &p->half[region == 2 ? io->offset & 1 : region];

	if (io->size != 1)
		return IO_BAD_SIZE;
	if (region == 2) {
		if (io->write)
			h->elcr = (u8)io->value & (h == p->half ? 0xf8 : 0xde);
		io->value = h->elcr;
	} else if (io->write) {
		if (io->offset)
			write_data(h, (u8)io->value);
		else
			write_command(h, (u8)io->value);
	} else {
		io->value = io->offset ? h->imr : read_command(h);
	}
	update(p);
	return IO_OK;
}

static void pic_reset(struct device *dev)
{
	struct pic *p = container_of(dev, struct pic, dev);

	p->half[0] = p->half[1] = (struct pic_half){ .imr = 0xff };
}

static void pic_save(struct device *dev, struct saver *s)
{
	saver_put(s, container_of(dev, struct pic, dev)->half, sizeof(((struct pic *)0)->half));
}

static int pic_restore(struct device *dev, struct bytes b)
{
	struct pic *p = container_of(dev, struct pic, dev);
	u8 raw[sizeof(p->half)];

	if (!bytes_copy(&b, raw, sizeof(raw)))
		return -EPROTO;
	for (unsigned i = 0; i < 2; i++) {
		u8 *h = raw + i * sizeof(struct pic_half);

		for (size_t k = offsetof(struct pic_half, read_isr); k < sizeof(struct pic_half); k++)
			h[k] = h[k] != 0; /* what is not a bool must not become one */
		__builtin_memcpy(&p->half[i], h, sizeof(struct pic_half));
	}
	p->output = pending(&p->half[0]) >= 0;
	if (p->set_output)
		p->set_output(p, p->output);
	return 0;
}

static void pic_inspect(struct device *dev, struct inspect *in)
{
	struct pic *p = container_of(dev, struct pic, dev);

	inspect_hex(in, "irr", (u64)p->half[1].irr << 8 | p->half[0].irr);
	inspect_hex(in, "isr", (u64)p->half[1].isr << 8 | p->half[0].isr);
	inspect_hex(in, "imr", (u64)p->half[1].imr << 8 | p->half[0].imr);
	inspect_bool(in, "output", p->output);
}

static const struct device_ops ops = {
	.access = pic_access, .reset = pic_reset, .save = pic_save, .restore = pic_restore, .inspect = pic_inspect,
};
static const struct region regions[] = {
	{ "pic master", SPACE_PIO, 0x20, 2 }, { "pic slave", SPACE_PIO, 0xa0, 2 }, { "pic elcr", SPACE_PIO, 0x4d0, 2 },
};

void pic_init(struct pic *p)
{
	p->dev = (struct device){ .name = "pic", .tag = STATE_TAG('P', 'I', 'C', ' '), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions) };
	p->output = false;
	pic_reset(&p->dev);
}
