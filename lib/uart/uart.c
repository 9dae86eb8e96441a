#include "lib/uart/uart.h"

#include <errno.h>
#include <string.h>

#define IER_RX 1u
#define IER_THRE 2u
#define IER_LINE 4u
#define IER_MODEM 8u
#define FCR_ENABLE 1u
#define LCR_DLAB 0x80u
#define MCR_DTR 1u
#define MCR_RTS 2u
#define MCR_OUT1 4u
#define MCR_OUT2 8u
#define MCR_LOOP 0x10u
#define LSR_DATA 1u
#define LSR_OVERRUN 2u
#define LSR_THRE 0x20u
#define LSR_EMPTY 0x40u
#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

static unsigned rx_room(const struct uart *u)
{
	return (u->fcr & FCR_ENABLE ? UART_FIFO_LEN : 1) - MIN(u->rx_count, u->fcr & FCR_ENABLE ? UART_FIFO_LEN : 1u);
}

/* the interrupt with the highest priority, as IIR shows it; 1: none */
static u8 cause(const struct uart *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return 6;
	if ((u->ier & IER_RX) && u->rx_count)
		return 4;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return 2;
	if ((u->ier & IER_MODEM) && u->msr_delta)
		return 0;
	return 1;
}

static void update(struct uart *u)
{
	/* OUT2 gates the interrupt line on PC boards; in loopback it is cut off */
	bool level = cause(u) != 1 && (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);

	if (level == u->irq)
		return;
	u->irq = level;
	u->set_irq(u, level);
}

/* whoever waits with more to put is told, also when nobody read what was there */
static void drop_received(struct uart *u)
{
	bool room = u->rx_count;

	u->rx_count = 0;
	if (room && u->rx_room)
		u->rx_room(u);
}

void uart_reset(struct uart *u)
{
	u->ier = u->fcr = u->lcr = u->mcr = u->scr = u->dlm = u->msr_delta = 0;
	u->dll = 12; /* 9600 */
	u->thre_pending = u->overrun = false;
	u->tx_count = 0;
	drop_received(u);
	update(u);
}

void uart_init(struct uart *u)
{
	u->irq = false;
	uart_reset(u);
}

static u8 modem_lines(const struct uart *u)
{
	if (u->mcr & MCR_LOOP)
		return (u8)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
			    (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
	return u->connected ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
}

static u8 line_status(const struct uart *u)
{
	u8 lsr = 0;

	if (u->rx_count)
		lsr |= LSR_DATA;
	if (u->overrun)
		lsr |= LSR_OVERRUN;
	/* a driver may write 16 bytes at once when THRE shows */
	if (UART_TX_LEN - u->tx_count >= UART_FIFO_LEN)
		lsr |= LSR_THRE | (u->tx_count ? 0 : LSR_EMPTY);
	return lsr;
}

static void flush(struct uart *u)
{
	if (u->tx_count && u->tx_flush)
		u->tx_flush(u);
}

static void push(struct uart *u, u8 byte)
{
	if (!rx_room(u)) {
		u->overrun = true;
		return;
	}
	u->rx[(u->rx_head + u->rx_count++) % UART_FIFO_LEN] = byte;
}

unsigned uart_put(struct uart *u, const u8 *data, unsigned len)
{
	unsigned count = 0;

	while (count < len && rx_room(u))
		push(u, data[count++]);
	u->rx_bytes += count;
	update(u);
	return count;
}

static u8 read_data(struct uart *u)
{
	u8 byte = 0;

	if (u->rx_count) {
		byte = u->rx[u->rx_head];
		u->rx_head = (u->rx_head + 1) % UART_FIFO_LEN;
		u->rx_count--;
	}
	if (!u->rx_count && u->rx_room)
		u->rx_room(u);
	return byte;
}

static void write_data(struct uart *u, u8 byte)
{
	if (u->mcr & MCR_LOOP) {
		push(u, byte);
	} else if (!u->connected || u->tx_count == UART_TX_LEN) {
		u->tx_dropped++;
	} else {
		u->tx[(u->tx_head + u->tx_count++) % UART_TX_LEN] = byte;
		u->tx_bytes++;
		u->polled = false;
		u->tx_ready(u);
	}
	u->thre_pending = line_status(u) & LSR_THRE;
}

unsigned uart_take(struct uart *u, u8 *data, unsigned room)
{
	bool was_full = !(line_status(u) & LSR_THRE);
	unsigned count = 0;

	for (; count < room && u->tx_count; u->tx_count--) {
		data[count++] = u->tx[u->tx_head];
		u->tx_head = (u->tx_head + 1) % UART_TX_LEN;
	}
	if (was_full && (line_status(u) & LSR_THRE))
		u->thre_pending = true;
	update(u);
	return count;
}

void uart_connect(struct uart *u, bool connected)
{
	if (connected == u->connected)
		return;
	u->connected = connected;
	u->msr_delta |= 0xb; /* CTS, DSR and DCD changed */
	if (!connected)
		u->tx_count = 0;
	update(u);
}

static u8 read_register(struct uart *u, unsigned offset)
{
	u8 value;

	switch (offset) {
	case REG_DATA:
		return u->lcr & LCR_DLAB ? u->dll : read_data(u);
	case REG_IER:
		return u->lcr & LCR_DLAB ? u->dlm : u->ier;
	case REG_IIR_FCR:
		value = cause(u);
		if (value == 2)
			u->thre_pending = false; /* reading IIR takes this cause back */
		return value | (u->fcr & FCR_ENABLE ? 0xc0 : 0);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		value = line_status(u);
		u->overrun = false;
		if (u->polled)
			flush(u);
		u->polled = true;
		return value;
	case REG_MSR:
		value = modem_lines(u) | u->msr_delta;
		u->msr_delta = 0;
		return value;
	}
	return u->scr;
}

u8 uart_read(struct uart *u, unsigned offset)
{
	u8 value = read_register(u, offset & 7);

	update(u);
	return value;
}

static void write_fcr(struct uart *u, u8 value)
{
	bool clear = (value & 2) || ((value ^ u->fcr) & FCR_ENABLE);

	u->fcr = value & 0xc9;
	if (clear)
		drop_received(u);
}

void uart_write(struct uart *u, unsigned offset, u8 value)
{
	switch (offset & 7) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB)
			u->dll = value;
		else
			write_data(u, value);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB) {
			u->dlm = value;
			break;
		}
		/* enabling the interrupt while the register is empty raises it: drivers rely on it */
		if (!(u->ier & IER_THRE) && (value & IER_THRE) && (line_status(u) & LSR_THRE))
			u->thre_pending = true;
		if (u->ier & IER_THRE && !(value & IER_THRE))
			flush(u);
		u->ier = value & 0xf;
		break;
	case REG_IIR_FCR:
		write_fcr(u, value);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & 0x1f;
		break;
	case REG_SCR:
		u->scr = value;
		break;
	}
	update(u);
}

