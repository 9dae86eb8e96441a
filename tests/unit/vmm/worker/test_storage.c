#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "vmm/worker/storage.h"

static void disks_are_understood(void **state)
{
	static struct storage_config c;

	assert_int_equal(storage_parse("", &c), 0);
	assert_int_equal(c.count, 0);
	assert_int_equal(storage_parse("ram:64M", &c), 0);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.disks[0].bytes, 64 * MiB);
	assert_int_equal(c.disks[0].sector_size, 512);
	assert_int_equal(storage_parse("ram:1g:4k+ro+fault,ram:1048576:512", &c), 0);
	assert_int_equal(c.count, 2);
	assert_int_equal(c.disks[0].sector_size, 4096);
	assert_int_equal(c.disks[0].filters, STORAGE_READ_ONLY | STORAGE_FAULT);
	assert_int_equal(c.disks[1].location, 1);
	assert_int_equal(c.disks[1].bytes, MiB);
}

static void nvme_disks_are_understood(void **state)
{
	static struct storage_config c;
	struct guid one = GUID(0x12345678, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), other = { .data1 = 1 };

	assert_int_equal(storage_parse("nvme:1,nvme:12345678-0001-0002-0304-05060708090a/7+stats", &c), -EINVAL);
	assert_int_equal(storage_parse("nvme:1,nvme:12345678-0001-0002-0304-05060708090a/7+ro,ram:1M", &c), 0);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.disks[0].kind, STORAGE_NVME);
	assert_int_equal(c.disks[0].nsid, 0);
	assert_true(storage_is_of(&c.disks[0], 1, &other));
	assert_false(storage_is_of(&c.disks[0], 0, &one));
	assert_int_equal(c.disks[1].nsid, 7);
	assert_int_equal(c.disks[1].filters, STORAGE_READ_ONLY);
	assert_true(storage_is_of(&c.disks[1], 5, &one));
	assert_false(storage_is_of(&c.disks[1], 1, &other));
	assert_int_equal(c.disks[2].kind, STORAGE_RAM);
	assert_false(storage_is_of(&c.disks[2], 0, &other));
}

static void ide_disks_are_understood(void **state)
{
	static const char *const wrong[] = { "cd:", "0:2=ram:1M", "2:0=ram:1M", "0:0=", "0:1=ram:1M,0:1=ram:1M", "0:0=cd",
					     "ram:1M,ram:1M,ram:1M,ram:1M,ram:1M", "ram:1M;", "cd:cd:ram:1M" };
	static struct storage_config c;

	assert_int_equal(storage_parse("ram:1M", &c), 0);
	assert_false(storage_has(&c, STORAGE_IDE));
	assert_int_equal(storage_parse_ide("", &c), 0);
	assert_int_equal(storage_parse_ide("1:0=cd:nvme:1/2,nvme:0+trace,ram:1M", &c), 0);
	assert_int_equal(c.count, 4);
	assert_true(storage_has(&c, STORAGE_IDE) && storage_has(&c, STORAGE_SCSI));
	assert_int_equal(c.disks[1].channel << 4 | c.disks[1].location, 0x10);
	assert_true(c.disks[1].dvd);
	assert_int_equal(c.disks[1].nsid, 2);
	assert_int_equal(c.disks[2].channel << 4 | c.disks[2].location, 0x00);
	assert_false(c.disks[2].dvd);
	assert_int_equal(c.disks[2].filters, STORAGE_TRACE);
	assert_int_equal(c.disks[3].channel << 4 | c.disks[3].location, 0x01);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		static struct storage_config none;

		assert_int_equal(storage_parse_ide(wrong[i], &none), -EINVAL);
		assert_int_equal(none.count, 0);
	}
}

static void nonsense_is_refused(void **state)
{
	static const char *const wrong[] = { "disk", "ram:", "ram:x", "ram:0", "ram:-1M", "ram:1M:1k", "ram:1M+",
					     "ram:1M+x", "ram:1M;", "ram:99999999999G", "ram:1M ,ram:1M", "nvme:",
					     "nvme:x", "nvme:0/0", "nvme:0/", "nvme:64", "nvme:0:4k" };
	static struct storage_config c = { .count = 7 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(storage_parse(wrong[i], &c), -EINVAL);
	assert_int_equal(c.count, 7);
}

static void a_disk_is_made_with_its_filters(void **state)
{
	struct guid id = { .data1 = 1 };
	struct storage_disk d = { .bytes = MiB, .sector_size = 512, .filters = STORAGE_FAULT | STORAGE_TRACE | STORAGE_DELAY |
				  STORAGE_READ_ONLY };
	struct disk *disk = storage_disk(&d, &id);

	assert_non_null(disk);
	assert_true(disk->read_only);
	assert_int_equal(disk->sectors, 2048);
	disk_destroy(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_are_understood),
		cmocka_unit_test(nvme_disks_are_understood),
		cmocka_unit_test(ide_disks_are_understood),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_disk_is_made_with_its_filters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
