#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/core/crc32.h"
#include "tests/lib/model_vmgs_device.h"

#define SMALL (64 * KiB)

static struct vmgs store;

static struct model_device *fresh(struct model_device *m, u64 capacity, u32 sector)
{
	model_init(m, capacity, sector, 1);
	assert_int_equal(vmgs_format(&store, &m->device), 0);
	return m;
}

static void put(struct model_device *m, u32 id, u8 fill, size_t len)
{
	u8 *data = malloc(len + 1);

	memset(data, fill, len);
	assert_int_equal(vmgs_write(&store, &m->device, id, data, len), 0);
	free(data);
}

/* is file id there, len bytes of fill? */
static bool has(struct model_device *m, struct vmgs *v, u32 id, u8 fill, size_t len)
{
	u8 *data = NULL;
	size_t got = 0;
	bool same = !vmgs_read(v, &m->device, id, MiB, &data, &got) && got == len;

	for (size_t i = 0; same && i < len; i++)
		same = data[i] == fill;
	free(data);
	return same;
}

static void le32(u8 *at, u32 value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (u8)(value >> 8 * i);
}

/* the header and a table entry by hand, from the public definitions: vmgs_format VmgsHeader, VmgsFileEntry */
static void header_by_hand(u8 out[512], u32 sequence, u32 table_block)
{
	memset(out, 0, 512);
	memcpy(out, "GUESTRTS", 8);
	le32(out + 8, 0x30000);
	le32(out + 16, sequence);
	le32(out + 20, 168);
	le32(out + 24, table_block);
	le32(out + 28, 1);
	le32(out + 12, crc32_update(0, out, 168));
}

static void entry_by_hand(u8 *table, unsigned id, u32 block, u32 blocks, u32 len)
{
	le32(table + 64 * id, block);
	le32(table + 64 * id + 4, blocks);
	le32(table + 64 * id + 8, len);
}

/* a formatted device, then one with a file, byte for byte */
static void layout_is_the_formats(void **state)
{
	u8 *expected = calloc(1, SMALL);
	struct model_device m;

	fresh(&m, SMALL, 512);
	header_by_hand(expected, 1, 2);
	entry_by_hand(expected + 2 * 4096, 0, 2, 1, 4096);
	entry_by_hand(expected + 2 * 4096, 63, 3, 1, 4096);
	assert_memory_equal(m.safe, expected, SMALL);
	/* the second header; the new table in the first hole that fits, then the file's two blocks; the old table stays */
	put(&m, 3, 0x5a, 5000);
	header_by_hand(expected + 512, 2, 4);
	memcpy(expected + 4 * 4096, expected + 2 * 4096, 4096);
	entry_by_hand(expected + 4 * 4096, 0, 4, 1, 4096);
	entry_by_hand(expected + 4 * 4096, 3, 5, 2, 5000);
	memset(expected + 5 * 4096, 0x5a, 5000);
	assert_memory_equal(m.safe, expected, SMALL);
	model_fini(&m);
	/* with sectors of 4096 the second header is in the second block */
	fresh(&m, SMALL, 4096);
	put(&m, 3, 0x5a, 1);
	header_by_hand(expected, 2, 4);
	assert_memory_equal(m.safe + 4096, expected, 512);
	model_fini(&m);
	free(expected);
}

static void files_are_kept(void **state)
{
	struct model_device m;
	struct vmgs_file f;
	struct vmgs again;

	fresh(&m, SMALL, 512);
	put(&m, 1, 1, 1);
	put(&m, 62, 62, 4096);
	put(&m, 3, 3, 12289);
	put(&m, 1, 7, 4097);
	put(&m, 2, 0, 0);
	memset(&again, 0xff, sizeof(again));
	assert_int_equal(vmgs_open(&again, &m.device), 0);
	assert_true(has(&m, &again, 1, 7, 4097) && has(&m, &again, 62, 62, 4096) && has(&m, &again, 3, 3, 12289));
	assert_true(has(&m, &again, 2, 0, 0));
	assert_true(vmgs_find(&again, 1, &f));
	assert_int_equal(f.len, 4097);
	assert_int_equal(f.allocated, 8192);
	assert_false(f.encrypted);
	assert_int_equal(vmgs_remove(&again, &m.device, 3), 0);
	assert_false(vmgs_find(&again, 3, &f));
	assert_int_equal(vmgs_remove(&again, &m.device, 3), -ENOENT);
	assert_false(vmgs_find(&again, 0, &f) || vmgs_find(&again, 63, &f) || vmgs_find(&again, 64, &f));
	model_fini(&m);
}

