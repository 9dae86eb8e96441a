#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "init/init.h"

static char words[ENVIRONMENT_MAX][256];

static void words_of_ours_are_taken(void **state)
{
	assert_int_equal(
		environment_parse("quiet PARAVANE_LOG=debug  console=ttyS2 OPENHCL_X=\"a b\" \"PARAVANE_Y=c d\"\n",
				  words),
		3);
	assert_string_equal(words[0], "PARAVANE_LOG=debug");
	assert_string_equal(words[1], "OPENHCL_X=a b");
	assert_string_equal(words[2], "PARAVANE_Y=c d");
	assert_int_equal(environment_parse("", words), 0);
	assert_int_equal(environment_parse("XPARAVANE_A=1 PARAVANE_B", words), 0);
}

static void limits_hold(void **state)
{
	char line[70 * 16 + 400] = "";

	memset(line, 'x', 300);
	memcpy(line, "PARAVANE_A=", 11);
	for (int i = 0; i < 70; i++)
		strcat(line, " PARAVANE_B=1");
	assert_int_equal(environment_parse(line, words), ENVIRONMENT_MAX);
	assert_string_equal(words[0], "PARAVANE_B=1");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words_of_ours_are_taken), cmocka_unit_test(limits_hold) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
