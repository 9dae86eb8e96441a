#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "diag/cli/cli.h"

static struct options o;
static char error[256];

static int parse(const char *line)
{
	static char text[256];
	char *argv[32] = { 0 };
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	return options_parse(argc, argv, &o, error, sizeof(error));
}

static void options_stand_anywhere(void **state)
{
	assert_int_equal(parse("-r inspect vm -j"), 0);
	assert_true(o.recursive && o.json);
	assert_string_equal(o.paths[0], "vm");
	assert_int_equal(parse("/run/a.vsock inspect -l2 a/b --watch=0.5 c"), 0);
	assert_string_equal(o.vm, "/run/a.vsock");
	assert_int_equal(o.depth, 3);
	assert_int_equal(o.path_count, 2);
	assert_true(o.watch && o.watch_s == 0.5);
	assert_int_equal(parse("tcp:localhost:4000 kmsg -f"), 0);
	assert_true(o.follow);
	assert_int_equal(parse("inspect trace/filter -u info,vp=debug"), 0);
	assert_string_equal(o.update, "info,vp=debug");
	assert_int_equal(parse("crash 33"), 0);
	assert_string_equal(o.paths[0], "33");
	assert_int_equal(parse("inspect -rj -- -odd"), 0);
	assert_string_equal(o.paths[0], "-odd");
}

static void mistakes_are_named(void **state)
{
	const struct { const char *line, *part; } bad[] = {
		{ "", "command is missing" }, { "look", "unknown command look" }, { "inspect -l x", "not a number" },
		{ "inspect -z", "-z" }, { "inspect --zap", "--zap" }, { "kmsg a", "takes no paths" },
		{ "inspect -u 1", "exactly one PATH" }, { "inspect -f", "--watch" }, { "inspect --json=1", "takes no value" },
		{ "inspect -l nan", "not a number" }, { "crash", "one process" }, { "crash 1 2", "one process" },
		{ "crash -r 1", "takes no paths" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i].line), -EINVAL);
		assert_non_null(strstr(error, bad[i].part));
	}
}

static void targets_are_parsed(void **state)
{
	struct target t;

	assert_int_equal(target_parse("vsock:3", &t, error, sizeof(error)), 0);
	assert_int_equal(t.kind, TARGET_VSOCK);
	assert_int_equal(t.cid, 3);
	assert_int_equal(target_parse("vsock:/a/b", &t, error, sizeof(error)), 0);
	assert_int_equal(t.kind, TARGET_HYBRID);
	assert_string_equal(t.path, "/a/b");
	assert_int_equal(target_parse("tcp:::1:22", &t, error, sizeof(error)), 0);
	assert_string_equal(t.host, "::1");
	assert_int_equal(target_parse("tcp:host", &t, error, sizeof(error)), -EINVAL);
	assert_int_equal(target_parse("vsock:x", &t, error, sizeof(error)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(targets_are_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
