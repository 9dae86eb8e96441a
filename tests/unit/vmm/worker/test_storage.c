#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/worker/storage.h"

static void disks_are_understood(void **state)
{
	struct storage_config c;

	assert_int_equal(storage_parse("", &c), 0);
	assert_int_equal(c.count, 0);
	assert_true(c.fixed);
	assert_int_equal(storage_parse("ram:64M", &c), 0);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.controllers[0].count, 1);
	assert_int_equal(c.controllers[0].disks[0].bytes, 64 * MiB);
	assert_int_equal(c.controllers[0].disks[0].sector_size, 512);
	storage_free(&c);
	assert_int_equal(storage_parse("ram:1g:4k+ro+fault,ram:1048576:512", &c), 0);
	const struct storage_disk *d = c.controllers[0].disks;

	assert_int_equal(c.controllers[0].count, 2);
	assert_int_equal(d[0].sector_size, 4096);
	assert_int_equal(d[0].filters, STORAGE_READ_ONLY | STORAGE_FAULT);
	assert_int_equal(d[1].location, 1);
	assert_int_equal(d[1].bytes, MiB);
	storage_free(&c);
}

static void nvme_disks_are_understood(void **state)
{
	struct guid one = GUID(0x12345678, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), other = { .data1 = 1 };
	struct storage_config c;

	assert_int_equal(storage_parse("nvme:1,nvme:12345678-0001-0002-0304-05060708090a/7+stats", &c), -EINVAL);
	assert_int_equal(storage_parse("nvme:1,nvme:12345678-0001-0002-0304-05060708090a/7+ro,ram:1M", &c), 0);
	const struct storage_disk *d = c.controllers[0].disks;

	assert_int_equal(c.controllers[0].count, 3);
	assert_int_equal(d[0].kind, STORAGE_NVME);
	assert_int_equal(d[0].source_count, 1);
	assert_int_equal(d[0].sources[0].nsid, 0);
	assert_true(storage_is_of(&d[0].sources[0], 1, &other));
	assert_false(storage_is_of(&d[0].sources[0], 0, &one));
	assert_int_equal(d[1].sources[0].nsid, 7);
	assert_int_equal(d[1].filters, STORAGE_READ_ONLY);
	assert_true(storage_is_of(&d[1].sources[0], 5, &one));
	assert_false(storage_is_of(&d[1].sources[0], 1, &other));
	assert_int_equal(d[2].kind, STORAGE_RAM);
	assert_int_equal(d[2].source_count, 0);
	storage_free(&c);
}

static void ide_disks_are_understood(void **state)
{
	static const char *const wrong[] = { "cd:", "0:2=ram:1M", "2:0=ram:1M", "0:0=", "0:1=ram:1M,0:1=ram:1M", "0:0=cd",
					     "ram:1M,ram:1M,ram:1M,ram:1M,ram:1M", "ram:1M;", "cd:cd:ram:1M" };
	struct storage_config c;

	assert_int_equal(storage_parse("ram:1M", &c), 0);
	assert_null(storage_ide(&c));
	assert_int_equal(storage_parse_ide("", &c), 0);
	assert_int_equal(storage_parse_ide("1:0=cd:nvme:1/2,nvme:0+trace,ram:1M", &c), 0);
	assert_int_equal(c.count, 2);
	struct storage_controller *ide = storage_ide(&c);

	assert_non_null(ide);
	assert_int_equal(ide->count, 3);
	assert_int_equal(ide->disks[0].channel << 4 | ide->disks[0].location, 0x10);
	assert_true(ide->disks[0].dvd);
	assert_int_equal(ide->disks[0].sources[0].nsid, 2);
	assert_int_equal(ide->disks[1].channel << 4 | ide->disks[1].location, 0x00);
	assert_false(ide->disks[1].dvd);
	assert_int_equal(ide->disks[1].filters, STORAGE_TRACE);
	assert_int_equal(ide->disks[2].channel << 4 | ide->disks[2].location, 0x01);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(storage_parse_ide(wrong[i], &c), -EINVAL);
		assert_int_equal(c.count, 2);
	}
	storage_free(&c);
}

static void nonsense_is_refused(void **state)
{
	static const char *const wrong[] = { "disk", "ram:", "ram:x", "ram:0", "ram:-1M", "ram:1M:1k", "ram:1M+",
					     "ram:1M+x", "ram:1M;", "ram:99999999999G", "ram:1M ,ram:1M", "nvme:",
					     "nvme:x", "nvme:0/0", "nvme:0/", "nvme:64", "nvme:0:4k" };
	struct storage_config c = { .count = 7 };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(storage_parse(wrong[i], &c), -EINVAL);
	assert_int_equal(c.count, 7);
}