void uart_inspect(void *uart, struct inspect *in)
{
	struct uart *u = uart;

	inspect_hex(in, "ier", u->ier);
	inspect_hex(in, "lcr", u->lcr);
	inspect_hex(in, "mcr", u->mcr);
	inspect_hex(in, "iir", cause(u));
	inspect_u64(in, "divisor", (u64)u->dlm << 8 | u->dll);
	inspect_bool(in, "connected", u->connected);
	inspect_bool(in, "irq", u->irq);
	inspect_u64(in, "rx_waiting", u->rx_count);
	inspect_u64(in, "tx_waiting", u->tx_count);
	inspect_count(in, "rx_bytes", u->rx_bytes);
	inspect_count(in, "tx_bytes", u->tx_bytes);
	inspect_count(in, "tx_dropped", u->tx_dropped);
}

void uart_save(struct uart *u, struct saver *s)
{
	const u8 registers[] = { u->ier, u->fcr, u->lcr, u->mcr, u->scr, u->dll, u->dlm, u->msr_delta,
				 u->thre_pending, u->overrun, (u8)u->rx_count };

	saver_put(s, registers, sizeof(registers));
	for (unsigned i = 0; i < u->rx_count; i++)
		saver_u8(s, u->rx[(u->rx_head + i) % UART_FIFO_LEN]);
	saver_u16(s, (u16)u->tx_count);
	for (unsigned i = 0; i < u->tx_count; i++)
		saver_u8(s, u->tx[(u->tx_head + i) % UART_TX_LEN]);
}

int uart_load(struct uart *u, struct bytes *b)
{
	u8 r[11];
	u16 tx;

	if (!bytes_copy(b, r, sizeof(r)) || r[10] > UART_FIFO_LEN || !bytes_copy(b, u->rx, r[10]) || !bytes_u16(b, &tx) ||
	    tx > UART_TX_LEN || !bytes_copy(b, u->tx, tx))
		return -EPROTO;
	u->ier = r[0];
	u->fcr = r[1];
	u->lcr = r[2];
	u->mcr = r[3];
	u->scr = r[4];
	u->dll = r[5];
	u->dlm = r[6];
	u->msr_delta = r[7];
	u->thre_pending = r[8];
	u->overrun = r[9];
	u->rx_head = u->tx_head = 0;
	u->rx_count = r[10];
	u->tx_count = tx;
	update(u);
	return 0;
}
