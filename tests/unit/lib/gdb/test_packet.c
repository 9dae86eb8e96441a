/* Packets of the gdbstub, byte by byte */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/gdb/packet.h"

static struct gdb_reader *reader;

static enum gdb_event feed(const char *text, size_t len)
{
	enum gdb_event last = GDB_NOTHING;

	for (size_t i = 0; i < len; i++)
		last = gdb_read(reader, (u8)text[i]);
	return last;
}

static enum gdb_event feed_text(const char *text)
{
	return feed(text, strlen(text));
}

static void a_packet_is_its_content(void **state)
{
	assert_int_equal(feed_text("$qSupported#37"), GDB_PACKET);
	assert_string_equal((char *)reader->data, "qSupported");
	assert_int_equal(feed_text("noise$#00"), GDB_PACKET);
	assert_int_equal(reader->len, 0);
	assert_int_equal(feed_text("+"), GDB_ACK);
	assert_int_equal(feed_text("-"), GDB_NAK);
	assert_int_equal(feed_text("\003"), GDB_INTERRUPT);
}

static void checksums_are_checked(void **state)
{
	assert_int_equal(feed_text("$g#68"), GDB_BAD_PACKET);
	assert_int_equal(feed_text("$g#6x"), GDB_BAD_PACKET);
	assert_int_equal(feed_text("$g#67"), GDB_PACKET);
	/* the end of one was lost */
	assert_int_equal(feed_text("$m1234$g#67"), GDB_PACKET);
	assert_string_equal((char *)reader->data, "g");
}

static void escapes_and_zeros(void **state)
{
	static const u8 wanted[] = { 'X', '#', '$', '}', 0, 3 };
	struct gdb_writer w = { 0 };

	gdb_begin(&w);
	gdb_put_binary(&w, wanted, sizeof(wanted));
	gdb_end(&w);
	assert_false(w.failed);
	assert_int_equal(feed((char *)w.data, w.len), GDB_PACKET);
	assert_int_equal(reader->len, sizeof(wanted));
	assert_memory_equal(reader->data, wanted, sizeof(wanted));
	gdb_writer_fini(&w);
}

static void what_is_too_long_is_said(void **state)
{
	u8 sum = 0;
	char end[4];

	gdb_read(reader, '$');
	for (unsigned i = 0; i < GDB_PACKET_MAX + 5; i++, sum = (u8)(sum + 'a'))
		assert_int_equal(gdb_read(reader, 'a'), GDB_NOTHING);
	snprintf(end, sizeof(end), "#%02x", sum);
	assert_int_equal(feed_text(end), GDB_LONG_PACKET);
	assert_int_equal(feed_text("$g#67"), GDB_PACKET);
}

static struct gdb_words words(const char *text)
{
	return (struct gdb_words){ text, text + strlen(text) };
}

static void words_do_not_run_past_the_end(void **state)
{
	struct gdb_words w = words("1fz");
	u64 value = 7;
	s64 thread;
	u8 bytes[2];

	assert_true(gdb_take_hex(&w, &value));
	assert_int_equal(value, 0x1f);
	assert_false(gdb_take_hex(&w, &value));
	assert_true(gdb_take(&w, "z"));
	assert_false(gdb_take(&w, "z"));
	w = words("ffffffffffffffff");
	assert_true(gdb_take_hex(&w, &value) && value == ~0ull);
	w = words("ffffffffffffffff0");
	assert_false(gdb_take_hex(&w, &value));
	w = words("0aFf1");
	assert_true(gdb_take_bytes(&w, bytes, 2));
	assert_int_equal(bytes[1], 0xff);
	assert_false(gdb_take_bytes(&w, bytes, 1));
	w = words("0g");
	assert_false(gdb_take_bytes(&w, bytes, 1));
	w = words("-1");
	assert_true(gdb_take_thread(&w, &thread) && thread == -1);
	w = words("1ffffffff");
	assert_false(gdb_take_thread(&w, &thread));
}

static void output_has_an_end(void **state)
{
	static u8 data[65536];
	struct gdb_writer w = { 0 };
	struct gdb_text t = { 0 };

	gdb_begin(&w);
	for (unsigned i = 0; i < 20; i++)
		gdb_put_hex(&w, data, sizeof(data));
	assert_true(w.failed);
	gdb_writer_fini(&w);
	for (unsigned i = 0; i < 10000 && !t.failed; i++)
		gdb_say(&t, "%0200u\n", i);
	assert_true(t.failed);
	gdb_text_fini(&t);
}

static int set_up(void **state)
{
	reader = calloc(1, sizeof(*reader));
	return !reader;
}

static int tear_down(void **state)
{
	free(reader);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_packet_is_its_content, set_up, tear_down),
		cmocka_unit_test_setup_teardown(checksums_are_checked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(escapes_and_zeros, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_too_long_is_said, set_up, tear_down),
		cmocka_unit_test(words_do_not_run_past_the_end),
		cmocka_unit_test(output_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
