/* Commands about one process of the firmware: its end, and a picture of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/cli/cli.h"
#include "lib/os/cleanup.h"

enum exit_code process_find(struct session *s, const char *word, s32 *ret_pid)
{
	struct node *hosts;
	char *end;
	long pid = strtol(word, &end, 10);

	if (end != word && !*end && pid > 0 && pid < 0x7fffffff) {
		*ret_pid = (s32)pid;
		return EXIT_OK;
	}
	enum exit_code code = inspect_fetch(s, "mesh/hosts", 2, &hosts);

	if (code)
		return code;
	*ret_pid = -1;
	for (const struct node *n = hosts->first; n; n = n->next) {
		const struct node *name = node_find(n, "name");

		if (name && name->data && !strcmp((char *)name->data, word))
			*ret_pid = (s32)strtol(n->name, NULL, 10);
	}
	node_destroy(hosts);
	if (*ret_pid > 0)
		return EXIT_OK;
	fprintf(stderr, "pvdiag: %s is neither a process nor an id; pvdiag inspect -r mesh/hosts shows them\n", word);
	return EXIT_FAILED;
}

/* CrashRequest {pid 1} (diag.proto) */
enum exit_code command_crash(struct session *s)
{
	struct ttrpc_answer answer;
	struct pb_writer w;
	s32 pid;
	enum exit_code code = process_find(s, s->options->words[0], &pid);

	if (code)
		return code;
	pb_init(&w);
	pb_u64(&w, 1, (u64)pid);
	code = session_call(s, "diag.UnderhillDiag", "Crash", &w, &answer);
	pb_fini(&w);
	if (!code)
		ttrpc_answer_fini(&answer);
	return code;
}

/* the program has the name under which OpenHCL's client starts it, so this works on both */
enum exit_code command_core_dump(struct session *s)
{
	_cleanup_close_ int out = output_open(s->options);
	char id[16];
	s32 pid;
	enum exit_code code = out < 0 ? EXIT_FAILED : process_find(s, s->options->words[0], &pid);

	if (code)
		return code;
	snprintf(id, sizeof(id), "%d", pid);
	return remote_capture(s, (const char *const[]){ "/bin/underhill-dump", id, NULL }, true, out);
}
