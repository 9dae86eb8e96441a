#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/rpc/pb.h"

static void writes_the_documented_bytes(void **state)
{
	struct pb_writer w;
	/* protobuf.dev: field 1 = 150 is 08 96 01; field 2 = "testing" is 12 07 ...; field 3 { 1: 150 } is 1a 03 08 96 01 */
	const u8 want[] = { 0x08, 0x96, 0x01, 0x12, 0x07, 't', 'e', 's', 't', 'i', 'n', 'g', 0x1a, 0x03, 0x08, 0x96, 0x01,
			    0x20, 0x01 };

	pb_init(&w);
	pb_u64(&w, 1, 150);
	pb_string(&w, 2, "testing");
	size_t mark = pb_open(&w, 3);

	pb_u64(&w, 1, 150);
	pb_close(&w, mark);
	pb_s64(&w, 4, -1);
	assert_false(w.failed);
	assert_int_equal(w.len, sizeof(want));
	assert_memory_equal(w.data, want, sizeof(want));
	pb_fini(&w);
}

static void refuses_what_is_malformed(void **state)
{
	const u8 cut[] = { 0x12, 0x07, 't' }, endless[] = { 0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 };
	const u8 zero[] = { 0x00, 0x00 }, group[] = { 0x0b };
	const struct { const u8 *p; size_t n; } cases[] = {
		{ cut, sizeof(cut) }, { endless, sizeof(endless) }, { zero, sizeof(zero) }, { group, sizeof(group) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = bytes_of(cases[i].p, cases[i].n);
		struct pb_field f;
		bool bad = false;

		assert_false(pb_next(&b, &f, &bad));
		assert_true(bad);
	}
	assert_int_equal(pb_zigzag(1), -1);
	assert_int_equal(pb_zigzag(2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_documented_bytes),
		cmocka_unit_test(refuses_what_is_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
