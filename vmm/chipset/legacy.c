/* i8042 without keyboard or mouse: its reset line and a sane status; POST port */
#include "vmm/chipset/chipset.h"

enum { R_KBD_DATA, R_KBD_COMMAND, R_POST, R_FAST_A20 };

#define KBD_FULL 1u
#define KBD_SYSTEM 4u
#define KBD_COMMAND 8u

static void reply(struct legacy *l, u8 value)
{
	l->kbd_data = value;
	l->kbd_full = true;
}

static void kbd_command(struct legacy *l, u8 value)
{
	l->kbd_status |= KBD_COMMAND;
	if (value == 0xfe || (value >= 0xf0 && !(value & 1)))
		l->power->event(l->power, POWER_EVENT_RESET, "keyboard controller");
	else if (value == 0xaa)
		reply(l, 0x55); /* self test passed */
	else if (value == 0x20)
		reply(l, 0x30); /* both ports disabled */
	else if (value == 0xab || value == 0xa9)
		reply(l, 1);    /* port test failed: nothing is attached */
}

static enum io_status legacy_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct legacy *l = container_of(dev, struct legacy, dev);

	switch (region) {
	case R_KBD_DATA:
		if (io->write)
			return IO_OK;
		io->value = l->kbd_full ? l->kbd_data : 0;
		l->kbd_full = false;
		break;
	case R_KBD_COMMAND:
		if (io->write)
			kbd_command(l, (u8)io->value);
		else
			io->value = KBD_SYSTEM | (l->kbd_full ? KBD_FULL : 0) | (l->kbd_status & KBD_COMMAND);
		break;
	case R_POST:
		if (io->write) {
			l->post = (u8)io->value;
			l->posts++;
		}
		io->value = l->post;
		break;
	case R_FAST_A20:
		if (io->write && (io->value & 1))
			l->power->event(l->power, POWER_EVENT_RESET, "port 92h");
		io->value = 2;
		break;
	}
	return IO_OK;
}

static void legacy_inspect(struct device *dev, struct inspect *in)
{
	struct legacy *l = container_of(dev, struct legacy, dev);

	inspect_hex(in, "post", l->post);
	inspect_count(in, "posts", l->posts);
}

static const struct device_ops ops = {
	.access = legacy_access, .inspect = legacy_inspect,
};
static const struct region regions[] = {
	[R_KBD_DATA] = { "i8042 data", SPACE_PIO, 0x60, 1 }, [R_KBD_COMMAND] = { "i8042 command", SPACE_PIO, 0x64, 1 },
	[R_POST] = { "POST", SPACE_PIO, 0x80, 1 }, [R_FAST_A20] = { "port 92", SPACE_PIO, 0x92, 1 },
};

void legacy_init(struct legacy *l, struct power *power)
{
	*l = (struct legacy){ .dev = { .name = "legacy", .ops = &ops, .regions = regions,
				       .region_count = ARRAY_SIZE(regions) }, .power = power };
}
