#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "diag/cli/cli.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum exit_code (*run)(struct session *);
	} commands[] = { { "inspect", command_inspect }, { "kmsg", command_kmsg }, { "ping", command_ping },
			{ "crash", command_crash } };
	struct session s = { .fd = -1 };
	struct options o;
	char error[768];
	enum exit_code code = EXIT_USAGE;

	if (options_parse(argc, argv, &o, error, sizeof(error))) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return EXIT_USAGE;
	}
	if (o.help || o.version) {
		fputs(o.help ? help_text : "pvdiag (Paravane) 0.1\n", stdout);
		return EXIT_OK;
	}
	s.options = &o;
	if (o.vm ? target_parse(o.vm, &s.target, error, sizeof(error)) : target_find(&s.target, error, sizeof(error))) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return o.vm ? EXIT_USAGE : EXIT_NOBODY;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(o.command, commands[i].name))
			code = commands[i].run(&s);
	session_close(&s);
	return code;
}