static void misuse_is_refused(void **state)
{
	struct model_device m;
	size_t len;
	u8 *data;

	fresh(&m, SMALL, 512);
	put(&m, 5, 5, 100);
	assert_int_equal(vmgs_write(&store, &m.device, 0, "", 1), -EPERM);
	assert_int_equal(vmgs_write(&store, &m.device, 63, "", 1), -EPERM);
	assert_int_equal(vmgs_read(&store, &m.device, 5, 99, &data, &len), -EFBIG);
	assert_int_equal(vmgs_read(&store, &m.device, 6, 99, &data, &len), -ENOENT);
	assert_int_equal(vmgs_write(&store, &m.device, 1, "", UINT64_MAX), -EFBIG);
	store.state = VMGS_CLOSED;
	assert_int_equal(vmgs_read(&store, &m.device, 5, 100, &data, &len), -EBADF);
	assert_int_equal(vmgs_begin_open(&(struct vmgs_operation){ 0 }, &store, SMALL, 1024), -EINVAL);
	assert_int_equal(vmgs_begin_open(&(struct vmgs_operation){ 0 }, &store, 3 * 4096, 512), -EINVAL);
	assert_int_equal(vmgs_begin_open(&(struct vmgs_operation){ 0 }, &store, UINT64_MAX, 512), -EINVAL);
	model_fini(&m);
}

/* 16 blocks: two of headers, two tables, a new table; 11 for data, and a file is rewritten beside itself */
static void a_full_device_says_so_and_goes_on(void **state)
{
	static u8 data[12 * 4096];
	u32 free_count, largest;
	struct model_device m;

	fresh(&m, SMALL, 512);
	vmgs_free_blocks(&store, &free_count, &largest);
	assert_int_equal(free_count, 12);
	assert_int_equal(vmgs_write(&store, &m.device, 1, data, sizeof(data)), -ENOSPC);
	assert_non_null(strstr(store.problem, "12 blocks together"));
	assert_int_equal(vmgs_write(&store, &m.device, 1, data, 11 * 4096), 0);
	assert_int_equal(vmgs_write(&store, &m.device, 1, data, 4096), -ENOSPC);
	/* a table still fits: what is too much can be removed */
	assert_int_equal(vmgs_remove(&store, &m.device, 1), 0);
	put(&m, 2, 2, 4096);
	assert_true(has(&m, &store, 2, 2, 4096));
	model_fini(&m);
}

static void sequence_numbers_wrap(void **state)
{
	struct model_device m;
	struct vmgs again;

	fresh(&m, SMALL, 512);
	store.header.sequence = 0xfffffffd;
	for (u8 i = 1; i < 6; i++) {
		put(&m, 4, i, 10);
		/* the first two are too far from the header of the formatting */
		if (i > 1) {
			assert_int_equal(vmgs_open(&again, &m.device), 0);
			assert_true(has(&m, &again, 4, i, 10));
		}
	}
	assert_int_equal(again.header.sequence, 2);
	model_fini(&m);
}

static const char *opens(struct model_device *m, int error)
{
	assert_int_equal(vmgs_open(&store, &m->device), error);
	assert_true(store.state == VMGS_CLOSED || !error);
	return store.problem;
}

static void wrong_devices_are_told_apart(void **state)
{
	struct model_device m;
	u8 header[512];

	model_init(&m, SMALL, 512, 1);
	assert_non_null(strstr(opens(&m, -ENODATA), "not formatted"));
	memcpy(m.now + 512, "EFI PART", 8);
	assert_non_null(strstr(opens(&m, -EPROTONOSUPPORT), "first format"));
	memset(m.now, 'x', SMALL);
	assert_non_null(strstr(opens(&m, -EINVAL), "not a VMGS"));
	header_by_hand(header, 1, 2);
	memcpy(m.now, header, 512);
	m.now[10] = 2;
	assert_non_null(strstr(opens(&m, -EPROTONOSUPPORT), "version 2.0"));
	memcpy(m.now, header, 512);
	m.now[100] ^= 1;
	assert_non_null(strstr(opens(&m, -EBADMSG), "wrong checksum"));
	header_by_hand(m.now, 1, 16);
	assert_non_null(strstr(opens(&m, -EBADMSG), "at block 16 of 16"));
	memset(m.now + 512, 0, SMALL - 512);
	header_by_hand(m.now, 1, 2);
	opens(&m, 0);
	header_by_hand(m.now + 512, 3, 2);
	assert_non_null(strstr(opens(&m, -EBADMSG), "sequence numbers 1 and 3"));
	header_by_hand(m.now + 512, 1, 2);
	opens(&m, -EBADMSG);
	model_fini(&m);
}

