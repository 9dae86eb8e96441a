#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/storvsp/scsi.h"

static const struct guid id = { 0x11223344, 0x5566, 0x7788, { 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01 } };

struct bed {
	struct sim *sim;
	struct exec *exec;
	struct scsi_target target;
	struct disk *fault;
	struct scsi_request r;
	unsigned done;
	u8 data[64 * 1024];
};
static struct bed *bed;

static int set_up(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed->sim = sim_create(5);
	bed->exec = sim_exec(bed->sim, "scsi");
	bed->fault = disk_fault(disk_ram(16 * MiB, 512, &id), 1);
	atomic_store(&bed->target.units[3], scsi_unit_create(bed->fault, NULL));
	return 0;
}

static int tear_down(void **state)
{
	scsi_unit_destroy(atomic_load(&bed->target.units[3]));
	sim_destroy(bed->sim);
	free(bed);
	return 0;
}

static void done(struct scsi_request *r)
{
	bed->done++;
}

/* status; data in bed->data, in two pieces that cross a sector */
static u8 run(unsigned lun, const u8 *cdb, u8 len, bool data_in, u32 data_len)
{
	struct iovec iov[2] = { { bed->data, MIN(data_len, 700u) }, { bed->data + 700, data_len - MIN(data_len, 700u) } };
	unsigned before = bed->done;

	memset(&bed->r, 0, sizeof(bed->r));
	memcpy(bed->r.cdb, cdb, len);
	bed->r.cdb_len = len;
	bed->r.data_in = data_in;
	bed->r.iov = iov;
	bed->r.iov_count = 2;
	bed->r.data_len = data_len;
	bed->r.exec = bed->exec;
	bed->r.done = done;
	scsi_execute(&bed->target, lun, &bed->r);
	sim_run(bed->sim, sim_now_ns(bed->sim) + 1000000000);
	assert_int_equal(bed->done, before + 1);
	return bed->r.status;
}
#define RUN(in, len, ...) run(3, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }), in, len)

static void assert_sense(u8 key, u16 asc)
{
	assert_int_equal(bed->r.status, SCSI_CHECK_CONDITION);
	assert_int_equal(bed->r.sense[0], 0x70);
	assert_int_equal(bed->r.sense[2], key);
	assert_int_equal(bed->r.sense[12] << 8 | bed->r.sense[13], asc);
}

