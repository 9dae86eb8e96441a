/* The host's side of a COM port: bytes between lib/uart and the host's VMBus UART. Belongs to the executor it is opened on. */
#pragma once

#include "vmm/chipset/chipset.h"
#include "spec/uart_channel.h"
#include "vmm/uio/uio.h"

enum serial_state { SERIAL_CLOSED, SERIAL_NEGOTIATING, SERIAL_READY, SERIAL_FAILED };

struct serial {
	struct com *com;
	struct exec *exec;
	struct task pump;
	struct uio_channel *channel;
	/* how messages leave; uio_send() but in tests */
	int (*send)(struct serial *, const void *, size_t);
	enum serial_state state;
	bool tx_in_flight, rx_in_flight, rx_available;
	/* bytes from the guest wait a moment for company: a message costs more than a port exit */
	struct timer gather;
	bool gathering, gathered;
	/* under the device's lock, for VPs: how many bytes are worth a wake of the pump; send even a few; input waits for room */
	unsigned tx_wake_at;
	bool tx_flush, rx_waits;
	u8 rx[UART_PAYLOAD_MAX], tx[UART_PAYLOAD_MAX];
	unsigned rx_at, rx_len, tx_len;
	u64 bad_messages;
};

/* wires the COM port; no channel yet: output is dropped */
void serial_init(struct serial *s, struct com *com, struct exec *exec);
/* -ENOENT when the host offers none */
int serial_open(struct serial *s, const struct guid *instance) __must_check;
void serial_receive(void *serial, const u8 *data, size_t len);
/* asks for the protocol version: the first message */
void serial_negotiate(struct serial *s);
void serial_inspect(void *serial, struct inspect *in);
