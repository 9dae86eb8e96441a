/* A guest serial port's host end: bytes between a VMBus UART channel and a backend. Loop thread. */
#pragma once

#include "host/vmbus/channel.h"

struct uart;

/*
 * backend: "stdio", "null", "file:PATH" (output only), "unix:PATH" (listens; one client at a time, output without one is
 * kept up to 64 KiB). number: 1 or 2.
 */
int uart_create(struct loop *loop, struct vmbus *bus, u32 number, const char *backend, struct uart **ret) __must_check;
void uart_destroy(struct uart *u);
void uart_counts(const struct uart *u, u64 *ret_out, u64 *ret_in, u64 *ret_dropped);
/* called for the byte that leaves the console (Ctrl-A x on stdio) */
void uart_on_escape(struct uart *u, void (*fn)(void *ctx, char key), void *ctx);
