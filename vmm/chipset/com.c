/* COM ports: lib/uart on the bus */
#include "vmm/chipset/chipset.h"

static void set_irq(struct uart *u, bool level)
{
	struct com *c = container_of(u, struct com, uart);

	isa_set(c->isa, c->line, level);
}

static void tx_ready(struct uart *u)
{
	struct com *c = container_of(u, struct com, uart);

	if (c->tx_ready)
		c->tx_ready(c);
}

static void tx_flush(struct uart *u)
{
	struct com *c = container_of(u, struct com, uart);

	if (c->tx_flush)
		c->tx_flush(c);
}

static void rx_room(struct uart *u)
{
	struct com *c = container_of(u, struct com, uart);

	if (c->rx_room)
		c->rx_room(c);
}

static enum io_status com_access(struct device *dev, unsigned region, struct io_access *io)
{
	struct com *c = container_of(dev, struct com, dev);

	if (io->size != 1)
		return IO_BAD_SIZE;
	if (io->write)
		uart_write(&c->uart, (unsigned)io->offset, (u8)io->value);
	else
		io->value = uart_read(&c->uart, (unsigned)io->offset);
	return IO_OK;
}

static void com_reset(struct device *dev)
{
	uart_reset(&container_of(dev, struct com, dev)->uart);
}

static void com_save(struct device *dev, struct saver *s)
{
	uart_save(&container_of(dev, struct com, dev)->uart, s);
}

static int com_restore(struct device *dev, struct bytes b)
{
	return uart_load(&container_of(dev, struct com, dev)->uart, &b);
}

static void com_inspect(struct device *dev, struct inspect *in)
{
	uart_inspect(&container_of(dev, struct com, dev)->uart, in);
}

static const struct device_ops ops = {
	.access = com_access, .reset = com_reset, .save = com_save, .restore = com_restore, .inspect = com_inspect,
};

void com_init(struct com *c, unsigned number, struct isa *isa)
{
	static const char *const names[] = { "com1", "com2" };

	c->isa = isa;
	c->line = number ? 3 : 4;
	c->region = (struct region){ names[number], SPACE_PIO, number ? 0x2f8 : 0x3f8, 8 };
	c->dev = (struct device){ .name = names[number], .tag = STATE_TAG('C', 'O', 'M', '1' + number), .ops = &ops,
				  .regions = &c->region, .region_count = 1 };
	c->uart.set_irq = set_irq;
	c->uart.tx_ready = tx_ready;
	c->uart.tx_flush = tx_flush;
	c->uart.rx_room = rx_room;
	uart_init(&c->uart);
}
