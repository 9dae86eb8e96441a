#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/gdb/memory.h"

#define MEMORY 0x4000u
#define LINEAR 0x10000u /* linear addresses from here are mapped, pages in reverse order */

static u8 memory[MEMORY];

static bool there(void *ctx, u64 gpa, size_t len)
{
	return gpa < MEMORY && len <= MEMORY - gpa;
}

static int get(void *ctx, u64 gpa, void *to, size_t len)
{
	if (!there(ctx, gpa, len))
		return -EFAULT;
	memcpy(to, memory + gpa, len);
	return 0;
}

static int set(void *ctx, u64 gpa, const void *from, size_t len)
{
	if (!there(ctx, gpa, len))
		return -EFAULT;
	memcpy(memory + gpa, from, len);
	return 0;
}

static int translate(void *ctx, unsigned vp, u64 linear, u64 *ret)
{
	if (linear < LINEAR || linear >= LINEAR + MEMORY + PAGE_SIZE)
		return -EFAULT;
	*ret = (MEMORY - PAGE_SIZE - (linear - LINEAR) / PAGE_SIZE * PAGE_SIZE) | linear % PAGE_SIZE;
	return 0;
}

static const struct gdb_memory_ops ops = { get, set, there, translate };
static struct gdb_memory m;

static int setup(void **state)
{
	for (size_t i = 0; i < MEMORY; i++)
		memory[i] = (u8)(i * 7 + (i >> 8));
	gdb_memory_init(&m, &ops, NULL);
	m.opcode = GDB_OPCODE_INT3;
	return 0;
}

static int teardown(void **state)
{
	gdb_memory_fini(&m);
	return 0;
}

static void crosses_pages(void **state)
{
	u8 bytes[16], back[16];
	size_t got = 0;

	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(gdb_memory_write(&m, 0, false, LINEAR + PAGE_SIZE - 8, bytes, sizeof(bytes)), 0);
	assert_memory_equal(memory + MEMORY - 8, bytes, 8);
	assert_memory_equal(memory + MEMORY - 2 * PAGE_SIZE, bytes, 8);
	assert_int_equal(gdb_memory_read(&m, 0, false, LINEAR + PAGE_SIZE - 8, back, sizeof(back), &got), 0);
	assert_int_equal(got, sizeof(back));
	assert_memory_equal(back, bytes, sizeof(back));
}

static void reads_as_far_as_there_is_some_and_writes_all_or_nothing(void **state)
{
	u8 bytes[16] = { 0 }, before[8];
	size_t got = 0;

	memcpy(before, memory + MEMORY - 8, 8);
	assert_int_equal(gdb_memory_read(&m, 0, true, MEMORY - 8, bytes, 8, &got), 0);
	assert_int_equal(gdb_memory_read(&m, 0, true, MEMORY, bytes, 8, &got), -EFAULT);
	/* the second page is none */
	assert_int_equal(gdb_memory_read(&m, 0, true, MEMORY - 8, bytes, 16, &got), 0);
	assert_int_equal(got, 8);
	assert_int_equal(gdb_memory_write(&m, 0, true, MEMORY - 8, bytes, 16), -EFAULT);
	assert_memory_equal(memory + MEMORY - 8, before, 8);
	assert_int_equal(gdb_memory_write(&m, 0, false, 0, bytes, 16), -EFAULT);
}

static void breakpoints_are_not_seen(void **state)
{
	u64 linear = LINEAR + 0x123, gpa;
	u8 original, byte, two[2] = { 0x11, 0x22 };
	size_t got;

	assert_int_equal(translate(NULL, 0, linear, &gpa), 0);
	original = memory[gpa];
	assert_int_equal(gdb_soft_insert(&m, 0, linear), 0);
	assert_int_equal(gdb_soft_insert(&m, 0, linear), 0);
	assert_int_equal(memory[gpa], GDB_OPCODE_INT3);
	assert_true(gdb_soft_at(&m, gpa));
	assert_false(gdb_soft_at(&m, gpa + 1));
	assert_int_equal(gdb_soft_count(&m), 1);
	assert_int_equal(gdb_memory_read(&m, 0, false, linear, &byte, 1, &got), 0);
	assert_int_equal(byte, original);
	/* what is written there comes to light when the breakpoint goes */
	assert_int_equal(gdb_memory_write(&m, 0, false, linear, two, 2), 0);
	assert_int_equal(memory[gpa], GDB_OPCODE_INT3);
	assert_int_equal(memory[gpa + 1], 0x22);
	assert_int_equal(gdb_soft_remove(&m, 0, linear), 0);
	assert_int_equal(memory[gpa], GDB_OPCODE_INT3);
	assert_int_equal(gdb_soft_remove(&m, 0, linear), 0);
	assert_int_equal(memory[gpa], 0x11);
	assert_int_equal(gdb_soft_remove(&m, 0, linear), -ENOENT);
	assert_int_equal(gdb_soft_insert(&m, 0, LINEAR + MEMORY), -EFAULT); /* mapped, and no memory */
	assert_int_equal(gdb_soft_count(&m), 0);
}

