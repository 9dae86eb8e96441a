/*
 * The log from both ends: a message of VTL2's log channel in the host's reader, and a record of the kernel's log in the
 * firmware's writer, whose message the host's reader must then understand.
 */
#include <jansson.h>
#include <string.h>

#include "host/vmbus/guest_record.h"
#include "lib/core/check.h"
#include "vmm/get/log_record.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static char line[GUEST_RECORD_LINE_MAX];

/* whatever came, a line: one newline, at the end, and no other control character */
static void read_it(struct bytes message, bool must)
{
	for (int json = 0; json < 2; json++) {
		size_t n = guest_record_line(message, json, "now", line);

		CHECK(n <= sizeof(line) && (n || !must));
		for (size_t i = 0; i < n; i++) {
			CHECK((u8)line[i] >= 0x20 || (i == n - 1 && line[i] == '\n'));
			CHECK(line[i] != 0x7f && (!json || (u8)line[i] < 0x80));
			CHECK((u8)line[i] != 0xc2 || i + 1 >= n || (u8)line[i + 1] >= 0xa0);
		}
		CHECK(!n || line[n - 1] == '\n');
	}
}

static void write_it(struct bytes raw)
{
	static struct log_message m;
	struct log_record record;
	struct get_log_header h;

	if (!log_record_parse(raw, &record))
		return;
	CHECK(log_record_level(&record) < LOG_LEVELS);
	log_record_message(&record, &m);
	CHECK(m.len <= sizeof(m.bytes));
	memcpy(&h, m.bytes, sizeof(h));
	CHECK(h.message.size <= GET_LOG_MESSAGE_MAX && h.target.size <= GET_LOG_TARGET_MAX);
	CHECK(sizeof(h) + h.message.offset + h.message.size == m.len);
	json_t *json = json_loadb((const char *)m.bytes + sizeof(h) + h.message.offset, h.message.size, JSON_ALLOW_NUL, NULL);

	/* valid JSON in valid UTF-8, with the members that a host looks for */
	CHECK(json && json_is_string(json_object_get(json_object_get(json, "fields"), "message")));
	CHECK(json_is_string(json_object_get(json, "target")) && json_is_string(json_object_get(json, "level")));
	json_decref(json);
	read_it(bytes_of(m.bytes, m.len), true);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	read_it(bytes_of(data, len), false);
	write_it(bytes_of(data, len));
	return 0;
}
