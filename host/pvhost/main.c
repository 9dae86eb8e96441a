#include <signal.h>
#include <stdio.h>

#include "host/pvhost/machine.h"
#include "lib/log/log.h"

enum { EXIT_GUEST_OFF = 0, EXIT_NO_START = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

static struct machine *machine;

static void say(enum log_level level, const char *domain, const char *text)
{
	fprintf(stderr, "pvhost: %s%s: %s\r\n", level == LOG_ERROR ? "error: " : "", domain, text);
}

static void on_signal(int signal_number)
{
	if (machine)
		machine_request(machine, MACHINE_POWERED_OFF);
}

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(argc, argv, &options);

	if (r)
		return r > 0 ? 0 : EXIT_USAGE;
	log_set_sink(say);
	if (log_set_filter(options.log)) {
		fprintf(stderr,
			"pvhost: --log %s: words are LEVEL or DOMAIN=LEVEL, levels error notice warn info debug\n",
			options.log);
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	if (machine_create(&options, &machine))
		return EXIT_NO_START;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	enum machine_end end = machine_run(machine);

	machine_destroy(machine);
	return end == MACHINE_FAILED ? EXIT_FAILED : EXIT_GUEST_OFF;
}
