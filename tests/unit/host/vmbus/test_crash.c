/* What VTL2 may send on the crash channel, and which files come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vmbus/crash.h"
#include "lib/log/log.h"
#include "spec/crash.h"

#define STATUS_FAIL 0x80004005u

static struct {
	char folder[64];
	struct crash_receiver *receiver;
	u8 answer[64];
	u32 answer_len, answers;
} bed;

static void answer(void *ctx, const void *data, u32 len)
{
	assert_true(len <= sizeof(bed.answer));
	memcpy(bed.answer, data, len);
	bed.answer_len = len;
	bed.answers++;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static int start(u64 max_size, u32 max_count)
{
	struct crash_config config = { bed.folder, "vm", max_size, max_count };

	bed.answers = bed.answer_len = 0;
	return crash_receiver_create(&config, answer, NULL, &bed.receiver);
}

static int set_up(void **state)
{
	log_set_sink(quiet);
	memset(&bed, 0, sizeof(bed));
	snprintf(bed.folder, sizeof(bed.folder), "/tmp/test-crash-XXXXXX");
	return mkdtemp(bed.folder) && !start(100000, 2) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	crash_receiver_destroy(bed.receiver);
	snprintf(command, sizeof(command), "rm -r %s", bed.folder);
	return system(command);
}

static void give(const void *data, size_t len)
{
	crash_receiver_take(bed.receiver, bytes_of(data, len));
}

static struct crash_header header(u64 type)
{
	return (struct crash_header){ GUID(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), type };
}

/* the status that answers it, all ones: no answer */
static u32 ask(u64 type)
{
	struct crash_header h = header(type);
	u32 before = bed.answers, status = ~0u;

	give(&h, sizeof(h));
	if (bed.answers != before && bed.answer_len == sizeof(struct crash_status_response))
		memcpy(&status, bed.answer + sizeof(h), sizeof(status));
	return status;
}

static void write_piece(u64 offset, const void *data, u32 len)
{
	struct crash_write_request w = { header(CRASH_NIX_DUMP_WRITE), offset, len };

	give(&w, sizeof(w));
	give(data, len);
}

static void complete(void)
{
	struct crash_complete_request c = { .header = header(CRASH_NIX_DUMP_COMPLETE), .version_banner = "Linux\033 7\nmore" };

	give(&c, sizeof(c));
}

/* -1: no such file */
static long size_of(const char *name)
{
	char path[128];
	struct stat s;

	snprintf(path, sizeof(path), "%s/%s", bed.folder, name);
	return stat(path, &s) ? -1 : (long)s.st_size;
}

static void a_core_is_written_and_named(void **state)
{
	struct crash_capabilities_response c;
	struct crash_config_response config;
	char path[128], data[8];
	struct stat s;

	ask(CRASH_GET_CAPABILITIES);
	assert_int_equal(bed.answer_len, sizeof(c));
	memcpy(&c, bed.answer, sizeof(c));
	assert_int_equal(c.capabilities, 2);
	assert_int_equal(c.header.type, 0x10001);
	assert_int_equal(c.header.activity.data1, 1);
	ask(CRASH_GET_NIX_DUMP_CONFIG);
	memcpy(&config, bed.answer, sizeof(config));
	assert_int_equal(config.max_dump_size, 100000);
	assert_int_equal(config.dump_type, 1);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	write_piece(4, "efgh", 4);
	write_piece(0, "abcd", 4);
	assert_int_equal(size_of("vm-1.partial"), 8);
	assert_int_equal(size_of("vm-1.core"), -1);
	complete();
	assert_int_equal(size_of("vm-1.partial"), -1);
	assert_int_equal(size_of("vm-1.core"), 8);
	assert_int_equal(bed.answers, 3);
	snprintf(path, sizeof(path), "%s/vm-1.core", bed.folder);
	int fd = open(path, O_RDONLY);

	assert_int_equal(read(fd, data, 8), 8);
	assert_memory_equal(data, "abcdefgh", 8);
	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	close(fd);
	/* the next one, on the same channel */
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	complete();
	assert_int_equal(size_of("vm-2.core"), 0);
}

