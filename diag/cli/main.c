#include <stdio.h>

#include "diag/cli/cli.h"

int main(int argc, char **argv)
{
	struct session s = { .fd = -1 };
	struct options o;
	char error[768];

	if (options_parse(argc, argv, &o, error, sizeof(error))) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return EXIT_USAGE;
	}
	if (option_given(&o, OPT_HELP)) {
		print_help(o.command);
		return EXIT_OK;
	}
	if (option_given(&o, OPT_VERSION)) {
		puts("pvdiag (Paravane) 0.1");
		return EXIT_OK;
	}
	s.options = &o;
	/* the one command that needs no machine */
	if (o.command->run == command_completions)
		return command_completions(&s);
	if (o.vm ? target_parse(o.vm, &s.target, error, sizeof(error)) : target_find(&s.target, error, sizeof(error))) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return o.vm ? EXIT_USAGE : EXIT_NOBODY;
	}
	enum exit_code code = o.command->run(&s);

	session_close(&s);
	return code;
}
