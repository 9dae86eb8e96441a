#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/crc32.h"
#include "lib/igvm/igvm.h"
#include "spec/hv_regs.h"

static char err[256];

/* one of everything the writer can do */
static u8 *sample(size_t *len)
{
	struct igvm_supported_platform platform = { 1, 2, IGVM_PLATFORM_VSM_ISOLATION, 1, 0 };
	struct igvm_relocatable_region region = { 1, 0, 2, 7, 2 * MiB, 128 * MiB, 4 * MiB, 128 * MiB, BIT(48) };
	struct igvm_required_memory required = { 128 * MiB, 1, 4 * MiB, 1, 0 };
	struct igvm_parameter parameter = { 0, 16 };
	struct igvm_parameter_insert insert = { 129 * MiB, 1, 0 };
	struct igvm_register regs[] = { { 2, HV_X64_REGISTER_RIP, { 128 * MiB, 0 } }, { 2, HV_X64_REGISTER_RSI, { 5, 6 } } };
	struct igvm_writer w;
	u8 page[PAGE_SIZE] = { 1, 2, 3 }, zero[PAGE_SIZE] = { 0 }, *out = NULL;

	igvm_writer_init(&w);
	igvm_writer_header(&w, IGVM_SUPPORTED_PLATFORM, &platform, sizeof(platform));
	igvm_writer_header(&w, IGVM_RELOCATABLE_REGION, &region, sizeof(region));
	igvm_writer_header(&w, IGVM_REQUIRED_MEMORY, &required, sizeof(required));
	igvm_writer_page(&w, 128 * MiB, 1, 0, page);
	igvm_writer_page(&w, 128 * MiB + PAGE_SIZE, 1, 0, zero);
	igvm_writer_area(&w, 0, PAGE_SIZE);
	igvm_writer_header(&w, IGVM_DEVICE_TREE, &parameter, sizeof(parameter));
	igvm_writer_header(&w, IGVM_PARAMETER_INSERT, &insert, sizeof(insert));
	igvm_writer_header(&w, 0x3F0 | IGVM_OPTIONAL_BIT, "later", 5);
	igvm_writer_vp(&w, 1, regs, ARRAY_SIZE(regs));
	assert_int_equal(igvm_writer_finish(&w, &out, len), 0);
	igvm_writer_fini(&w);
	return out;
}

static void reseal(u8 *data)
{
	struct igvm_fixed_header h;
	u32 crc;

	memcpy(&h, data, sizeof(h));
	h.checksum = 0;
	crc = crc32_update(0, &h, sizeof(h));
	h.checksum = crc32_update(crc, data + h.variable_header_offset, h.variable_header_size);
	memcpy(data, &h, sizeof(h));
}

static void what_was_written_is_read(void **state)
{
	struct igvm_file f;
	struct igvm_cursor c;
	struct igvm_header h;
	struct igvm_register r = { 0 };
	u32 zero_pages = 0, unknown = 0;
	size_t len;
	u64 page_len;
	u8 *data = sample(&len);

	assert_int_equal(igvm_open(data, len, &f, err, sizeof(err)), 0);
	assert_int_equal(f.header_count, 10);
	assert_int_equal(f.skipped_count, 1);
	c = igvm_headers(&f);
	while (igvm_next(&c, &h)) {
		if (h.type == IGVM_PAGE_DATA)
			zero_pages += !igvm_page_bytes(&f, &h.body.page, &page_len);
		if (h.type == IGVM_VP_CONTEXT) {
			assert_int_equal(igvm_register_count(&f, &h.body.vp), 2);
			r = igvm_register_at(&f, &h.body.vp, 1);
		}
		unknown += !h.known;
	}
	assert_int_equal(zero_pages, 1);
	assert_int_equal(unknown, 1);
	assert_int_equal(r.name, HV_X64_REGISTER_RSI);
	assert_int_equal(r.value[1], 6);
	free(data);
}

/* copies of exactly the right length, so that ASan sees a read past the end */
static void cut_off_anywhere_is_refused(void **state)
{
	struct igvm_file f;
	size_t len;
	u8 *data = sample(&len);

	for (size_t n = 0; n < len; n++) {
		u8 *copy = malloc(n + 1);
		u32 total = (u32)n;

		memcpy(copy, data, n);
		assert_int_equal(igvm_open(copy, n, &f, err, sizeof(err)), -EINVAL);
		/* and once more with a header that agrees with the length */
		if (n >= sizeof(struct igvm_fixed_header)) {
			struct igvm_fixed_header h;

			memcpy(&h, copy, sizeof(h));
			h.total_file_size = total;
			memcpy(copy, &h, sizeof(h));
			if (range_within(h.variable_header_offset, h.variable_header_size, 0, n))
				reseal(copy);
			assert_int_equal(igvm_open(copy, n, &f, err, sizeof(err)), -EINVAL);
		}
		free(copy);
	}
	free(data);
}

static volatile u8 sum;

static void walk(const struct igvm_file *f)
{
	struct igvm_cursor c = igvm_headers(f);
	struct igvm_header h;
	u64 len;

	while (igvm_next(&c, &h)) {
		const u8 *page = h.type == IGVM_PAGE_DATA ? igvm_page_bytes(f, &h.body.page, &len) : NULL;

		for (u64 i = 0; page && i < len; i++)
			sum = (u8)(sum + page[i]);
		for (u32 i = 0; h.type == IGVM_VP_CONTEXT && i < igvm_register_count(f, &h.body.vp); i++)
			sum = (u8)(sum + igvm_register_at(f, &h.body.vp, i).vtl);
	}
}

static void no_flipped_bit_does_harm(void **state)
{
	struct igvm_file f;
	size_t len;
	u8 *data = sample(&len);
	struct igvm_fixed_header h;

	memcpy(&h, data, sizeof(h));
	for (u32 bit = 0; bit < (h.variable_header_offset + h.variable_header_size) * 8; bit++) {
		data[bit / 8] ^= (u8)(1 << bit % 8);
		assert_int_equal(igvm_open(data, len, &f, err, sizeof(err)), -EINVAL);
		assert_true(strlen(err) > 10);
		/* the same with a checksum that agrees: accepted or refused, but never read outside */
		if (bit / 8 >= sizeof(h)) {
			reseal(data);
			if (!igvm_open(data, len, &f, err, sizeof(err)))
				walk(&f);
		}
		data[bit / 8] ^= (u8)(1 << bit % 8);
		reseal(data);
	}
	assert_int_equal(igvm_open(data, len, &f, err, sizeof(err)), 0);
	free(data);
}

static void unknown_required_header_is_refused(void **state)
{
	struct igvm_supported_platform platform = { 1, 2, IGVM_PLATFORM_VSM_ISOLATION, 1, 0 };
	struct igvm_writer w;
	struct igvm_file f;
	size_t len;
	u8 *data = NULL;

	igvm_writer_init(&w);
	igvm_writer_header(&w, IGVM_SUPPORTED_PLATFORM, &platform, sizeof(platform));
	igvm_writer_header(&w, 0x3F0, "x", 1);
	assert_int_equal(igvm_writer_finish(&w, &data, &len), 0);
	igvm_writer_fini(&w);
	assert_int_equal(igvm_open(data, len, &f, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "0x3f0"));
	free(data);
}

static void same_calls_same_bytes(void **state)
{
	size_t a_len, b_len;
	u8 *a = sample(&a_len), *b = sample(&b_len);

	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(cut_off_anywhere_is_refused),
		cmocka_unit_test(no_flipped_bit_does_harm),
		cmocka_unit_test(unknown_required_header_is_refused),
		cmocka_unit_test(same_calls_same_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
