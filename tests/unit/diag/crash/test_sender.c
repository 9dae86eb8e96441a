/* The helper's end of the crash channel, against a host that is played here, and against pvhost's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/crash/sender.h"
#include "host/vmbus/crash.h"
#include "lib/log/log.h"
#include "spec/crash.h"

#define CORE_LEN 100000

static struct {
	struct sender *sender;
	u8 core[CORE_LEN], got[CORE_LEN + 1];
	size_t at, got_len;
	unsigned room, messages, dones; /* room: messages until the ring is full */
	u64 last_type, max_size;
	u32 expected, status, capabilities, type;
	int error, read_error;
	struct crash_complete_request complete;
} bed;

static int port_send(void *ctx, const void *data, size_t len)
{
	struct crash_write_request w;
	struct crash_header h;

	if (!bed.room)
		return -EAGAIN;
	bed.room--;
	bed.messages++;
	if (bed.expected) {
		assert_int_equal(len, bed.expected);
		memcpy(bed.got + bed.got_len, data, len);
		bed.got_len += len;
		bed.expected = 0;
		return 0;
	}
	assert_true(len >= sizeof(h));
	memcpy(&h, data, sizeof(h));
	bed.last_type = h.type;
	if (h.type == CRASH_NIX_DUMP_WRITE) {
		assert_int_equal(len, sizeof(w));
		memcpy(&w, data, sizeof(w));
		assert_int_equal(w.offset, bed.got_len);
		bed.expected = w.size;
	} else if (h.type == CRASH_NIX_DUMP_COMPLETE) {
		assert_int_equal(len, sizeof(bed.complete));
		memcpy(&bed.complete, data, len);
	} else {
		assert_int_equal(len, sizeof(h));
	}
	return 0;
}

static int port_read(void *ctx, void *buf, size_t room)
{
	size_t n = MIN(room, CORE_LEN - bed.at);

	if (!n && bed.read_error)
		return bed.read_error;
	memcpy(buf, bed.core + bed.at, n);
	bed.at += n;
	return (int)n;
}

static void done(void *ctx, int error)
{
	bed.dones++;
	bed.error = error;
}

static const struct sender_port port = { port_send, port_read, done };
static const struct sender_kernel kernel = { 7, 3, "Linux version 7.3" };

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static void run(void)
{
	while (sender_run(bed.sender))
		;
}

static void reply(u64 type, const void *body, size_t len)
{
	u8 m[64];
	struct crash_header h = { .type = type | CRASH_RESPONSE };

	memcpy(m, &h, sizeof(h));
	memcpy(m + sizeof(h), body, len);
	sender_received(bed.sender, m, sizeof(h) + len);
	run();
}

static int set_up(void **state)
{
	log_set_sink(quiet);
	memset(&bed, 0, sizeof(bed));
	for (size_t i = 0; i < CORE_LEN; i++)
		bed.core[i] = (u8)(i * 13 + i / 256);
	bed.room = 1000000;
	bed.sender = sender_create(&port, NULL, &kernel);
	run();
	return 0;
}

static int tear_down(void **state)
{
	sender_destroy(bed.sender);
	return 0;
}

/* up to START's answer */
static void begin(u64 max_size)
{
	u64 capabilities = 2;
	struct { u64 max_size; u32 type; } __attribute__((packed)) config = { max_size, 1 };
	u32 status = 0;

	assert_int_equal(bed.last_type, 1);
	reply(CRASH_GET_CAPABILITIES, &capabilities, 8);
	assert_int_equal(bed.last_type, 0x102);
	reply(CRASH_GET_NIX_DUMP_CONFIG, &config, 12);
	assert_int_equal(bed.last_type, 0x103);
	assert_int_equal(bed.messages, 3);
	reply(CRASH_NIX_DUMP_START, &status, 4);
}

static void a_core_is_sent(void **state)
{
	bool cut;

	begin(1 << 30);
	assert_int_equal(bed.dones, 1);
	assert_int_equal(bed.error, 0);
	assert_int_equal(bed.got_len, CORE_LEN);
	assert_memory_equal(bed.got, bed.core, CORE_LEN);
	assert_int_equal(sender_sent(bed.sender, &cut), CORE_LEN);
	assert_false(cut);
	assert_int_equal(bed.complete.vtl, 2);
	assert_int_equal(bed.complete.major_version, 7);
	assert_int_equal(bed.complete.minor_version, 3);
	assert_string_equal(bed.complete.version_banner, "Linux version 7.3");
	sender_closed(bed.sender, -EPIPE);
	assert_int_equal(bed.dones, 1);
}

static void a_full_ring_is_waited_for(void **state)
{
	bed.room = 2;
	begin(1 << 30);
	while (!bed.dones) {
		bed.room = bed.messages % 3;
		run();
		if (!bed.room)
			bed.room = 1;
		run();
	}
	assert_int_equal(bed.error, 0);
	assert_memory_equal(bed.got, bed.core, CORE_LEN);
}

