#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diag/perf/stacks.h"

static char *text_of(const struct stacks *s)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	stacks_print(s, f);
	fclose(f);
	return text;
}

static void equal_stacks_are_counted(void **state)
{
	const u64 a[] = { 0x10, 0x20, 0x30 }, b[] = { 0x11, 0x20, 0x30 };
	struct stacks *s = stacks_create();

	for (unsigned i = 0; i < 3; i++)
		stacks_add(s, "vp0", a, 3);
	stacks_add(s, "vp0", b, 3);
	stacks_add(s, "vp1", a, 3);
	stacks_add(s, "vp1", a, 2);
	char *text = text_of(s);

	/* outermost first, as flame-graph tools want it */
	assert_non_null(strstr(text, "vp0;0x30;0x20;0x10 3\n"));
	assert_non_null(strstr(text, "vp0;0x30;0x20;0x11 1\n"));
	assert_non_null(strstr(text, "vp1;0x30;0x20;0x10 1\n"));
	assert_non_null(strstr(text, "vp1;0x20;0x10 1\n"));
	free(text);
	stacks_destroy(s);
}

static void what_is_too_much_is_counted(void **state)
{
	struct stacks *s = stacks_create();
	u64 deep[2 * STACK_DEPTH_MAX];
	char *text;

	for (u64 i = 0; i < ARRAY_SIZE(deep); i++)
		deep[i] = i + 1;
	stacks_add(s, "vp0", deep, ARRAY_SIZE(deep));
	stacks_add(s, "vp0", NULL, 0);
	for (u64 i = 0; i < STACKS_MAX + 5; i++)
		stacks_add(s, "x", &i, 1);
	text = text_of(s);
	assert_non_null(strstr(text, "vp0 1\n"));
	assert_non_null(strstr(text, ";0x2;0x1 1\n"));
	assert_null(strstr(text, ";0x41;"));
	assert_non_null(strstr(text, "lost 7\n"));
	free(text);
	stacks_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_stacks_are_counted),
		cmocka_unit_test(what_is_too_much_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
