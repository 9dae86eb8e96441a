#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "lib/state/state.h"

#define TAG_A STATE_TAG('A', ' ', ' ', ' ')
#define TAG_B STATE_TAG('B', ' ', ' ', ' ')

static void records_nest_and_come_back(void **state)
{
	struct saver s;
	struct loader l;
	struct record r, inner;
	u64 value = 0;

	saver_init(&s);
	size_t a = saver_open(&s, TAG_A, 2, 0), b = saver_open(&s, TAG_B, 1, STATE_OPTIONAL);

	saver_u64(&s, 0x1122334455667788);
	saver_close(&s, b);
	saver_close(&s, a);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(loader_init(&l, s.data, s.len), 0);
	assert_int_equal(loader_find(l, TAG_A, 1, &r), -ENOTSUP);
	assert_int_equal(loader_find(l, TAG_B, 1, &r), -ENOENT);
	assert_int_equal(loader_find(l, TAG_A, 2, &r), 0);
	assert_int_equal(loader_find(loader_within(&r), TAG_B, 9, &inner), 0);
	assert_true(bytes_u64(&inner.body, &value));
	assert_int_equal(value, 0x1122334455667788);
	assert_int_equal(loader_unknown(&inner), 0);
	assert_int_equal(loader_unknown(&r), -ENOTSUP);
	s.data[20] ^= 1;
	assert_int_equal(loader_init(&l, s.data, s.len), -EBADMSG);
	assert_int_equal(loader_init(&l, s.data, s.len - 1), -EPROTO);
	saver_fini(&s);
}

static void a_record_cannot_leave_its_parent(void **state)
{
	const u8 raw[] = { 'A', 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4 };
	struct loader l = { bytes_of(raw, sizeof(raw)) };
	struct record r;

	assert_int_equal(loader_next(&l, &r), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_nest_and_come_back),
		cmocka_unit_test(a_record_cannot_leave_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
