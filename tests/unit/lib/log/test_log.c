#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log/log.h"

LOG_DOMAIN("testing");

static int records;

static void count(enum log_level level, const char *domain, const char *text)
{
	records++;
}

static void filter_words(void **state)
{
	char now[128];

	assert_int_equal(log_set_filter("info,testing=debug"), 0);
	records = 0;
	log_at(LOG_DEBUG, "seen");
	assert_int_equal(records, 1);
	assert_int_equal(log_set_filter("testing=loud"), -EINVAL);
	log_get_filter(now, sizeof(now));
	assert_string_equal(now, "info,testing=debug");
	assert_int_equal(log_set_filter("warn"), 0);
	log_at(LOG_DEBUG, "not seen");
	assert_int_equal(records, 1);
}

static void guest_cannot_flood(void **state)
{
	records = 0;
	for (int i = 0; i < 1000; i++)
		log_guest("bad access %d", i);
	assert_in_range(records, 1, 25);
	assert_true(log_suppressed_total() >= 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filter_words),
		cmocka_unit_test(guest_cannot_flood),
	};
	log_set_sink(count);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
