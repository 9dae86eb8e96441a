#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vmbus/guest_state.h"
#include "lib/log/log.h"

static char folder[64], path[96], said[1024];

static void listen(enum log_level level, const char *domain, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static int set_up(void **state)
{
	log_set_sink(listen);
	snprintf(folder, sizeof(folder), "/tmp/guest-state-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.vmgs", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void make_file(const char *begin, size_t at, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, begin, strlen(begin), (off_t)at), strlen(begin));
	close(fd);
}

static struct guest_state *opened(u64 size)
{
	struct guest_state *s = NULL;

	assert_int_equal(guest_state_open(path, size, &s), 0);
	return s;
}

static void refused(int error, const char *because)
{
	struct guest_state *s = NULL;

	said[0] = 0;
	assert_int_equal(guest_state_open(path, 0, &s), error);
	if (!strstr(said, because))
		fail_msg("said: %s", said);
	assert_null(s);
}

/* what follows the header of a read or a write, and the answer */
static u32 io(struct guest_state *s, u16 id, u64 sector, u32 count, u32 flags, const void *data, size_t len, u8 *out)
{
	u8 m[20 + 9000] = { 0 };

	memcpy(m, &flags, 4);
	memcpy(m + 4, &sector, 8);
	memcpy(m + 12, &count, 4);
	if (len)
		memcpy(m + 20, data, len);
	return guest_state_answer(s, id, bytes_of(m, 20 + len), out);
}

static void a_file_is_made_as_hyper_v_has_it(void **state)
{
	static const u8 info[] = { 1, 3, 4, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0x20, 0, 0 };
	struct guest_state *s = opened(0);
	u8 out[GET_MESSAGE_MAX], old[512];
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4194816); /* get_protocol test_utilities TEST_VMGS_CAPACITY: 4 MiB and a footer */
	assert_int_equal(st.st_mode & 0777, 0600);
	/* 8192 sectors of 512, at most 8192 bytes a transfer */
	assert_int_equal(guest_state_answer(s, GET_VMGS_DEVICE_INFO, bytes_of(NULL, 0), out), sizeof(info));
	assert_memory_equal(out, info, sizeof(info));
	guest_state_close(s);
	s = opened(4 * MiB); /* the same size may be said again */
	/* with a footer, it is known for what it is: old files behind headers of zeroes are a formatting cut short */
	memset(old, 'o', sizeof(old));
	assert_int_equal(io(s, GET_VMGS_WRITE, 100, 1, 0, old, 512, out), 8);
	guest_state_close(s);
	s = opened(0);
	guest_state_close(s);
	assert_int_equal(guest_state_open(path, 8 * MiB, &s), -EINVAL);
	assert_non_null(strstr(said, "leave it out"));
}

static void what_is_written_is_read(void **state)
{
	struct guest_state *s = opened(64 * KiB);
	u8 out[GET_MESSAGE_MAX], data[8192];
	struct guest_state_counts c;

	memset(data, 0x77, sizeof(data));
	assert_int_equal(io(s, GET_VMGS_WRITE, 112, 16, 0, data, sizeof(data), out), 8);
	assert_memory_equal(out, ((u8[]){ 1, 3, 6, 0, 0, 0, 0, 0 }), 8);
	assert_int_equal(io(s, GET_VMGS_WRITE, 0, 1, GET_VMGS_WRITE_THROUGH, data, 512, out), 8);
	assert_int_equal(guest_state_answer(s, GET_VMGS_FLUSH, bytes_of(NULL, 0), out), 8);
	assert_memory_equal(out, ((u8[]){ 1, 3, 7, 0, 0, 0, 0, 0 }), 8);
	guest_state_close(s);
	/* now it has no header and is not zero: another machine's start refuses it */
	refused(-EINVAL, "is no guest state file");
	make_file("GUESTRTS", 0, 64 * KiB);
	int fd = open(path, O_RDWR);

	assert_int_equal(pwrite(fd, "\0\0\3\0", 4, 8), 4);
	assert_int_equal(pwrite(fd, data, 512, 65024), 512);
	close(fd);
	s = opened(0);
	assert_int_equal(io(s, GET_VMGS_READ, 112, 16, 0, NULL, 0, out), 8 + 8192);
	assert_memory_equal(out, ((u8[]){ 1, 3, 5, 0, 0, 0, 0, 0 }), 8);
	assert_memory_equal(out + 8 + 7680, data, 512);
	guest_state_read_counts(s, &c);
	assert_int_equal(c.reads, 1);
	assert_int_equal(c.failed + c.refused, 0);
	guest_state_close(s);
}

static u32 status_of(const u8 *out)
{
	u32 status;

	memcpy(&status, out + 4, 4);
	return status;
}

