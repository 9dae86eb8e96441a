/* A client's connection and the guest's channel, both played here: what goes from one to the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vmbus/hvsock.h"
#include "tests/lib/vmbus_guest.h"

#define OUT_PAGES 57u /* of the ring to the host: more than pvhost takes in one go, and then some */
#define PIECE 8192u
#define PIECES 27u
static struct hvsock *hvsock;
static char path[64];
static int client;

static void client_gets(u8 *data, size_t len)
{
	for (size_t got = 0; got < len;) {
		struct pollfd p = { .fd = client, .events = POLLIN };

		if (poll(&p, 1, VMBUS_GUEST_WAIT_MS) != 1)
			fail_msg("%zu of %zu bytes came", got, len);
		ssize_t n = recv(client, data + got, len - got, 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
}

static int set_up(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	u8 answer[13];

	snprintf(path, sizeof(path), "/tmp/test-hvsock-%d", (int)getpid());
	memcpy(at.sun_path, path, sizeof(path));
	guest_create(1);
	if (hvsock_create(guest.loop, guest.vmbus, path, &hvsock))
		return -1;
	guest_connect();
	while (!vmbus_connected(guest.vmbus))
		usleep(1000);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(client, (struct sockaddr *)&at, sizeof(at)) || send(client, "CONNECT 5\n", 10, MSG_NOSIGNAL) != 10)
		return -1;
	guest_open(1, OUT_PAGES, 3);
	client_gets(answer, sizeof(answer));
	assert_memory_equal(answer, "OK 268435457\n", sizeof(answer));
	return 0;
}

static int tear_down(void **state)
{
	close(client);
	guest_disconnect();
	hvsock_destroy(hvsock);
	guest_destroy();
	return 0;
}

/* the client reads late: no byte is lost, and what the guest said once is enough */
static void a_full_ring_comes_to_its_end(void **state)
{
	static u8 piece[PIECE], got[PIECE * PIECES];
	struct vmbus_pipe_header head = { VMBUS_PIPE_DATA, PIECE };
	bool ignored;

	for (u32 i = 0; i < PIECES; i++) {
		memset(piece, (int)i + 1, sizeof(piece));
		assert_int_equal(ring_write(&guest.out, VMBUS_PACKET_IN_BAND, 0, 0, &head, sizeof(head), piece, PIECE, &ignored),
				 RING_OK);
	}
	guest_signal_host();
	client_gets(got, sizeof(got));
	for (u32 i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], i / PIECE + 1);
}

static void the_guest_gets_what_the_client_says(void **state)
{
	struct ring_received got;
	struct { struct vmbus_pipe_header head; char text[8]; } m;
	bool ignored;

	assert_int_equal(send(client, "hello", 5, MSG_NOSIGNAL), 5);
	for (u32 i = 0; i < VMBUS_GUEST_WAIT_MS && !ring_readable(&guest.in); i++)
		usleep(1000);
	assert_int_equal(ring_read(&guest.in, &m, sizeof(m), &got, &ignored), RING_OK);
	assert_int_equal(m.head.length, 5);
	assert_memory_equal(m.text, "hello", 5);
	shutdown(client, SHUT_WR);
	for (u32 i = 0; i < VMBUS_GUEST_WAIT_MS && !ring_readable(&guest.in); i++)
		usleep(1000);
	assert_int_equal(ring_read(&guest.in, &m, sizeof(m), &got, &ignored), RING_OK);
	assert_int_equal(m.head.length, 0); /* it says no more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_ring_comes_to_its_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_guest_gets_what_the_client_says, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("host/vmbus/hvsock", tests, NULL, NULL);
}
