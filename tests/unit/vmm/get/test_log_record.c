#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/get/log_record.h"

static struct log_record parsed(const char *raw)
{
	struct log_record r;

	assert_true(log_record_parse(bytes_of(raw, strlen(raw)), &r));
	return r;
}

/* the JSON of the message made of this record, terminated */
static const char *json_of(const char *raw)
{
	static struct log_message m;
	static char text[GET_LOG_MESSAGE_MAX + 1];
	struct log_record r = parsed(raw);
	struct get_log_header h;

	log_record_message(&r, &m);
	memcpy(&h, m.bytes, sizeof(h));
	assert_int_equal(m.len, sizeof(h) + h.message.offset + h.message.size);
	memcpy(text, m.bytes + sizeof(h) + h.message.offset, h.message.size);
	text[h.message.size] = 0;
	return text;
}

static void records_are_taken_apart(void **state)
{
	struct log_record r = parsed("14,339,5140900,-;control/host: the host speaks GET\n SUBSYSTEM=x\n");

	assert_int_equal(r.priority, 6);
	assert_int_equal(r.facility, 1);
	assert_int_equal(r.sequence, 339);
	assert_int_equal(r.time_us, 5140900);
	assert_int_equal(r.target.left, 12);
	assert_memory_equal(r.target.at, "control/host", 12);
	assert_int_equal(r.text.left, strlen("the host speaks GET"));
	/* a kernel's record is nobody's target, whatever it looks like; nor are these */
	assert_int_equal(parsed("6,1,2,-;a/b: c\n").target.left, 0);
	assert_int_equal(parsed("14,1,2,-;a/b/c: d\n").target.left, 0);
	assert_int_equal(parsed("14,1,2,-;/b: d\n").target.left, 0);
	assert_int_equal(parsed("14,1,2,-;a/: d\n").target.left, 0);
	assert_int_equal(parsed("14,1,2,-;a: d\n").target.left, 0);
	assert_int_equal(parsed("14,1,2,-;a/b:d\n").target.left, 0);
	/* flags that later kernels add */
	assert_int_equal(parsed("6,1,2,c,caller=T1;x").text.left, 1);
}

static void other_bytes_are_no_record(void **state)
{
	static const char *const bad[] = { "", ";", "1,2,3", "1,2;x", "a,2,3,-;x", ",2,3,-;x", "1,2,3;x",
					   "99999999999999999999,2,3,-;x", "70000,2,3,-;x" };
	struct log_record r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(log_record_parse(bytes_of(bad[i], strlen(bad[i])), &r));
}

/*
 * Every byte, by hand from TraceLoggingNotificationHeader (get_protocol/src/lib.rs, lines 1596 to 1613) and what
 * build_tracelogging_notification_buffer() puts behind it (get_helpers/src/lib.rs); the level is tracing_log_level()'s
 * (get_tracing.rs), the time in 100 ns (json_layer.rs, time.as_nanos() / 100).
 */
static void one_message_byte_for_byte(void **state)
{
	static const char json[] = "{\"timestamp\":\"5.140900000s\",\"level\":\"WARN\",\"target\":\"vmm/pm\","
				   "\"fields\":{\"message\":\"no such port\"}}";
	static const u8 header[80] = {
		0, 3, 0, 0,                  /* EVENT, WARNING, no flags */
		0, 0, 0, 0,                  /* name: none, at 0 */
		6, 0, 0, 0,                  /* target: 6 bytes at 0 */
		0, 0, 6, 0,                  /* fields: none, at 6 */
		sizeof(json) - 1, 0, 6, 0,   /* message */
		[72] = 0x68, 0x70, 0x10, 0x03, /* 51409000 */
	};
	struct log_record r = parsed("12,7,5140900,-;vmm/pm: no such port\n");
	struct log_message m;

	log_record_message(&r, &m);
	assert_int_equal(m.len, 80 + 6 + sizeof(json) - 1);
	assert_memory_equal(m.bytes, header, 80);
	assert_memory_equal(m.bytes + 80, "vmm/pm", 6);
	assert_memory_equal(m.bytes + 86, json, sizeof(json) - 1);
}