static void a_disk_is_made_with_its_filters(void **state)
{
	struct guid id = { .data1 = 1 };
	struct storage_disk d = { .kind = STORAGE_RAM, .bytes = MiB, .sector_size = 512, .physical_size = 4096, .no_unmap = true,
				  .filters = STORAGE_FAULT | STORAGE_TRACE | STORAGE_DELAY | STORAGE_READ_ONLY };
	struct disk *disk = storage_ram(&d, &id);

	assert_non_null(disk);
	assert_true(disk->read_only);
	assert_int_equal(disk->sectors, 2048);
	assert_int_equal(disk->physical_size, 4096);
	assert_int_equal(disk->unmap_granularity, 0);
	disk_destroy(disk);
}

/* ---- settings */
#define A "6a1e2b10-0001-4a5b-8c01-0242ac120002"
#define B "6a1e2b10-0002-4a5b-8c01-0242ac120002"
#define SCSI(instance, luns) "{\"instance_id\":\"" instance "\",\"protocol\":\"SCSI\",\"luns\":[" luns "]}"
#define IDE(luns) "{\"instance_id\":\"" B "\",\"protocol\":\"IDE\",\"luns\":[" luns "]}"
#define DISK(location, more) "{\"location\":" location more ",\"channel\":0,\"physical_devices\":{\"type\":\"SINGLE\"," \
	"\"device\":" \
	"{\"device_type\":\"NVME\",\"device_path\":\"" A "\",\"sub_device_path\":1}}}"

static struct storage_config configured(const char *controllers)
{
	struct settings_error error;
	struct settings *s = NULL;
	struct storage_config c;
	char text[2048];

	snprintf(text, sizeof(text),
		 "{\"version\":\"V1\",\"fixed\":{\"scsi_sub_channels\":5},\"dynamic\":{\"storage_controllers\":[%s]}}",
		 controllers);
	if (settings_parse(text, strlen(text), &s, &error))
		fail_msg("%s: %s", error.id, error.text);
	assert_int_equal(storage_from_settings(s, &c, &error), 0);
	settings_free(s);
	return c;
}

static void settings_become_disks(void **state)
{
	struct storage_config c = configured(
		SCSI(A, DISK("3", ",\"vendor_id\":\"Acme\",\"fua\":false,\"write_cache\":false,"
				  "\"scsi_disk_size_in_bytes\":\"1048576\",\"disable_thin_provisioning\":true"))
		"," IDE("{\"location\":1,\"channel\":1,\"is_dvd\":true}"));
	struct storage_disk *d = storage_at(&c.controllers[0], 0, 3);

	assert_int_equal(c.count, 2);
	assert_false(c.fixed);
	assert_int_equal(c.controllers[0].sub_channels, 5);
	assert_non_null(d);
	assert_string_equal(d->identity.vendor, "Acme");
	assert_true(d->identity.no_fua && d->identity.write_through && d->no_unmap);
	assert_int_equal(d->bytes, MiB);
	assert_true(d->sources[0].named);
	d = storage_at(&c.controllers[1], 1, 1);
	assert_int_equal(c.controllers[1].bus, STORAGE_IDE);
	assert_true(d && d->dvd && d->kind == STORAGE_NONE);
	storage_free(&c);
}

static void changes(const char *from, const char *to, const char *want)
{
	struct storage_config a = configured(from), b = configured(to);
	struct settings_error error = { "", "" };
	int r = storage_may_change(&a, &b, &error);

	assert_int_equal(r, want ? -EINVAL : 0);
	if (want)
		assert_string_equal(error.id, want);
	a.fixed = true;
	assert_int_equal(storage_may_change(&a, &b, &error), -EINVAL);
	storage_free(&a);
	storage_free(&b);
}

static void what_may_change(void **state)
{
	changes(SCSI(A, ""), SCSI(A, DISK("0", "")), NULL);
	changes(SCSI(A, DISK("0", "") "," DISK("1", "")), SCSI(A, DISK("1", ",\"vendor_id\":\"x\"")), NULL);
	changes(SCSI(A, ""), SCSI(A, "") "," SCSI(B, ""), "Configuration.StorageCannotAddRemoveControllerAtRuntime");
	changes(SCSI(A, ""), SCSI(B, ""), "Configuration.StorageCannotAddRemoveControllerAtRuntime");
	changes(SCSI(A, "") "," IDE(DISK("0", "")), SCSI(A, DISK("5", "")) "," IDE(DISK("0", "")), NULL);
	changes(IDE(DISK("0", "")), IDE(DISK("1", "")), "Configuration.StorageCannotModifyIdeAtRuntime");
	changes(IDE(DISK("0", "")), IDE(""), "Configuration.StorageCannotModifyIdeAtRuntime");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_are_understood),
		cmocka_unit_test(nvme_disks_are_understood),
		cmocka_unit_test(ide_disks_are_understood),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_disk_is_made_with_its_filters),
		cmocka_unit_test(settings_become_disks),
		cmocka_unit_test(what_may_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
