#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/vhd/vhd.h"

static const u8 id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* by hand, from the specification's table: big endian */
static void a_footer_is_the_specifications(void **state)
{
	u8 expected[512] = "conectix\0\0\0\2\0\1\0\0\377\377\377\377\377\377\377\377\0\0\0\5test";
	struct vhd_footer f;
	u32 sum = 0;

	memcpy(expected + 40, "\0\0\0\0\0\x40\0\0\0\0\0\0\0\x40\0\0", 16); /* 4 MiB, twice */
	memcpy(expected + 60, "\0\0\0\2", 4);
	memcpy(expected + 68, id, 16);
	for (size_t i = 0; i < sizeof(expected); i++)
		sum += expected[i];
	for (unsigned i = 0; i < 4; i++)
		expected[64 + i] = (u8)(~sum >> (24 - 8 * i));
	vhd_footer_make(&f, 4 * MiB, "test", id, 946684805);
	assert_memory_equal(&f, expected, sizeof(f));
}

static void what_is_no_footer_is_part_of_the_disk(void **state)
{
	struct vhd_footer f, other;

	vhd_footer_make(&f, 4 * MiB, "test", id, 946684805);
	assert_int_equal(vhd_disk_size(&f, 4 * MiB + 512), 4 * MiB);
	assert_int_equal(vhd_disk_size(&f, 5 * MiB), 4 * MiB);
	/* a file that is shorter than its disk */
	assert_int_equal(vhd_disk_size(&f, 4 * MiB + 511), 4 * MiB + 511);
	assert_int_equal(vhd_disk_size(&f, 0), 0);
	for (unsigned i = 0; i < sizeof(f); i++) {
		other = f;
		((u8 *)&other)[i] ^= 4;
		assert_int_equal(vhd_disk_size(&other, 4 * MiB + 512), 4 * MiB + 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_footer_is_the_specifications),
		cmocka_unit_test(what_is_no_footer_is_part_of_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
