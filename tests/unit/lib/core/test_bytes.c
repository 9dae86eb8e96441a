#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/bytes.h"
#include "lib/core/crc32.h"
#include "lib/core/guid.h"

static void cursor_stops_at_the_end(void **state)
{
	const u8 raw[] = { 1, 2, 3, 4, 5 };
	struct bytes b = bytes_of(raw, sizeof(raw)), sub;
	u32 word = 0;
	u16 half = 7;

	assert_true(bytes_u32(&b, &word));
	assert_int_equal(word, 0x04030201);
	assert_false(bytes_u16(&b, &half));
	assert_int_equal(half, 7);
	assert_int_equal(b.left, 1);
	assert_true(bytes_take(&b, 1, &sub));
	assert_int_equal(sub.at[0], 5);
	assert_false(bytes_skip(&b, SIZE_MAX));
}

static void ranges(void **state)
{
	u64 sum = 3;

	assert_true(add_overflow(~0ull, 1, &sum));
	assert_int_equal(sum, 3);
	assert_true(range_within(~0ull - 15, 16, ~0ull - 15, 16));
	assert_false(range_within(1, ~0ull, 0, 4096));
	assert_true(ranges_overlap(0, 10, 9, 1));
	assert_false(ranges_overlap(0, 10, 10, 1));
	assert_false(ranges_overlap(5, 0, 0, 10));
}

static void crc_and_guid(void **state)
{
	struct guid g, back = { 0 };
	char text[GUID_STRLEN + 1];

	assert_int_equal(crc32_update(0, "123456789", 9), 0xCBF43926); /* the published check value */
	assert_true(guid_parse("8dedd1aa-9056-49e4-BFD6-1bf90dc38ef0", &g));
	assert_int_equal(g.data1, 0x8dedd1aa);
	assert_int_equal(g.data4[0], 0xbf);
	guid_format(&g, text);
	assert_string_equal(text, "8dedd1aa-9056-49e4-bfd6-1bf90dc38ef0");
	assert_false(guid_parse("8dedd1aa-9056-49e4-bfd6-1bf90dc38ef", &back));
	assert_false(guid_parse("8dedd1aa-9056-49e4-bfd6-1bf90dc38ef01", &back));
	assert_int_equal(back.data1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_stops_at_the_end),
		cmocka_unit_test(ranges),
		cmocka_unit_test(crc_and_guid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