static void one_too_many_is_refused(void **state)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
		complete();
	}
	assert_int_equal(ask(CRASH_NIX_DUMP_START), STATUS_FAIL);
	u32 before = bed.answers;

	write_piece(0, "abcd", 4); /* who goes on all the same hears it again, and nothing is read as a header that is none */
	write_piece(4, "abcd", 4);
	assert_int_equal(bed.answers, before + 2);
	complete();
	assert_int_equal(bed.answers, before + 2);
	assert_int_equal(size_of("vm-3.partial"), -1);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), STATUS_FAIL);
}

static void one_too_long_is_cut_off(void **state)
{
	static const u8 data[CRASH_CHUNK_MAX];
	u32 status;

	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	u32 before = bed.answers;

	write_piece(100000 - sizeof(data), data, sizeof(data));
	assert_int_equal(bed.answers, before);
	write_piece(100000 - sizeof(data) + 1, data, sizeof(data));
	assert_int_equal(bed.answers, before + 1);
	memcpy(&status, bed.answer + 24, sizeof(status));
	assert_int_equal(status, STATUS_FAIL);
	write_piece(~0ull, "a", 1);
	complete();
	assert_int_equal(size_of("vm-1.partial"), 100000);
	assert_int_equal(size_of("vm-1.core"), -1);
}

static void an_early_end_keeps_what_came(void **state)
{
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	write_piece(0, "abcd", 4);
	crash_receiver_end(bed.receiver, "closed");
	assert_int_equal(size_of("vm-1.partial"), 4);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	write_piece(0, "ab", 2);
	crash_receiver_destroy(bed.receiver);
	assert_int_equal(size_of("vm-2.partial"), 2);
	/* another run: names that are taken are left alone */
	assert_int_equal(start(1000, 1), 0);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	complete();
	assert_int_equal(size_of("vm-3.core"), 0);
	assert_int_equal(size_of("vm-1.partial"), 4);
}

static void nonsense_silences_the_channel(void **state)
{
	const struct crash_write_request bad[] = {
		{ header(CRASH_NIX_DUMP_WRITE), 0, 0 }, { header(CRASH_NIX_DUMP_WRITE), 0, CRASH_CHUNK_MAX + 1 },
		{ header(CRASH_GET_CAPABILITIES), 0, 1 }, { header(77), 0, 1 },
	};

	crash_receiver_destroy(bed.receiver);
	assert_int_equal(start(1000, 100), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
		write_piece(0, "abc", 3);
		give(&bad[i], sizeof(bad[i]));
		assert_int_equal(ask(CRASH_NIX_DUMP_START), ~0u);
		complete();
		crash_receiver_end(bed.receiver, "closed");
	}
	assert_int_equal(size_of("vm-4.partial"), 3);
	assert_int_equal(size_of("vm-1.core"), -1);
	/* a piece of another length; a short header; a core that nobody began */
	assert_int_equal(ask(CRASH_NIX_DUMP_START), 0);
	give(&(struct crash_write_request){ header(CRASH_NIX_DUMP_WRITE), 0, 5 }, sizeof(bad[0]));
	give("abc", 3);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), ~0u);
	crash_receiver_end(bed.receiver, "closed");
	give("abc", 3);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), ~0u);
	crash_receiver_end(bed.receiver, "closed");
	complete();
	assert_int_equal(ask(CRASH_NIX_DUMP_START), ~0u);
}

static void a_bad_folder_or_name(void **state)
{
	struct crash_config config = { "/nonexistent", "vm", 1000, 1 };
	struct crash_receiver *r;

	assert_int_equal(crash_receiver_create(&config, answer, NULL, &r), -2);
	config = (struct crash_config){ bed.folder, "../vm", 1000, 1 };
	assert_int_equal(crash_receiver_create(&config, answer, NULL, &r), -22);
	/* a folder that goes away: a core is refused, pvhost stays */
	assert_int_equal(rmdir(bed.folder), 0);
	assert_int_equal(ask(CRASH_NIX_DUMP_START), STATUS_FAIL);
	assert_int_equal(mkdir(bed.folder, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_core_is_written_and_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_too_many_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_too_long_is_cut_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_early_end_keeps_what_came, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_silences_the_channel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bad_folder_or_name, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
