#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "diag/cli/cli.h"

/* CrashRequest {pid 1} (diag.proto) */
enum exit_code command_crash(struct session *s)
{
	struct ttrpc_answer answer;
	struct pb_writer w;
	char *end;

	errno = 0;
	long pid = strtol(s->options->paths[0], &end, 10);

	if (errno || *end || end == s->options->paths[0] || pid < 1 || pid > 0x7fffffff) {
		fprintf(stderr, "pvdiag: crash %s: not the id of a process; pvdiag inspect -r proc shows them\n",
			s->options->paths[0]);
		return EXIT_USAGE;
	}
	pb_init(&w);
	pb_u64(&w, 1, (u64)pid);
	enum exit_code code = session_call(s, "diag.UnderhillDiag", "Crash", &w, &answer);

	pb_fini(&w);
	if (!code)
		ttrpc_answer_fini(&answer);
	return code;
}