static void wrong_tables_are_refused(void **state)
{
	struct model_device m;
	u8 *table;

	fresh(&m, SMALL, 512);
	table = m.now + 2 * 4096;
	entry_by_hand(table, 4, 15, 2, 4096);
	assert_non_null(strstr(opens(&m, -EBADMSG), "file 4 is outside"));
	entry_by_hand(table, 4, 0xffffffff, 0xffffffff, 4096);
	opens(&m, -EBADMSG);
	entry_by_hand(table, 4, 1, 1, 4096);
	opens(&m, -EBADMSG);
	entry_by_hand(table, 4, 4, 1, 4097);
	assert_non_null(strstr(opens(&m, -EBADMSG), "4097 bytes in 1 blocks"));
	entry_by_hand(table, 4, 2, 1, 0);
	assert_non_null(strstr(opens(&m, -EBADMSG), "over the file table"));
	entry_by_hand(table, 4, 4, 3, 0);
	entry_by_hand(table, 9, 6, 1, 0);
	assert_non_null(strstr(opens(&m, -EBADMSG), "files 4 and 9"));
	entry_by_hand(table, 9, 7, 1, 0);
	opens(&m, 0);
	/* the table's own entry is not believed, and what it names not used */
	entry_by_hand(table, 0, 10, 3, 0);
	opens(&m, 0);
	put(&m, 5, 5, 3 * 4096);
	assert_true(has(&m, &store, 5, 5, 3 * 4096));
	assert_int_equal(store.table.entries[5].offset, 13);
	assert_int_equal(store.table.entries[0].offset, store.header.file_table_offset);
	model_fini(&m);
}

static void encrypted_stores_can_only_be_looked_at(void **state)
{
	struct model_device m;
	struct vmgs_file f;
	size_t len;
	u8 *data;

	fresh(&m, SMALL, 512);
	put(&m, 7, 7, 10);
	/* as another firmware leaves it: algorithm 1, and the file's attributes */
	le32(m.now + 512 + 32, VMGS_ENCRYPTION_AES_GCM);
	le32(m.now + 512 + 12, 0);
	le32(m.now + 512 + 12, crc32_update(0, m.now + 512, 168));
	le32(m.now + 4 * 4096 + 7 * 64 + 44, VMGS_ATTRIBUTE_ENCRYPTED | VMGS_ATTRIBUTE_AUTHENTICATED);
	opens(&m, 0);
	assert_true(vmgs_find(&store, 7, &f) && f.encrypted);
	assert_int_equal(vmgs_read(&store, &m.device, 7, 100, &data, &len), -ENOKEY);
	assert_int_equal(vmgs_write(&store, &m.device, 8, "", 1), -ENOKEY);
	assert_int_equal(vmgs_remove(&store, &m.device, 7), -ENOKEY);
	model_fini(&m);
}

static void a_mark_changes_the_header_only(void **state)
{
	struct vmgs_operation *op = malloc(sizeof(*op));
	struct model_device m;

	fresh(&m, SMALL, 512);
	put(&m, 7, 7, 10);
	for (int on = 1; on >= 0; on--) {
		unsigned writes = m.writes;

		assert_int_equal(vmgs_begin_mark(op, &store, on), 0);
		assert_int_equal(vmgs_run(op, &m.device), 0);
		vmgs_end(op);
		assert_int_equal(m.writes, writes + 1);
		opens(&m, 0);
		assert_int_equal(store.header.markers, on ? VMGS_MARKER_REPROVISIONED : 0);
		assert_true(has(&m, &store, 7, 7, 10));
	}
	assert_int_equal(store.header.sequence, 4);
	free(op);
	model_fini(&m);
}

static void names_are_two_way(void **state)
{
	u32 id = 99;

	assert_string_equal(vmgs_name(3), "tpm-nvram");
	assert_null(vmgs_name(40));
	assert_null(vmgs_name(64));
	assert_true(vmgs_parse_name("tpm-nvram", &id) && id == 3);
	assert_true(vmgs_parse_name("62", &id) && id == 62);
	assert_false(vmgs_parse_name("63", &id) || vmgs_parse_name("0", &id) || vmgs_parse_name("file-table", &id) ||
		     vmgs_parse_name("-1", &id) || vmgs_parse_name("", &id) || vmgs_parse_name("3x", &id));
	assert_int_equal(id, 62);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_the_formats),
		cmocka_unit_test(files_are_kept),
		cmocka_unit_test(misuse_is_refused),
		cmocka_unit_test(a_full_device_says_so_and_goes_on),
		cmocka_unit_test(sequence_numbers_wrap),
		cmocka_unit_test(wrong_devices_are_told_apart),
		cmocka_unit_test(wrong_tables_are_refused),
		cmocka_unit_test(encrypted_stores_can_only_be_looked_at),
		cmocka_unit_test(a_mark_changes_the_header_only),
		cmocka_unit_test(names_are_two_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
