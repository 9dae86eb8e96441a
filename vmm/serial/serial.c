#include "vmm/serial/serial.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("serial");

#define GATHER_NS 10000000 /* for guests that neither use the interrupt nor wait for the last byte */
#define NEVER (~0u)

static void give_up(struct serial *s, const char *why)
{
	if (s->state == SERIAL_FAILED)
		return;
	log_at(LOG_WARN, "%s: %s", s->com->dev.name, why);
	s->state = SERIAL_FAILED;
	device_lock(&s->com->dev);
	uart_connect(&s->com->uart, false);
	device_unlock(&s->com->dev);
}

/* true: sent. Out of room: the pump comes again through writable(). */
static bool say(struct serial *s, const void *message, size_t len)
{
	int r = s->send(s, message, len);

	if (r && r != -EAGAIN)
		give_up(s, "the channel does not take messages");
	return !r;
}

static void push_rx(struct serial *s)
{
	if (s->rx_at == s->rx_len)
		return;
	device_lock(&s->com->dev);
	s->rx_at += uart_put(&s->com->uart, s->rx + s->rx_at, s->rx_len - s->rx_at);
	s->rx_waits = s->rx_at < s->rx_len;
	device_unlock(&s->com->dev);
}

static void gather_end(struct timer *timer)
{
	struct serial *s = container_of(timer, struct serial, gather);

	s->gathering = false;
	s->gathered = true;
	task_wake(&s->pump);
}

static void take_tx(struct serial *s)
{
	struct uart *u = &s->com->uart;

	device_lock(&s->com->dev);
	unsigned waiting = u->tx_count;

	if (waiting >= UART_PAYLOAD_MAX || (waiting && (s->gathered || s->tx_flush))) {
		s->tx_len = uart_take(u, s->tx, sizeof(s->tx));
		s->tx_wake_at = NEVER; /* the host's answer wakes the pump */
		s->tx_flush = u->tx_count && s->tx_flush;
	} else {
		s->tx_wake_at = waiting ? UART_PAYLOAD_MAX : 1;
	}
	device_unlock(&s->com->dev);
	if (s->tx_len) {
		if (s->gathering)
			timer_disarm(s->exec, &s->gather);
		s->gathering = s->gathered = false;
	} else if (waiting && !s->gathering) {
		s->gathering = true;
		timer_arm(s->exec, &s->gather, exec_now_ns(s->exec) + GATHER_NS);
	}
}

static void pump(struct task *task)
{
	struct serial *s = container_of(task, struct serial, pump);

	if (s->state != SERIAL_READY)
		return;
	push_rx(s);
	if (s->rx_at == s->rx_len && s->rx_available && !s->rx_in_flight) {
		struct uart_header ask = { 1, UART_HOST_REQUEST, UART_GET_RX_DATA };

		if (say(s, &ask, sizeof(ask))) {
			s->rx_in_flight = true;
			s->rx_available = false;
		}
	}
	if (s->tx_in_flight || s->state != SERIAL_READY)
		return;
	if (!s->tx_len)
		take_tx(s);
	if (!s->tx_len)
		return;
	struct uart_tx_data tx = { .header = { 1, UART_HOST_NOTIFICATION, UART_TX_DATA_AVAILABLE }, .length = (u8)s->tx_len };

	memcpy(tx.data, s->tx, s->tx_len);
	if (say(s, &tx, sizeof(tx))) {
		s->tx_in_flight = true;
		s->tx_len = 0;
	}
}

static bool on_response(struct serial *s, u16 id, struct bytes b)
{
	u8 accepted, len, more;
	struct bytes data;

	if (id == UART_VERSION_REQUEST && s->state == SERIAL_NEGOTIATING) {
		if (!bytes_u8(&b, &accepted))
			return false;
		if (!accepted) {
			give_up(s, "the host refuses the protocol version");
			return true;
		}
		s->state = SERIAL_READY;
		return true;
	}
	if (id != UART_GET_RX_DATA || !s->rx_in_flight || !bytes_u8(&b, &len) || !bytes_u8(&b, &more) ||
	    len > UART_PAYLOAD_MAX || !bytes_take(&b, len, &data))
		return false;
	s->rx_in_flight = false;
	s->rx_available |= more != 0;
	s->rx_at = 0;
	s->rx_len = len;
	memcpy(s->rx, data.at, len);
	return true;
}

