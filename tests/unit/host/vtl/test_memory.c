#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vtl/vp.h"

#define ALL 0xfu
#define READ_EXECUTE (HV_MAP_READ | HV_MAP_KERNEL_EXECUTE | HV_MAP_USER_EXECUTE)

static struct partition p;
static int pipe_fds[2];

static int set_up(void **state)
{
	memset(&p, 0, sizeof(p));
	pthread_mutex_init(&p.lock, NULL);
	p.config.ram[0] = (struct partition_ram){ 0, MiB, false };
	p.config.ram[1] = (struct partition_ram){ MiB, MiB, true };
	p.config.ram_count = 2;
	return pipe(pipe_fds) || memory_map(&p) ? -1 : 0;
}

static int tear_down(void **state)
{
	memory_unmap(&p);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return 0;
}

/* as KVM would: through VTL0's mapping; the kernel answers EFAULT instead of killing us */
static bool vtl0_reads(u64 gpa)
{
	u8 byte;

	if (write(pipe_fds[1], p.vtl0_ram[0] + gpa, 1) != 1)
		return false;
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	return true;
}

static bool vtl0_writes(u64 gpa)
{
	u8 byte = 7;

	assert_int_equal(write(pipe_fds[1], &byte, 1), 1);
	if (read(pipe_fds[0], p.vtl0_ram[0] + gpa, 1) == 1)
		return true;
	assert_int_equal(errno, EFAULT);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	return false;
}

static void both_mappings_are_one_memory(void **state)
{
	p.ram[0][0x5123] = 0x42;
	assert_int_equal(p.vtl0_ram[0][0x5123], 0x42);
	assert_null(p.vtl0_ram[1]);
	assert_non_null(partition_memory(&p, MiB, PAGE_SIZE, true));
	assert_null(partition_memory(&p, MiB, PAGE_SIZE, false));
	assert_null(partition_memory(&p, 2 * MiB, 1, true));
	assert_null(partition_memory(&p, MiB - 1, 2, true)); /* not across ranges */
}

static void a_page_can_be_taken_and_given_back(void **state)
{
	assert_int_equal(memory_protect(&p, 0x4000, 0), 0);
	assert_false(vtl0_reads(0x4000) || vtl0_writes(0x4fff));
	assert_true(vtl0_reads(0x3fff) && vtl0_writes(0x5000));
	assert_null(memory_for_vtl0(&p, 0x4000, 1, HV_MAP_READ));
	assert_null(memory_for_vtl0(&p, 0x3fff, 2, HV_MAP_READ)); /* its last byte is denied */
	assert_non_null(partition_memory(&p, 0x4000, PAGE_SIZE, true)); /* VTL2 has it still */
	assert_int_equal(memory_protect(&p, 0x4000, READ_EXECUTE), 0);
	assert_true(vtl0_reads(0x4000));
	assert_false(vtl0_writes(0x4000));
	assert_non_null(memory_for_vtl0(&p, 0x4000, 1, HV_MAP_READ));
	assert_null(partition_memory(&p, 0x4000, 1, false)); /* hypercalls may not write there for VTL0 */
	assert_int_equal(memory_protect(&p, 0x4000, ALL), 0);
	assert_true(vtl0_writes(0x4000));
}

static void what_cannot_be_done_is_refused(void **state)
{
	assert_int_equal(memory_protect(&p, 2 * MiB, 0), -EINVAL);
	assert_int_equal(memory_protect(&p, MiB, 0), 0); /* VTL2's own: VTL0 never had it */
	assert_int_equal(memory_protect(&p, MiB, HV_MAP_READ), -EPERM);
	assert_int_equal(memory_protect(&p, 0x1000, HV_MAP_READ), -EPERM);
	assert_int_equal(memory_protect(&p, 0x1000, HV_MAP_WRITE), -EPERM);
	assert_int_equal(memory_protect(&p, 0x1000, HV_MAP_KERNEL_EXECUTE | HV_MAP_USER_EXECUTE), -EPERM);
	assert_true(vtl0_writes(0x1000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_mappings_are_one_memory), TEST(a_page_can_be_taken_and_given_back),
		TEST(what_cannot_be_done_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
