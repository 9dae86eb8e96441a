/*
 * A 16550A (National PC16550D data sheet): registers, FIFOs, interrupts. No timing: a byte is sent when the far side takes it.
 * Used by the worker's COM ports. The caller serialises all calls.
 */
#pragma once

#include "lib/core/types.h"
#include "lib/inspect/inspect.h"
#include "lib/state/state.h"

#define UART_FIFO_LEN 16
#define UART_TX_LEN 256

struct uart {
	void (*set_irq)(struct uart *, bool level); /* called on changes only */
	void (*tx_ready)(struct uart *);            /* bytes may be taken with uart_take() */
	/* send what is there: the guest stops for now (interrupt off) or waits for what it sent (polls LSR). May be NULL. */
	void (*tx_flush)(struct uart *);
	void (*rx_room)(struct uart *); /* the last byte was read, or dropped: uart_put() may take more. May be NULL. */
	u8 ier, fcr, lcr, mcr, scr, dll, dlm;
	u8 msr_delta;
	bool connected;     /* DCD, DSR, CTS */
	bool irq, thre_pending, overrun;
	bool polled; /* LSR was read since the last byte was sent */
	u8 rx[UART_FIFO_LEN];
	unsigned rx_head, rx_count;
	u8 tx[UART_TX_LEN];
	unsigned tx_head, tx_count;
	u64 rx_bytes, tx_bytes, tx_dropped;
};

void uart_init(struct uart *u);
void uart_reset(struct uart *u);
/* offset 0..7, one byte */
u8 uart_read(struct uart *u, unsigned offset);
void uart_write(struct uart *u, unsigned offset, u8 value);
/* the far side sends: returns how many bytes fit */
unsigned uart_put(struct uart *u, const u8 *data, unsigned len);
/* the far side takes what the guest sent */
unsigned uart_take(struct uart *u, u8 *data, unsigned room);
/* without a far side, output is dropped and the modem lines are low */
void uart_connect(struct uart *u, bool connected);
void uart_inspect(void *uart, struct inspect *in);
void uart_save(struct uart *u, struct saver *s);
int uart_load(struct uart *u, struct bytes *b) __must_check;
