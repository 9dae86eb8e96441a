/* Commands that are one call: the VM's life, its state, its files. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

static enum exit_code simple(struct session *s, const char *service, const char *method, const struct pb_writer *request)
{
	struct ttrpc_answer answer;
	enum exit_code code = session_call(s, service, method, request, &answer);

	if (!code)
		ttrpc_answer_fini(&answer);
	return code;
}

enum exit_code command_ping(struct session *s)
{
	u64 start_ns = now_ns();
	enum exit_code code = simple(s, "diag.OpenhclDiag", "Ping", NULL);

	if (!code)
		printf("%s answers after %.1f ms\n", s->target.text, (double)(now_ns() - start_ns) / 1e6);
	return code;
}

enum exit_code command_pause(struct session *s) { return simple(s, "diag.UnderhillDiag", "Pause", NULL); }
enum exit_code command_resume(struct session *s) { return simple(s, "diag.UnderhillDiag", "Resume", NULL); }
enum exit_code command_restart(struct session *s) { return simple(s, "diag.UnderhillDiag", "Restart", NULL); }

/* StartRequest {env 1 {name 1, value 2}} */
enum exit_code command_start(struct session *s)
{
	const struct options *o = s->options;
	struct pb_writer w;

	pb_init(&w);
	for (unsigned i = 0; i < o->env_count; i++)
		put_env(&w, 1, o->env[i]);
	enum exit_code code = simple(s, "diag.UnderhillDiag", "Start", &w);

	pb_fini(&w);
	return code;
}

static enum exit_code read_file(struct session *s, const char *path, bool follow, int out)
{
	_cleanup_close_ int fd = -1;
	enum exit_code code = session_stream(s, "ReadFile", follow, path, &fd);

	return code ? code : copy_all(fd, out, path);
}

enum exit_code file_fetch(struct session *s, const char *path, int out)
{
	return read_file(s, path, false, out);
}

enum exit_code command_file(struct session *s)
{
	const struct options *o = s->options;
	_cleanup_close_ int out = o->text[OPT_OUTPUT] ? output_open(o) : dup(STDOUT_FILENO);

	return out < 0 ? EXIT_FAILED : read_file(s, o->words[0], option_given(o, OPT_FOLLOW), out);
}

/* DumpSavedStateResponse {data 1} */
enum exit_code command_dump_saved_state(struct session *s)
{
	_cleanup_close_ int out = output_open(s->options);
	struct ttrpc_answer answer;
	struct pb_field f;
	bool bad = false;

	if (out < 0)
		return EXIT_FAILED;
	enum exit_code code = session_call(s, "diag.UnderhillDiag", "DumpSavedState", NULL, &answer);

	if (code)
		return code;
	for (struct bytes b = answer.response.payload; !code && pb_next(&b, &f, &bad);)
		if (f.number == 1 && f.wire == PB_BYTES && fd_write_all(out, f.body.at, f.body.left))
			code = EXIT_FAILED;
	ttrpc_answer_fini(&answer);
	if (bad || code)
		fprintf(stderr, "pvdiag: the saved state cannot be %s\n", bad ? "read" : "written");
	return bad ? EXIT_FAILED : code;
}
