/* IO-APIC: Intel 82093AA data sheet, with the version of later parts (EOI through the local APIC's broadcast) */
#include <errno.h>

#include "vmm/chipset/chipset.h"

#define PIN_VECTOR 0xffull
#define PIN_DELIVERY (7ull << 8)
#define PIN_LOGICAL BIT(11)
#define PIN_PENDING BIT(12)
#define PIN_LOW_ACTIVE BIT(13)
#define PIN_REMOTE_IRR BIT(14)
#define PIN_LEVEL BIT(15)
#define PIN_MASKED BIT(16)
#define PIN_DESTINATION (0xffull << 56)
#define PIN_READ_ONLY (PIN_PENDING | PIN_REMOTE_IRR)
#define PIN_WRITABLE (0x1ffffull | PIN_DESTINATION)

static void deliver(struct ioapic *a, unsigned pin)
{
	u64 e = a->pins[pin];
	struct ioapic_message m = {
		.destination = (u32)FIELD_GET(PIN_DESTINATION, e),
		.vector = (u8)FIELD_GET(PIN_VECTOR, e),
		.delivery_mode = (u8)FIELD_GET(PIN_DELIVERY, e),
		.logical = e & PIN_LOGICAL,
		.level = e & PIN_LEVEL,
	};

	if (e & PIN_LEVEL)
		a->pins[pin] |= PIN_REMOTE_IRR;
	a->delivered++;
	a->deliver(a, &m);
}

/* a level line that is high and not yet being served */
static void evaluate(struct ioapic *a, unsigned pin)
{
	u64 e = a->pins[pin];

	if ((e & PIN_LEVEL) && !(e & (PIN_MASKED | PIN_REMOTE_IRR)) && (a->levels & 1u << pin))
		deliver(a, pin);
}

void ioapic_set_pin(struct ioapic *a, unsigned pin, bool level)
{
	device_lock(&a->dev);
	u32 bit = 1u << pin;
	bool rising = level && !(a->levels & bit);

	a->levels = level ? a->levels | bit : a->levels & ~bit;
	if (a->pins[pin] & PIN_LEVEL) {
		evaluate(a, pin);
		a->coalesced += rising && (a->pins[pin] & PIN_MASKED);
	} else if (rising && !(a->pins[pin] & PIN_MASKED)) {
		deliver(a, pin);
	} else if (rising) {
		a->coalesced++;
	}
	device_unlock(&a->dev);
}

void ioapic_eoi(struct ioapic *a, u8 vector)
{
	device_lock(&a->dev);
	a->eois++;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		if ((a->pins[i] & PIN_LEVEL) && (a->pins[i] & PIN_REMOTE_IRR) &&
		    FIELD_GET(PIN_VECTOR, a->pins[i]) == vector) {
			a->pins[i] &= ~PIN_REMOTE_IRR;
			evaluate(a, i);
		}
	device_unlock(&a->dev);
}

static u32 read_register(struct ioapic *a)
{
	u8 r = a->select;

	if (r == 0 || r == 2)
		return IOAPIC_ID << 24;
	if (r == 1)
		return 0x11 | (IOAPIC_PINS - 1) << 16;
	if (r >= 0x10 && r < 0x10 + 2 * IOAPIC_PINS)
		return (u32)(a->pins[(r - 0x10) / 2] >> (r & 1) * 32);
	return 0;
}

static void write_register(struct ioapic *a, u32 value)
{
	u8 r = a->select;

	if (r < 0x10 || r >= 0x10 + 2 * IOAPIC_PINS)
		return;
	unsigned pin = (r - 0x10u) / 2;
	u64 old = a->pins[pin], e = old;

	if (r & 1)
		e = (e & 0xffffffffu) | (u64)value << 32;
	else
		e = (e & ~0xffffffffull) | value;
	e = (e & PIN_WRITABLE & ~PIN_READ_ONLY) | (old & PIN_REMOTE_IRR);
	if (!(e & PIN_LEVEL))
		e &= ~PIN_REMOTE_IRR; /* how Linux clears a stuck one without an EOI register */
	a->pins[pin] = e;
	evaluate(a, pin);
}

static enum io_status ioapic_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct ioapic *a = container_of(dev, struct ioapic, dev);

	/* byte reads and writes of the select register occur in old code; data must be a dword */
	if (io->offset == 0x00) {
		if (io->write)
			a->select = (u8)io->value;
		io->value = a->select;
		return IO_OK;
	}
	if (io->offset == 0x40) { /* EOI register of newer versions: harmless to honour */
		return IO_OK;
	}
	if (io->offset != 0x10)
		return IO_NO_REGISTER;
	if (io->size != 4)
		return IO_BAD_SIZE;
	if (io->write)
		write_register(a, (u32)io->value);
	else
		io->value = read_register(a);
	return IO_OK;
}

static void ioapic_reset(struct device *dev)
{
	struct ioapic *a = container_of(dev, struct ioapic, dev);

	a->select = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		a->pins[i] = PIN_MASKED;
}

static void ioapic_save(struct device *dev, struct saver *s)
{
	struct ioapic *a = container_of(dev, struct ioapic, dev);

	saver_u8(s, a->select);
	saver_u32(s, a->levels);
	saver_put(s, a->pins, sizeof(a->pins));
}

static int ioapic_restore(struct device *dev, struct bytes b)
{
	struct ioapic *a = container_of(dev, struct ioapic, dev);

	return bytes_u8(&b, &a->select) && bytes_u32(&b, &a->levels) && bytes_copy(&b, a->pins, sizeof(a->pins)) ? 0 : -EPROTO;
}

static void pins_inspect(void *object, struct inspect *in)
{
	struct ioapic *a = object;
	static const char *const names[IOAPIC_PINS] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13",
							"14", "15", "16", "17", "18", "19", "20", "21", "22", "23" };

	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		inspect_hex(in, names[i], a->pins[i]);
}

static void ioapic_inspect(struct device *dev, struct inspect *in)
{
	struct ioapic *a = container_of(dev, struct ioapic, dev);

	inspect_hex(in, "lines", a->levels);
	inspect_count(in, "delivered", a->delivered);
	inspect_count(in, "eois", a->eois);
	inspect_count(in, "masked", a->coalesced);
	inspect_child(in, "pins", pins_inspect, a);
}

static const struct device_ops ops = {
	.access = ioapic_access, .reset = ioapic_reset, .save = ioapic_save, .restore = ioapic_restore,
	.inspect = ioapic_inspect,
};
static const struct region regions[] = { { "ioapic", SPACE_MMIO, 0xfec00000, 0x1000 } };

void ioapic_init(struct ioapic *a)
{
	a->dev = (struct device){ .name = "ioapic", .tag = STATE_TAG('I', 'O', 'A', 'P'), .ops = &ops, .regions = regions,
				  .region_count = ARRAY_SIZE(regions) };
	ioapic_reset(&a->dev);
}

void isa_set(struct isa *isa, unsigned line, bool level)
{
	if (isa->pic)
		pic_set_line(isa->pic, line, level);
	ioapic_set_pin(isa->ioapic, line ? line : 2, level);
}