static void what_is_not_ours_says_so(void **state)
{
	struct log_record r = parsed("6,7,1,-;Linux version\n");
	struct log_message m;

	log_record_message(&r, &m);
	assert_int_equal(m.bytes[1], GET_LOG_VERBOSE); /* kmsg_stream.rs: LOGLEVEL_INFO is VERBOSE */
	assert_int_equal(m.bytes[2], GET_LOG_FLAG_KMSG);
	assert_memory_equal(m.bytes + 80, "kernel", 6);
	assert_non_null(strstr(json_of("15,7,1,-;a shell's word\n"), "\"target\":\"user\""));
	assert_non_null(strstr(json_of("8,7,1,-;x/y: z\n"), "\"level\":\"ERROR\""));
	assert_non_null(strstr(json_of("13,7,1,-;x/y: z\n"), "\"level\":\"NOTICE\""));
}

static void any_text_is_valid_json(void **state)
{
	assert_non_null(strstr(json_of("14,7,1,-;a/b: say \"x\" \\x5c \\x1b \\x0a\\x00\\x7f"),
			       "\"say \\\"x\\\" \\\\ \\u001b \\u000a\\u0000\\u007f\""));
	/* UTF-8 comes through, what is none is replaced: overlong, a surrogate, cut off, beyond the last */
	assert_non_null(strstr(json_of("14,7,1,-;\\xc3\\xa4 \\xf0\\x9f\\x99\\x82 \\xff"), "\"ä 🙂 \xef\xbf\xbd\""));
	assert_non_null(strstr(json_of("14,7,1,-;\\xc0\\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\""));
	assert_non_null(strstr(json_of("14,7,1,-;\\xed\\xa0\\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
	assert_non_null(strstr(json_of("14,7,1,-;\\xc3"), "\"\xef\xbf\xbd\""));
	assert_non_null(strstr(json_of("14,7,1,-;\\xc3x"), "\"\xef\xbf\xbdx\""));
	assert_non_null(strstr(json_of("14,7,1,-;\\xf4\\x90\\x80\\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
	/* no escape of the kernel's */
	assert_non_null(strstr(json_of("14,7,1,-;\\xg0 \\x1"), "\"\\\\xg0 \\\\x1\""));
}

static void long_text_is_cut(void **state)
{
	static char raw[9000] = "14,7,1,-;a/b: ";
	size_t n = strlen(raw);

	for (; n + 4 < 8000; n += 4)
		memcpy(raw + n, "\\x01", 5);
	const char *json = json_of(raw);

	assert_true(strlen(json) <= GET_LOG_MESSAGE_MAX && strlen(json) > GET_LOG_MESSAGE_MAX - 16);
	assert_string_equal(json + strlen(json) - 12, "\\u0001...\"}}");
}

static void losses_are_told(void **state)
{
	struct log_message m;

	log_record_lost(12, 1000000, &m);
	m.bytes[m.len] = 0;
	assert_string_equal((char *)m.bytes + 96, "{\"timestamp\":\"1.000000000s\",\"level\":\"WARN\","
			    "\"target\":\"control/host_log\",\"fields\":{\"message\":"
			    "\"12 records were lost\",\"missed_entries\":12}}");
}

static void graveness(void **state)
{
	static const struct { const char *raw; enum log_level level; } cases[] = {
		{ "8,1,1,-;a/b: c", LOG_ERROR }, { "11,1,1,-;a/b: c", LOG_ERROR }, { "13,1,1,-;a/b: c", LOG_NOTICE },
		{ "12,1,1,-;a/b: c", LOG_WARN }, { "14,1,1,-;a/b: c", LOG_INFO }, { "15,1,1,-;a/b: c", LOG_DEBUG },
		{ "3,1,1,-;c", LOG_ERROR }, { "4,1,1,-;c", LOG_NOTICE }, { "5,1,1,-;c", LOG_WARN }, { "6,1,1,-;c", LOG_INFO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_record r = parsed(cases[i].raw);

		assert_int_equal(log_record_level(&r), cases[i].level);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_taken_apart), cmocka_unit_test(other_bytes_are_no_record),
		cmocka_unit_test(one_message_byte_for_byte), cmocka_unit_test(what_is_not_ours_says_so),
		cmocka_unit_test(any_text_is_valid_json), cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(losses_are_told), cmocka_unit_test(graveness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
