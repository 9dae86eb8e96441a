#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/nvme/nvme.h"

static void good_ones(void **state)
{
	struct nvme_target_config c;
	char why[320];

	assert_int_equal(nvme_target_parse("/tmp/x.img", &c, why, sizeof(why)), 0);
	assert_string_equal(c.path, "/tmp/x.img");
	assert_int_equal(c.block_size, 512);
	assert_int_equal(c.ram_size, 0);
	assert_int_equal(nvme_target_parse("ram:64M,block=4096,queues=3,serial=AB C,readonly=on,direct=off,"
					   "instance=00000001-0002-0003-0004-000000000005,fault=delay:20/10,fault=drop/3",
					   &c, why, sizeof(why)), 0);
	assert_int_equal(c.ram_size, 64 * MiB);
	assert_int_equal(c.block_size, 4096);
	assert_int_equal(c.io_queues, 3);
	assert_true(c.readonly && c.buffered && c.has_instance);
	assert_int_equal(c.instance.data2, 2);
	assert_string_equal(c.serial, "AB C");
	assert_int_equal(c.fault_count, 2);
	assert_int_equal(c.faults[0].argument, 20);
	assert_int_equal(c.faults[0].every, 10);
	assert_int_equal(c.faults[1].kind, NVME_FAULT_DROP);
	assert_int_equal(nvme_target_parse("f,fault=media:10+20/3,fault=status:281,fault=capacity:7", &c, why, sizeof(why)), 0);
	assert_int_equal(c.faults[0].argument, 10);
	assert_int_equal(c.faults[0].count, 20);
	assert_int_equal(c.faults[0].every, 3);
	assert_int_equal(c.faults[1].argument, 0x281);
	assert_int_equal(c.faults[2].argument, 7);
}

static void bad_ones(void **state)
{
	static const char *const texts[] = {
		"", ",x=1", "ram:", "ram:5", "ram:-4K", "ram:99999999999999999999G", "f,block=1000", "f,queues=0", "f,queues=65",
		"f,queues=", "f,readonly", "f,readonly=maybe", "f,serial=", "f,serial=123456789012345678901", "f,instance=1",
		"f,fault=delay", "f,fault=drop:1", "f,fault=status:fff", "f,fault=x", "f,fault=drop/0",
		"f,fault=drop/", "f,fault=media:10", "f,fault=media:10+", "f,fault=media:+3", "f,fault=media:1+0",
		"f,fault=media", "f,fault=stall:65", "f,fault=stall:0", "f,nosuch=1",
	};
	struct nvme_target_config c = { .block_size = 7 };
	char why[320];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		why[0] = 0;
		assert_true(nvme_target_parse(texts[i], &c, why, sizeof(why)) < 0);
		assert_true(why[0] != 0);
		assert_int_equal(c.block_size, 7); /* nothing is written on failure */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good_ones), cmocka_unit_test(bad_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