static void the_hosts_limit_cuts_it(void **state)
{
	static const u64 limits[] = { CORE_LEN - 1, CRASH_CHUNK_MAX, CRASH_CHUNK_MAX + 1, 1 };
	bool cut;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		sender_destroy(bed.sender);
		set_up(state);
		begin(limits[i]);
		assert_int_equal(bed.got_len, limits[i]);
		assert_int_equal(sender_sent(bed.sender, &cut), limits[i]);
		assert_true(cut);
		assert_int_equal(bed.last_type, CRASH_NIX_DUMP_COMPLETE);
		assert_int_equal(bed.error, 0);
	}
	sender_destroy(bed.sender);
	set_up(state);
	begin(CORE_LEN);
	sender_sent(bed.sender, &cut);
	assert_false(cut);
}

static void a_host_that_says_no(void **state)
{
	u64 none = 1, all = 2;
	struct { u64 max_size; u32 type; } __attribute__((packed)) off = { 0, 1 }, kdump = { 1000, 2 };
	u32 failed = 0x80004005;

	reply(CRASH_GET_CAPABILITIES, &none, 8);
	assert_int_equal(bed.error, -EOPNOTSUPP);
	for (int i = 0; i < 2; i++) {
		sender_destroy(bed.sender);
		set_up(state);
		reply(CRASH_GET_CAPABILITIES, &all, 8);
		reply(CRASH_GET_NIX_DUMP_CONFIG, i ? &off : &kdump, 12);
		assert_int_equal(bed.error, -EOPNOTSUPP);
		assert_int_equal(bed.dones, 1);
	}
	sender_destroy(bed.sender);
	set_up(state);
	bed.room = 4; /* the core's first piece is announced, no more */
	begin(1 << 30);
	assert_int_equal(bed.dones, 0);
	reply(CRASH_NIX_DUMP_WRITE, &failed, 4);
	assert_int_equal(bed.error, -EIO);
	assert_int_equal(bed.dones, 1);
	bed.room = 100;
	run();
	assert_int_equal(bed.room, 100);
}

static void nonsense_of_the_host(void **state)
{
	u64 all = 2;

	for (int i = 0; i < 5; i++) {
		sender_destroy(bed.sender);
		set_up(state);
		if (i == 0)
			sender_received(bed.sender, "abc", 3);
		else if (i == 1)
			reply(CRASH_GET_CAPABILITIES, &all, 7);
		else if (i == 2)
			reply(CRASH_NIX_DUMP_START, &all, 4);
		else if (i == 3)
			reply(CRASH_NIX_DUMP_WRITE, &all, 4);
		else
			sender_closed(bed.sender, -EPIPE);
		assert_int_equal(bed.error, i == 4 ? -EPIPE : -EPROTO);
		assert_int_equal(bed.dones, 1);
		assert_int_equal(bed.messages, 1);
	}
}

static void a_core_that_cannot_be_read(void **state)
{
	bed.read_error = -EIO;
	begin(1 << 30);
	assert_int_equal(bed.error, -EIO);
	assert_int_not_equal(bed.last_type, CRASH_NIX_DUMP_COMPLETE);
}

/* ---- both ends of ours, with a ring of three messages between them */

static u8 queue[8][17000];
static size_t queued[8];
static unsigned queue_len;

static int queue_send(void *ctx, const void *data, size_t len)
{
	if (queue_len == 3)
		return -EAGAIN;
	memcpy(queue[queue_len], data, len);
	queued[queue_len++] = len;
	return 0;
}

static void to_sender(void *ctx, const void *data, u32 len)
{
	sender_received(bed.sender, data, len);
}

static void against_pvhost(void **state)
{
	static const struct sender_port queue_port = { queue_send, port_read, done };
	char folder[] = "/tmp/test-sender-XXXXXX", path[64];
	struct crash_receiver *receiver;
	struct stat s;

	assert_non_null(mkdtemp(folder));
	struct crash_config config = { folder, "both", 1 << 20, 1 };

	assert_int_equal(crash_receiver_create(&config, to_sender, NULL, &receiver), 0);
	sender_destroy(bed.sender);
	bed.sender = sender_create(&queue_port, NULL, &kernel);
	for (int i = 0; i < 1000 && !(bed.dones && !queue_len); i++) {
		run();
		for (unsigned k = 0, n = queue_len; k < n; k++)
			crash_receiver_take(receiver, bytes_of(queue[k], queued[k]));
		queue_len = 0;
	}
	crash_receiver_destroy(receiver);
	assert_int_equal(bed.error, 0);
	snprintf(path, sizeof(path), "%s/both-1.core", folder);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_size, CORE_LEN);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_core_is_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_ring_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_hosts_limit_cuts_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_host_that_says_no, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_of_the_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_core_that_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(against_pvhost, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
