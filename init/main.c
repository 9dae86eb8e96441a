/* The firmware's one binary under its several names: by argv[0], else by argv[1]. */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "diag/crash/crash.h"
#include "diag/dump/dump.h"
#include "diag/perf/perf.h"
#include "diag/server/control.h"
#include "init/init.h"
#include "vmm/worker/worker.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} programs[] = {
	{ "init", init_main },
	{ "control", control_main },
	{ "worker", worker_main },
	{ "crash", crash_main },
	{ "dump", dump_main },
	{ "underhill-dump", dump_main },
	{ "perf", perf_main },
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	for (int at = 0; at < 2 && at < argc; at++)
		for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
			if (!strcmp(base_name(argv[at]), programs[i].name)) {
				/* started as /proc/self/exe, it would be "exe" in every list */
				prctl(PR_SET_NAME, programs[i].name);
				return programs[i].main(argc - at, argv + at);
			}
	/* the kernel may start it by any name given in rdinit= */
	if (getpid() == 1)
		return init_main(argc, argv);
	fprintf(stderr, "usage: paravane init|control|worker\n"
			"This is the firmware's own binary; it runs in VTL2 only.\n");
	return 2;
}
