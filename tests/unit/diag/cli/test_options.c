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
	assert_true(option_given(&o, OPT_RECURSIVE) && option_given(&o, OPT_JSON));
	assert_string_equal(o.words[0], "vm");
	assert_int_equal(parse("/run/a.vsock inspect -l2 a/b --watch=0.5 c"), 0);
	assert_string_equal(o.vm, "/run/a.vsock");
	assert_true(o.number[OPT_DEPTH] == 2);
	assert_int_equal(o.word_count, 2);
	assert_true(option_given(&o, OPT_WATCH) && o.number[OPT_WATCH] == 0.5);
	assert_int_equal(parse("tcp:localhost:4000 kmsg -f"), 0);
	assert_true(option_given(&o, OPT_FOLLOW));
	assert_int_equal(parse("inspect trace/filter -u info,vp=debug"), 0);
	assert_string_equal(o.text[OPT_UPDATE], "info,vp=debug");
	assert_int_equal(parse("crash worker"), 0);
	assert_string_equal(o.words[0], "worker");
	assert_int_equal(parse("inspect -rj -- -odd"), 0);
	assert_string_equal(o.words[0], "-odd");
	assert_int_equal(parse("top --watch"), 0);
	assert_true(o.number[OPT_WATCH] == 1);
	assert_int_equal(o.timeout_ms, 5000);
	assert_int_equal(parse("ping --timeout 0.25 --colour never"), 0);
	assert_int_equal(o.timeout_ms, 250);
	assert_int_equal(o.colour, COLOUR_NEVER);
}

static void another_programs_words_are_not_read(void **state)
{
	assert_int_equal(parse("run -e A=1 --env B= ls -l --color=never -- -x"), 0);
	assert_int_equal(o.env_count, 2);
	assert_string_equal(o.env[1], "B=");
	assert_int_equal(o.word_count, 5);
	assert_string_equal(o.words[0], "ls");
	assert_string_equal(o.words[2], "--color=never");
	assert_string_equal(o.words[4], "-x");
	assert_int_equal(parse("shell"), 0);
	assert_int_equal(parse("start -e A=1 -U B"), 0);
	assert_string_equal(o.env[1], "B");
}

static void mistakes_are_named(void **state)
{
	const struct { const char *line, *part; } bad[] = {
		{ "", "command is missing" }, { "look", "unknown command look" }, { "inspect -l x", "not a number" },
		{ "inspect -z", "-z" }, { "inspect --zap", "--zap" }, { "kmsg a", "takes no words" },
		{ "inspect -u 1", "exactly one PATH" }, { "inspect -f", "--watch" }, { "inspect --json=1", "takes no value" },
		{ "inspect -l nan", "not a number" }, { "run", "PROGRAM" }, { "run -e A ls", "NAME=VALUE" },
		{ "start -U A=1", "a NAME" }, { "file", "PATH" }, { "file a b", "PATH" }, { "kmsg -o x", "takes no --output" },
		{ "ping --color blue", "always" }, { "ping --timeout", "needs a value" }, { "vsock-tcp-relay 1", "TCP-PORT" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i].line), -EINVAL);
		assert_non_null(strstr(error, bad[i].part));
	}
}

/* a command whose options or words are not in the table would be found by a user only */
static void the_table_is_whole(void **state)
{
	for (unsigned i = 0; i < command_count; i++) {
		assert_non_null(commands[i].run);
		assert_true(commands[i].min_words <= commands[i].max_words);
		assert_non_null(strstr(commands[i].examples, commands[i].name));
		assert_true(!commands[i].max_words == !*commands[i].words);
	}
	for (unsigned i = 0; i < OPTIONS; i++) {
		assert_non_null(option_specs[i].help);
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(option_specs[i].name, option_specs[k].name);
			assert_true(!option_specs[i].letter || option_specs[i].letter != option_specs[k].letter);
		}
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
		cmocka_unit_test(another_programs_words_are_not_read),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(the_table_is_whole),
		cmocka_unit_test(targets_are_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
