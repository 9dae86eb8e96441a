#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/serial/serial.h"

static struct ioapic ioapic;
static struct isa isa = { &ioapic, NULL };
static struct com com;
static struct serial serial;
static u8 sent[8][80];
static unsigned count;

static void deliver(struct ioapic *a, const struct ioapic_message *m) {}
static int catch(struct serial *s, const void *data, size_t len)
{
	memcpy(sent[count++ & 7], data, len);
	return 0;
}

static void speaks_the_protocol(void **state)
{
	struct sim *sim = sim_create(1);
	const u8 accepted[] = { 1, 3, 1, 0, 1, 0 }, modem[] = { 1, 4, 2, 0, 0, 1 }, available[] = { 1, 4, 1, 0 };
	u8 data[70] = { 1, 3, 2, 0, 3, 0, 'x', 'y', 'z' };
	const u8 completed[] = { 1, 4, 3, 0 }, junk[] = { 1, 9, 9, 9 };

	pthread_mutex_init(&ioapic.dev.lock, NULL);
	ioapic.deliver = deliver;
	com_init(&com, 0, &isa);
	pthread_mutex_init(&com.dev.lock, NULL);
	serial_init(&serial, &com, sim_exec(sim, "main"));
	serial.send = catch;
	serial_negotiate(&serial);
	assert_memory_equal(sent[0], ((u8[]){ 1, 2, 1, 0, 0, 0, 1, 0 }), 8);
	serial_receive(&serial, accepted, sizeof(accepted));
	serial_receive(&serial, modem, sizeof(modem));
	assert_true(com.uart.connected);
	uart_write(&com.uart, 0, 'A');
	uart_write(&com.uart, 0, 'B');
	sim_run(sim, ~0ull - 1);
	assert_int_equal(count, 2);
	assert_memory_equal(sent[1], ((u8[]){ 1, 1, 2, 0, 2, 'A', 'B' }), 7);
	uart_write(&com.uart, 0, 'C');
	sim_run(sim, ~0ull - 1);
	assert_int_equal(count, 2); /* one at a time */
	for (int i = 0; i < 70; i++)
		uart_write(&com.uart, 0, 'D');
	serial_receive(&serial, completed, sizeof(completed));
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 3); /* a full message does not wait */
	assert_memory_equal(sent[2], ((u8[]){ 1, 1, 2, 0, 64, 'C', 'D' }), 7);
	serial_receive(&serial, completed, sizeof(completed));
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 3); /* a few bytes do, but not for long */
	sim_run(sim, ~0ull - 1);
	assert_int_equal(count, 4);
	assert_int_equal(sent[3][4], 7);
	serial_receive(&serial, completed, sizeof(completed));
	uart_write(&com.uart, 1, 2);
	uart_write(&com.uart, 0, 'E');
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 4);
	uart_write(&com.uart, 1, 0); /* the driver has no more to send */
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 5);
	serial_receive(&serial, completed, sizeof(completed));
	uart_write(&com.uart, 0, 'F');
	uart_read(&com.uart, 5);
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 5);
	uart_read(&com.uart, 5); /* nothing written, asked again: it waits */
	sim_run(sim, sim_now_ns(sim) + 1000);
	assert_int_equal(count, 6);
	serial_receive(&serial, completed, sizeof(completed));
	serial_receive(&serial, available, sizeof(available));
	sim_run(sim, ~0ull - 1);
	assert_int_equal(count, 7);
	assert_memory_equal(sent[6], ((u8[]){ 1, 2, 2, 0 }), 4);
	uart_write(&com.uart, 2, 1);
	serial_receive(&serial, data, sizeof(data));
	sim_run(sim, ~0ull - 1);
	assert_int_equal(uart_read(&com.uart, 0), 'x');
	assert_int_equal(uart_read(&com.uart, 0), 'y');
	serial_receive(&serial, available, sizeof(available));
	sim_run(sim, ~0ull - 1);
	assert_int_equal(count, 8);
	data[4] = 40;
	serial_receive(&serial, data, sizeof(data));
	sim_run(sim, ~0ull - 1);
	assert_int_equal(com.uart.rx_count, UART_FIFO_LEN);
	uart_write(&com.uart, 2, 3); /* a driver that starts drops what came before, but not what still waits */
	sim_run(sim, ~0ull - 1);
	assert_int_equal(com.uart.rx_count, UART_FIFO_LEN);
	uart_reset(&com.uart);
	uart_write(&com.uart, 2, 1);
	sim_run(sim, ~0ull - 1);
	assert_int_equal(com.uart.rx_count, 1 + 40 - 2 * UART_FIFO_LEN); /* one was there before: 'z' */
	serial_receive(&serial, junk, sizeof(junk));
	assert_int_equal(serial.state, SERIAL_FAILED);
	assert_false(com.uart.connected);
	sim_destroy(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(speaks_the_protocol) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
