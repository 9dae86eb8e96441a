#include "vmm/chipset/testdev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { R_PORT, R_FLUSH, R_PORT_BYTES, R_EXIT, R_LINES, R_MEMORY };

/* little endian, as much of the access as lies inside */
static void move(u8 *at, size_t room, struct io_access *io)
{
	size_t len = MIN((size_t)io->size, room);

	if (io->write) {
		memcpy(at, &io->value, len);
	} else {
		io->value = 0;
		memcpy(&io->value, at, len);
	}
}

static void set_line(struct testdev *t, unsigned line, bool level)
{
	t->levels = (t->levels & ~(1u << line)) | (u32)level << line;
	if (line < 16)
		isa_set(t->isa, line, level);
	else
		ioapic_set_pin(t->isa->ioapic, line, level);
}

/* what suites call the status: twice the value, and one */
static void leave(struct testdev *t, u32 value)
{
	t->exits++;
	t->exit_value = value;
	snprintf(t->how, sizeof(t->how), "debug exit, value %#x, status %u", value, (value << 1 | 1) & 0xff);
	if (value && t->failed)
		t->failed(t, value, t->how);
	t->power->event(t->power, POWER_EVENT_OFF, t->how);
}

static enum io_status testdev_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	switch (region) {
	case R_PORT:
	case R_PORT_BYTES: move(t->port + io->offset, sizeof(t->port) - io->offset, io); break;
	case R_MEMORY: move(t->memory + io->offset, sizeof(t->memory) - io->offset, io); break;
	case R_FLUSH:
		t->flushes += io->write;
		io->value = 0;
		break;
	case R_EXIT:
		if (io->write)
			leave(t, (u32)io->value);
		io->value = 0;
		break;
	case R_LINES:
		if (io->write)
			set_line(t, (unsigned)io->offset, (io->value & 0xff) != 0);
		io->value = t->levels >> io->offset & 1;
		break;
	}
	return IO_OK;
}

static void testdev_inspect(struct device *dev, struct inspect *in)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	inspect_hex(in, "levels", t->levels);
	inspect_count(in, "flushes", t->flushes);
	inspect_count(in, "exits", t->exits);
	inspect_hex(in, "exit_value", t->exit_value);
}

static void testdev_save(struct device *dev, struct saver *s)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	saver_put(s, t->port, sizeof(t->port));
	saver_u32(s, t->levels);
	saver_put(s, t->memory, sizeof(t->memory));
}

static int testdev_restore(struct device *dev, struct bytes b)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	if (!bytes_copy(&b, t->port, sizeof(t->port)) || !bytes_u32(&b, &t->levels) ||
	    !bytes_copy(&b, t->memory, sizeof(t->memory)))
		return -EPROTO;
	return 0;
}

static const struct device_ops ops = {
	.access = testdev_access, .save = testdev_save, .restore = testdev_restore, .inspect = testdev_inspect,
};
static const struct region regions[] = {
	[R_PORT] = { "test port", SPACE_PIO, TESTDEV_PORT, 4 },
	[R_FLUSH] = { "test flush", SPACE_PIO, TESTDEV_FLUSH_PORT, 4 },
	[R_PORT_BYTES] = { "test port, bytes", SPACE_PIO, TESTDEV_PORT + 8, 4 },
	[R_EXIT] = { "debug exit", SPACE_PIO, TESTDEV_EXIT_PORT, 4 },
	[R_LINES] = { "test lines", SPACE_PIO, TESTDEV_LINES_PORT, IOAPIC_PINS },
	[R_MEMORY] = { "test memory", SPACE_MMIO, TESTDEV_MEMORY, TESTDEV_MEMORY_LEN },
};

void testdev_init(struct testdev *t, struct power *power, struct isa *isa)
{
	memset(t, 0, sizeof(*t));
	t->dev = (struct device){ .name = "testdev", .tag = STATE_TAG('T', 'E', 'S', 'T'), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions) };
	t->power = power;
	t->isa = isa;
}