static void says_who_it_is(void **state)
{
	assert_int_equal(RUN(true, 255, SCSI_INQUIRY, 0, 0, 0, 255, 0), 0);
	assert_int_equal(bed->r.transferred, 96);
	assert_memory_equal(bed->data + 8, "Msft    Virtual Disk    1.0 ", 28);
	assert_int_equal(RUN(true, 5, SCSI_INQUIRY, 0, 0, 0, 255, 0), 0);
	assert_int_equal(bed->r.transferred, 5);
	static const u8 pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };

	for (size_t i = 0; i < sizeof(pages); i++) {
		assert_int_equal(RUN(true, 255, SCSI_INQUIRY, 1, pages[i], 0, 255, 0), 0);
		assert_int_equal(bed->data[1], pages[i]);
		assert_int_equal(bed->r.transferred, 4 + (bed->data[2] << 8 | bed->data[3]));
	}
	assert_int_equal(RUN(true, 255, SCSI_INQUIRY, 1, 0x80, 0, 255, 0), 0);
	assert_memory_equal(bed->data + 4, "443322116655887799aabbccddeeff01", 32);
	assert_int_equal(RUN(true, 255, SCSI_INQUIRY, 1, 0x83, 0, 255, 0), 0);
	assert_int_equal(bed->data[48 + 4] >> 4, 3);
	RUN(true, 255, SCSI_INQUIRY, 1, 0x99, 0, 255, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void says_how_large_it_is(void **state)
{
	assert_int_equal(RUN(true, 8, SCSI_READ_CAPACITY_10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_memory_equal(bed->data, ((u8[]){ 0, 0, 0x7f, 0xff, 0, 0, 2, 0 }), 8);
	assert_int_equal(RUN(true, 32, SCSI_SERVICE_ACTION_IN_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), 0);
	assert_memory_equal(bed->data, ((u8[]){ 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0, 2, 0, 0, 3, 0xc0, 0 }), 16);
}

static void reads_what_was_written(void **state)
{
	static const u8 writes[][16] = {
		{ SCSI_WRITE_6, 0, 0, 9, 4 },
		{ SCSI_WRITE_10, CDB_FUA, 0, 0, 0, 9, 0, 0, 4 },
		{ SCSI_WRITE_12, CDB_FUA, 0, 0, 0, 9, 0, 0, 0, 4 },
		{ SCSI_WRITE_16, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4 },
	}, reads[][16] = {
		{ SCSI_READ_16, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4 },
		{ SCSI_READ_6, 0, 0, 9, 4 },
		{ SCSI_READ_10, 0, 0, 0, 0, 9, 0, 0, 4 },
		{ SCSI_READ_12, 0, 0, 0, 0, 9, 0, 0, 0, 4 },
	};

	for (size_t i = 0; i < 4; i++) {
		memset(bed->data, (int)(0x31 + i), 2048);
		assert_int_equal(run(3, writes[i], 16, false, 2048), 0);
		assert_int_equal(bed->r.transferred, 2048);
		memset(bed->data, 0, 2048);
		assert_int_equal(run(3, reads[i], 16, true, 4096), 0);
		assert_int_equal(bed->r.transferred, 2048);
		assert_int_equal(bed->data[0], 0x31 + i);
		assert_int_equal(bed->data[2047], 0x31 + i);
	}
	assert_int_equal(RUN(false, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(RUN(false, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
}

static void mistakes_get_their_sense(void **state)
{
	RUN(false, 0, 0xfe, 0, 0, 0, 0, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	RUN(true, 512, SCSI_READ_10, 0, 0, 0, 0x80, 0, 0, 0, 1, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	RUN(true, 512, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 2, 0); /* the buffer is too small */
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
	RUN(false, 512, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the buffer is for the other direction */
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
	RUN(true, 512, SCSI_READ_10, 0x20, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
	RUN(true, 512, SCSI_READ_16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	RUN(true, 512, SCSI_READ_10, 0); /* a CDB cut short */
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void trouble_of_the_disk_is_told(void **state)
{
	disk_fault_set(bed->fault, FAULT_ERROR, BIT(DISK_READ) | BIT(DISK_WRITE) | BIT(DISK_FLUSH), 1, -EIO);
	RUN(true, 512, SCSI_READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
	RUN(false, 512, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
	RUN(false, 0, SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_sense(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
	disk_fault_set(bed->fault, FAULT_ERROR, BIT(DISK_WRITE), 1, -EROFS);
	RUN(false, 512, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
	disk_fault_set(bed->fault, FAULT_ERROR, BIT(DISK_WRITE), 1, -ENODEV);
	RUN(false, 512, SCSI_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_sense(SENSE_HARDWARE_ERROR, ASC_INTERNAL_FAILURE);
}

static u8 first_byte(u32 lba)
{
	assert_int_equal(RUN(true, 512, SCSI_READ_10, 0, 0, 0, (u8)(lba >> 8), (u8)lba, 0, 0, 1, 0), 0);
	return bed->data[0];
}

static void blocks_are_unmapped_and_repeated(void **state)
{
	memset(bed->data, 0x77, 512);
	assert_int_equal(RUN(false, 512, SCSI_WRITE_SAME_16, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 200, 0, 0), 0);
	assert_int_equal(first_byte(8), 0x77);
	assert_int_equal(first_byte(207), 0x77);
	assert_int_equal(first_byte(208), 0);
	memset(bed->data, 0, 64);
	memcpy(bed->data, (u8[]){ 0, 38, 0, 32 }, 4);
	memcpy(bed->data + 8, (u8[]){ 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8 }, 12);
	memcpy(bed->data + 24, (u8[]){ 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 1 }, 12);
	assert_int_equal(RUN(false, 40, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 40, 0), 0);
	assert_int_equal(first_byte(15), 0x77);
	assert_int_equal(first_byte(16), 0);
	assert_int_equal(first_byte(24), 0x77);
	assert_int_equal(first_byte(100), 0);
	assert_int_equal(RUN(false, 0, SCSI_WRITE_SAME_16, CDB_WS_NDOB | CDB_WS_UNMAP,
			     0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0), 0);
	assert_int_equal(first_byte(8), 0);
	assert_int_equal(first_byte(12), 0x77);
	RUN(false, 512, SCSI_WRITE_SAME_10, 0, 0, 0, 0, 8, 0, 0, 0, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
	memcpy(bed->data + 8, (u8[]){ 0xff, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8 }, 12);
	memcpy(bed->data, (u8[]){ 0, 22, 0, 16 }, 4);
	RUN(false, 24, SCSI_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void absent_units_are_absent(void **state)
{
	assert_int_equal(run(0, (u8[]){ SCSI_INQUIRY, 0, 0, 0, 36, 0 }, 6, true, 36), 0);
	assert_int_equal(bed->data[0], INQUIRY_NO_DEVICE);
	assert_false(bed->r.no_unit);
	run(9, (u8[]){ SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0 }, 6, true, 0);
	assert_true(bed->r.no_unit);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
	assert_int_equal(run(0, (u8[]){ SCSI_REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 }, 12, true, 256), 0);
	assert_memory_equal(bed->data, ((u8[]){ 0, 0, 0, 8, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0 }), 16);
	run(200, (u8[10]){ SCSI_READ_10 }, 10, true, 0);
	assert_true(bed->r.no_unit);
}

static void conditions_are_told_once(void **state)
{
	scsi_unit_attention(atomic_load(&bed->target.units[3]), ASC_CAPACITY_CHANGED);
	assert_int_equal(RUN(true, 96, SCSI_INQUIRY, 0, 0, 0, 96, 0), 0);
	RUN(false, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_sense(SENSE_UNIT_ATTENTION, ASC_CAPACITY_CHANGED);
	assert_int_equal(RUN(false, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
	assert_int_equal(RUN(false, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 0, 0), 0);
	RUN(false, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0);
	assert_sense(SENSE_NOT_READY, ASC_START_UNIT_REQUIRED);
	assert_int_equal(RUN(true, 18, SCSI_REQUEST_SENSE, 0, 0, 0, 18, 0), 0);
	assert_int_equal(bed->data[2], SENSE_NOT_READY);
	assert_int_equal(RUN(false, 0, SCSI_START_STOP_UNIT, 0, 0, 0, 1, 0), 0);
	assert_int_equal(RUN(false, 0, SCSI_TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
}

static void modes_are_told_and_not_changed(void **state)
{
	u8 current[64];

	assert_int_equal(RUN(true, 64, SCSI_MODE_SENSE_6, CDB_DBD, MODE_PAGE_CACHING, 0, 64, 0), 0);
	assert_int_equal(bed->r.transferred, 4 + 20);
	assert_int_equal(bed->data[0], 23);
	assert_int_equal(bed->data[2], MODE_DPOFUA);
	assert_int_equal(bed->data[6], MODE_CACHING_WCE);
	memcpy(current, bed->data, 24);
	current[0] = current[2] = 0;
	memcpy(bed->data, current, 24);
	assert_int_equal(RUN(false, 24, SCSI_MODE_SELECT_6, CDB_SELECT_PF, 0, 0, 24, 0), 0);
	current[6] = 0;
	memcpy(bed->data, current, 24);
	RUN(false, 24, SCSI_MODE_SELECT_6, CDB_SELECT_PF, 0, 0, 24, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETERS);
	assert_int_equal(RUN(true, 255, SCSI_MODE_SENSE_10, 0, MODE_PAGE_ALL, 0, 0, 0, 0, 0, 255, 0), 0);
	assert_int_equal(bed->r.transferred, 8 + 8 + 12 + 20 + 12 + 12);
	RUN(true, 255, SCSI_MODE_SENSE_6, 0, 0x19, 0, 255, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static u8 reserve(u8 action, u8 type, u8 key, u8 service_key)
{
	memset(bed->data, 0, 24);
	bed->data[7] = key;
	bed->data[15] = service_key;
	return RUN(false, 24, SCSI_PERSISTENT_RESERVE_OUT, action, type, 0, 0, 0, 0, 0, 24, 0);
}

static void reservations_are_kept(void **state)
{
	assert_int_equal(reserve(PR_RESERVE, 1, 5, 0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(reserve(PR_REGISTER, 0, 0, 5), 0);
	assert_int_equal(reserve(PR_RESERVE, 5, 5, 0), 0);
	assert_int_equal(reserve(PR_RESERVE, 1, 5, 0), SCSI_RESERVATION_CONFLICT);
	assert_int_equal(RUN(true, 64, SCSI_PERSISTENT_RESERVE_IN, PR_READ_KEYS, 0, 0, 0, 0, 0, 0, 64, 0), 0);
	assert_memory_equal(bed->data, ((u8[]){ 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5 }), 16);
	assert_int_equal(RUN(true, 64, SCSI_PERSISTENT_RESERVE_IN, PR_READ_RESERVATION, 0, 0, 0, 0, 0, 0, 64, 0), 0);
	assert_int_equal(bed->data[21], 5);
	assert_int_equal(reserve(PR_RELEASE, 5, 5, 0), 0);
	assert_int_equal(reserve(PR_CLEAR, 0, 5, 0), 0);
	assert_int_equal(RUN(true, 64, SCSI_PERSISTENT_RESERVE_IN, PR_READ_KEYS, 0, 0, 0, 0, 0, 0, 64, 0), 0);
	assert_int_equal(bed->r.transferred, 8);
	reserve(PR_RESERVE, 2, 5, 0);
	assert_sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(says_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_how_large_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reads_what_was_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mistakes_get_their_sense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(trouble_of_the_disk_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blocks_are_unmapped_and_repeated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(absent_units_are_absent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(conditions_are_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(modes_are_told_and_not_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reservations_are_kept, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