static void nonsense_is_refused(void **state)
{
	struct guest_state *s = opened(64 * KiB);
	u8 out[GET_MESSAGE_MAX], data[9000] = { 0 };

	assert_int_equal(io(s, GET_VMGS_READ, 128, 1, 0, NULL, 0, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_DEVICE_ERROR);
	assert_int_equal(io(s, GET_VMGS_WRITE, 127, 2, 0, data, 1024, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_DEVICE_ERROR);
	assert_int_equal(io(s, GET_VMGS_WRITE, UINT64_MAX, 2, 0, data, 1024, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_DEVICE_ERROR);
	assert_int_equal(io(s, GET_VMGS_READ, 0, 17, 0, NULL, 0, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_INVALID_COMMAND);
	assert_int_equal(io(s, GET_VMGS_READ, 0, 0xffffffff, 0, NULL, 0, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_INVALID_COMMAND);
	assert_int_equal(io(s, GET_VMGS_WRITE, 0, 2, 0, data, 1023, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_INVALID_COMMAND);
	assert_int_equal(guest_state_answer(s, GET_VMGS_READ, bytes_of(data, 19), out), 8);
	assert_int_equal(status_of(out), GET_VMGS_INVALID_COMMAND);
	guest_state_close(s);
}

static void a_host_without_a_file_says_device_error(void **state)
{
	static const u8 info[24] = { 1, 3, 4, 0, 2 };
	u8 out[GET_MESSAGE_MAX];

	assert_int_equal(guest_state_answer(NULL, GET_VMGS_DEVICE_INFO, bytes_of(NULL, 0), out), 24);
	assert_memory_equal(out, info, 24);
	for (u16 id = GET_VMGS_READ; id <= GET_VMGS_FLUSH; id++) {
		assert_int_equal(io(NULL, id, 0, 1, 0, NULL, 0, out), 8);
		assert_int_equal(status_of(out), GET_VMGS_DEVICE_ERROR);
	}
}

static void other_files_are_refused(void **state)
{
	struct guest_state *s;
	u8 out[GET_MESSAGE_MAX];

	make_file("#!/bin/sh", 0, 64 * KiB);
	refused(-EINVAL, "begins neither");
	make_file("_BHRfS_M", 65600, 128 * KiB); /* btrfs */
	refused(-EINVAL, "begins neither");
	/* but a formatting that was cut short is one that goes on */
	make_file("old", 64 * KiB, 128 * KiB);
	refused(-EINVAL, "begins neither");
	int table = open(path, O_RDWR);

	assert_int_equal(pwrite(table, ((u8[]){ 2, 0, 0, 0, 1, 0, 0, 0, 0, 16 }), 10, 8192), 10);
	close(table);
	s = opened(0);
	guest_state_close(s);
	make_file("EFI PART", 512, 64 * KiB);
	refused(-EPROTONOSUPPORT, "first format");
	make_file("GUESTRTS", 0, 64 * KiB);
	refused(-EPROTONOSUPPORT, "version 0.0");
	make_file("", 0, 64 * KiB - 1);
	refused(-EINVAL, "cut short");
	make_file("", 0, 12 * KiB);
	refused(-EINVAL, "12288 bytes");
	make_file("", 0, 64 * KiB);
	s = opened(0);
	refused(-EWOULDBLOCK, "in use");
	guest_state_close(s);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(-EISDIR, "cannot be opened");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(-EINVAL, "neither a file nor");
	unlink(path);
	/* zeroes are fine, and a store with headers in blocks of their own has sectors of that size */
	make_file("GUESTRTS", 4096, 64 * KiB);
	int fd = open(path, O_RDWR);

	assert_int_equal(pwrite(fd, "\0\0\3\0", 4, 4096 + 8), 4);
	close(fd);
	s = opened(0);
	assert_int_equal(guest_state_answer(s, GET_VMGS_DEVICE_INFO, bytes_of(NULL, 0), out), 24);
	assert_int_equal(out[17], 0x10);
	guest_state_close(s);
}

static void a_file_cut_short_is_an_error_of_the_device(void **state)
{
	struct guest_state *s = opened(64 * KiB);
	u8 out[GET_MESSAGE_MAX];

	assert_int_equal(truncate(path, 16 * KiB), 0);
	assert_int_equal(io(s, GET_VMGS_READ, 64, 1, 0, NULL, 0, out), 8);
	assert_int_equal(status_of(out), GET_VMGS_DEVICE_ERROR);
	guest_state_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_made_as_hyper_v_has_it),
		TEST(what_is_written_is_read),
		TEST(nonsense_is_refused),
		TEST(a_host_without_a_file_says_device_error),
		TEST(other_files_are_refused),
		TEST(a_file_cut_short_is_an_error_of_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