static bool on_notification(struct serial *s, u16 id, struct bytes b)
{
	u8 status, connected;

	switch (id & 0xff) {
	case UART_RX_DATA_AVAILABLE:
		s->rx_available = true;
		return true;
	case UART_TX_COMPLETED:
		s->tx_in_flight = false;
		return true;
	case UART_SET_MODEM_STATUS:
		if (!bytes_u8(&b, &status) || !bytes_u8(&b, &connected))
			return false;
		device_lock(&s->com->dev);
		uart_connect(&s->com->uart, connected != 0);
		device_unlock(&s->com->dev);
		return true;
	}
	return false;
}

void serial_receive(void *object, const u8 *data, size_t len)
{
	struct serial *s = object;
	struct bytes b = bytes_of(data, len);
	struct uart_header h;
	bool good = bytes_copy(&b, &h, sizeof(h)) && h.version == 1 &&
		    ((h.type == UART_HOST_RESPONSE && on_response(s, h.id, b)) ||
		     (h.type == UART_GUEST_NOTIFICATION && on_notification(s, h.id, b)));

	if (!good) {
		s->bad_messages++;
		give_up(s, "the host sends what the protocol does not have");
		return;
	}
	task_wake(&s->pump);
}

static void on_writable(void *object)
{
	task_wake(&((struct serial *)object)->pump);
}

static void on_closed(void *object, int error)
{
	give_up(object, "the host closed the channel");
}

static const struct uio_ops ops = { serial_receive, on_writable, on_closed };

static int send_uio(struct serial *s, const void *data, size_t len)
{
	return uio_send(s->channel, data, len);
}

/* these from a VP, with the device's lock held */
static void tx_ready(struct com *com)
{
	if (com->uart.tx_count >= container_of(com->pump, struct serial, pump)->tx_wake_at)
		task_wake(com->pump);
}

static void tx_flush(struct com *com)
{
	struct serial *s = container_of(com->pump, struct serial, pump);

	s->tx_flush = true;
	if (s->tx_wake_at != NEVER)
		task_wake(com->pump);
}

static void rx_room(struct com *com)
{
	if (container_of(com->pump, struct serial, pump)->rx_waits)
		task_wake(com->pump);
}

void serial_init(struct serial *s, struct com *com, struct exec *exec)
{
	*s = (struct serial){ .com = com, .exec = exec, .send = send_uio, .gather.fire = gather_end, .tx_wake_at = 1 };
	task_init(&s->pump, exec, com->dev.name, pump);
	com->pump = &s->pump;
	com->tx_ready = tx_ready;
	com->tx_flush = tx_flush;
	com->rx_room = rx_room;
}

void serial_negotiate(struct serial *s)
{
	struct uart_version_request request = { { 1, UART_HOST_REQUEST, UART_VERSION_REQUEST }, UART_VERSION };

	s->state = SERIAL_NEGOTIATING;
	say(s, &request, sizeof(request));
}

int serial_open(struct serial *s, const struct guid *instance)
{
	int r = uio_open(instance, s->exec, &ops, s, &s->channel);

	if (!r)
		serial_negotiate(s);
	return r;
}

void serial_inspect(void *object, struct inspect *in)
{
	static const char *const states[] = { "closed", "negotiating", "ready", "failed" };
	struct serial *s = object;

	inspect_str(in, "state", states[s->state]);
	inspect_bool(in, "tx_in_flight", s->tx_in_flight);
	inspect_bool(in, "rx_in_flight", s->rx_in_flight);
	inspect_count(in, "bad_messages", s->bad_messages);
	if (s->channel)
		inspect_child(in, "channel", uio_inspect, s->channel);
}
