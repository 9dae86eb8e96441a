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
#include "lib/core/crc32.h"
#include "pvvmgs/commands.h"

static char folder[64], path[96], other[96];
static char *printed;
static size_t printed_len;
static struct vmgs store;

static int set_up(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/pvvmgs-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/a.vmgs", folder);
	snprintf(other, sizeof(other), "%s/out", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	unlink(other);
	free(printed);
	printed = NULL;
	return rmdir(folder);
}

/* its exit status; what it said on both streams is in printed */
static int run(int (*command)(char **, const struct pvvmgs_options *), const char *second, struct pvvmgs_options o)
{
	char *arguments[] = { path, (char *)second };
	FILE *out = stdout, *err = stderr;

	free(printed);
	stdout = stderr = open_memstream(&printed, &printed_len);
	int r = command(arguments, &o);

	fclose(stdout);
	stdout = out;
	stderr = err;
	return r;
}

static bool says(const char *text)
{
	if (!strstr(printed, text))
		print_message("printed: %s\n", printed);
	return strstr(printed, text);
}

#define RUN(command, second, ...) run(command, second, (struct pvvmgs_options){ __VA_ARGS__ })

static void put(u32 id, const char *text)
{
	struct file f;

	assert_int_equal(file_open(&f, path, FILE_CHANGE), 0);
	assert_int_equal(vmgs_open(&store, &f.device), 0);
	assert_int_equal(vmgs_write(&store, &f.device, id, text, strlen(text)), 0);
	file_close(&f);
}

static void files_are_listed_and_dumped(void **state)
{
	char got[64] = "";
	struct stat st;

	assert_int_equal(RUN(command_create, NULL, .size = 64 * KiB), 0);
	put(VMGS_TPM_NVRAM, "a \"secret\"");
	put(40, "x");
	assert_int_equal(RUN(command_list, NULL, 0), 0);
	assert_true(says("sequence 3") && says("  3  tpm-nvram                      10       4096"));
	assert_int_equal(RUN(command_list, NULL, .json = true), 0);
	assert_true(says("{\"id\":3,\"name\":\"tpm-nvram\",\"bytes\":10,\"allocated\":4096,\"block\":"));
	assert_true(says("{\"id\":40,\"name\":\"\",\"bytes\":1,"));
	assert_int_equal(RUN(command_dump, "tpm-nvram", .hex = true), 0);
	assert_true(says("00000000  61 20 22 73 65 63 72 65 74 22                    a \"secret\""));
	assert_int_equal(RUN(command_dump, "3", .out = other), 0);
	int fd = open(other, O_RDONLY);

	assert_int_equal(read(fd, got, sizeof(got)), 10);
	assert_string_equal(got, "a \"secret\"");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	assert_int_equal(RUN(command_dump, "rtc-skew", .hex = true), PVVMGS_BAD_FILE);
	assert_true(says("there is no file 4"));
	assert_int_equal(RUN(command_dump, "63", .hex = true), PVVMGS_USAGE);
}

static void check_tells_what_is_wrong(void **state)
{
	int fd;

	assert_int_equal(RUN(command_check, NULL, 0), PVVMGS_TROUBLE);
	assert_true(says("pvvmgs create makes one"));
	assert_int_equal(RUN(command_create, NULL, .size = 64 * KiB), 0);
	put(1, "one");
	assert_int_equal(RUN(command_check, NULL, 0), 0);
	assert_true(says("header 1: sequence 1\nheader 2: sequence 2, counts\ngood"));
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 512 + 100), 1);
	/* the older header is still there, and what it names too */
	assert_int_equal(RUN(command_check, NULL, 0), 0);
	assert_true(says("header 1: sequence 1, counts\nheader 2: wrong checksum\ngood"));
	assert_int_equal(pwrite(fd, "x", 1, 100), 1);
	assert_int_equal(RUN(command_check, NULL, 0), PVVMGS_BAD_FILE);
	assert_true(says("It is damaged"));
	assert_int_equal(RUN(command_check, NULL, .json = true), PVVMGS_BAD_FILE);
	assert_true(says("{\"verdict\":\"bad\",\"problem\":\"no valid header: first wrong checksum, second wrong checksum\""));
	assert_int_equal(RUN(command_list, NULL, 0), PVVMGS_BAD_FILE);
	assert_int_equal(RUN(command_list, NULL, .json = true), PVVMGS_BAD_FILE);
	/* a damaged store may be made anew, but only when told so */
	assert_int_equal(RUN(command_create, NULL, 0), PVVMGS_TROUBLE);
	assert_true(says("--force"));
	assert_int_equal(RUN(command_create, NULL, .force = true), 0);
	assert_int_equal(RUN(command_check, NULL, 0), 0);
	/* encrypted by another firmware: algorithm 1, sealed anew */
	u8 header[168];

	assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
	header[32] = 1;
	memset(header + 12, 0, 4);
	u32 sum = crc32_update(0, header, sizeof(header));

	memcpy(header + 12, &sum, 4);
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	assert_int_equal(RUN(command_check, NULL, 0), PVVMGS_BAD_FILE);
	assert_true(says("encrypted: with a key"));
	assert_int_equal(RUN(command_list, NULL, 0), 0);
	assert_true(says(", encrypted;"));
	assert_int_equal(ftruncate(fd, 0) | ftruncate(fd, 64 * KiB), 0);
	assert_int_equal(RUN(command_check, NULL, .json = true), 0);
	assert_true(says("\"empty\""));
	assert_int_equal(RUN(command_list, NULL, 0), 0);
	assert_true(says("not formatted yet"));
	assert_int_equal(pwrite(fd, "Dear Ann,", 9, 0), 9);
	assert_int_equal(RUN(command_create, NULL, .force = true), PVVMGS_BAD_FILE);
	assert_true(says("remove it first"));
	/* a file system of the ext family begins with 1024 bytes of nothing */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, MiB), 0);
	assert_int_equal(pwrite(fd, "\x00\x01\x00\x00", 4, 1024), 4);
	assert_int_equal(pwrite(fd, "\x53\xef", 2, 1024 + 56), 2);
	assert_int_equal(RUN(command_create, NULL, .force = true), PVVMGS_BAD_FILE);
	assert_true(says("as file systems do"));
	assert_int_equal(RUN(command_check, NULL, 0), PVVMGS_BAD_FILE);
	/* and what is blank may be formatted */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, MiB), 0);
	assert_int_equal(RUN(command_check, NULL, 0), 0);
	assert_int_equal(RUN(command_create, NULL, .force = true), 0);
	close(fd);
}

static void a_machine_and_the_tool_agree(void **state)
{
	struct guest_state *machine;
	u8 answer[GET_MESSAGE_MAX];

	assert_int_equal(guest_state_open(path, 0, &machine), 0);
	assert_int_equal(RUN(command_list, NULL, 0), PVVMGS_TROUBLE);
	assert_true(says("in use by a running machine"));
	assert_int_equal(RUN(command_list, NULL, .live = true), 0);
	assert_true(says("4096 KiB, not formatted"));
	assert_int_equal(RUN(command_create, NULL, .force = true), PVVMGS_TROUBLE);
	guest_state_close(machine);
	assert_int_equal(RUN(command_create, NULL, .force = true), 0);
	put(2, "kept");
	assert_int_equal(guest_state_open(path, 0, &machine), 0);
	/* the second sector is the header that counts */
	assert_int_equal(guest_state_answer(machine, GET_VMGS_READ, bytes_of((u8[20]){ [4] = 1, [12] = 1 }, 20), answer), 520);
	assert_memory_equal(answer + 8, "GUESTRTS", 8);
	guest_state_close(machine);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_are_listed_and_dumped),
		TEST(check_tells_what_is_wrong),
		TEST(a_machine_and_the_tool_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