/* the guest has put something else there: that stays */
static void a_page_used_again_is_left_alone(void **state)
{
	u64 gpa;
	u8 byte;
	size_t got;

	translate(NULL, 0, LINEAR, &gpa);
	assert_int_equal(gdb_soft_insert(&m, 0, LINEAR), 0);
	memory[gpa] = 0x77;
	assert_int_equal(gdb_memory_read(&m, 0, false, LINEAR, &byte, 1, &got), 0);
	assert_int_equal(byte, 0x77);
	gdb_memory_clear(&m);
	assert_int_equal(memory[gpa], 0x77);
	/* after a reset the same code is there again, without the breakpoint */
	assert_int_equal(gdb_soft_insert(&m, 0, LINEAR), 0);
	memory[gpa] = 0x90;
	gdb_soft_renew(&m);
	assert_int_equal(memory[gpa], GDB_OPCODE_INT3);
	gdb_memory_clear(&m);
	assert_int_equal(memory[gpa], 0x90);
}

static void there_are_so_many(void **state)
{
	for (unsigned i = 0; i < GDB_SOFT_MAX; i++)
		assert_int_equal(gdb_soft_insert(&m, 0, LINEAR + i), 0);
	assert_int_equal(gdb_soft_insert(&m, 0, LINEAR + GDB_SOFT_MAX), -ENOSPC);
	assert_int_equal(gdb_soft_insert(&m, 0, LINEAR), 0);
	gdb_memory_clear(&m);
	assert_int_equal(gdb_soft_count(&m), 0);
}

/* DR7 by hand, SDM volume 3, figure 19-1 */
static void debug_registers(void **state)
{
	struct gdb_hard *h;
	struct gdb_stop stop = { 0 };
	u64 address[GDB_HARD_MAX];

	assert_int_equal(gdb_hard_registers(&m, address), 0);
	assert_int_equal(gdb_hard_insert(&m, GDB_BREAK_HARD, 0x1001, 4, &h), 0); /* an instruction's length is not looked at */
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_WRITE, 0x2000, 8, &h), 0);
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_ACCESS, 0x3000, 4, &h), 0);
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_READ, 0x4002, 2, &h), 0);
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_WRITE, 0x5000, 1, &h), -ENOSPC);
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_WRITE, 0x2001, 8, &h), -EINVAL);
	assert_int_equal(gdb_hard_insert(&m, GDB_WATCH_WRITE, 0x2000, 3, &h), -EINVAL);
	assert_int_equal(gdb_hard_registers(&m, address), 0x7f900055);
	assert_int_equal(address[0], 0x1001);
	assert_int_equal(address[3], 0x4002);
	gdb_hard_stop(&m, 2, &stop);
	assert_int_equal(stop.reason, GDB_STOP_WATCH);
	assert_int_equal(stop.address, 0x2000);
	gdb_hard_stop(&m, 1, &stop);
	assert_int_equal(stop.reason, GDB_STOP_HARD);
	assert_int_equal(gdb_hard_remove(&m, GDB_WATCH_WRITE, 0x2000, 8), 0);
	assert_int_equal(gdb_hard_remove(&m, GDB_WATCH_WRITE, 0x2000, 8), -ENOENT);
	assert_int_equal(gdb_hard_registers(&m, address), 0x7f000051);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(crosses_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_as_far_as_there_is_some_and_writes_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(breakpoints_are_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_used_again_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(there_are_so_many, setup, teardown),
		cmocka_unit_test_setup_teardown(debug_registers, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
