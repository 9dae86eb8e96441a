/* A program in VTL2, by diag.UnderhillDiag's Exec and Wait, with its standard files on data connections. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"

/* openhcl/diag_proto/src/diag.proto */
enum { COMMAND = 1, ARGS, TTY, STDIN, STDOUT, STDERR, COMBINE_STDERR, ENV, CLEAR_ENV, RAW_SOCKET_IO };
enum { ENV_NAME = 1, ENV_VALUE };

void remote_close(struct remote *r)
{
	for (unsigned i = 0; i < ARRAY_SIZE(r->fds); i++) {
		if (r->fds[i] >= 0)
			close(r->fds[i]);
		r->fds[i] = -1;
	}
}

void put_env(struct pb_writer *w, u32 field, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t mark = pb_open(w, field);

	pb_bytes(w, ENV_NAME, text, equals ? (size_t)(equals - text) : strlen(text));
	if (equals)
		pb_string(w, ENV_VALUE, equals + 1);
	pb_close(w, mark);
}

static void put_request(struct pb_writer *w, const struct remote *r, const u64 ids[3])
{
	pb_string(w, COMMAND, r->argv[0]);
	for (unsigned i = 1; r->argv[i]; i++)
		pb_string(w, ARGS, r->argv[i]);
	if (r->tty)
		pb_u64(w, TTY, 1);
	for (unsigned i = 0; i < 3; i++)
		if (ids[i])
			pb_u64(w, STDIN + i, ids[i]);
	for (unsigned i = 0; i < r->env_count; i++)
		put_env(w, ENV, r->env[i]);
	if (r->clear_env)
		pb_u64(w, CLEAR_ENV, 1);
	if (r->raw)
		pb_u64(w, RAW_SOCKET_IO, 1);
}

/* ExecResponse {pid 1}, WaitResponse {exit_code 1}: one int32, zero when it is left out */
static enum exit_code take_number(struct ttrpc_answer *answer, s32 *ret)
{
	struct bytes b = answer->response.payload;
	struct pb_field f;
	bool bad = false;

	*ret = 0;
	while (pb_next(&b, &f, &bad))
		if (f.number == 1 && f.wire == PB_VARINT)
			*ret = (s32)f.value;
	ttrpc_answer_fini(answer);
	if (bad)
		fprintf(stderr, "pvdiag: the answer cannot be read\n");
	return bad ? EXIT_FAILED : EXIT_OK;
}

enum exit_code remote_start(struct session *s, struct remote *r)
{
	const bool wanted[3] = { r->use_stdin, r->use_stdout, r->use_stderr };
	enum exit_code code = EXIT_OK;
	struct ttrpc_answer answer;
	u64 ids[3] = { 0 };
	struct pb_writer w;

	for (unsigned i = 0; i < 3; i++)
		r->fds[i] = -1;
	for (unsigned i = 0; i < 3 && !code; i++)
		if (wanted[i])
			code = session_data(s, &r->fds[i], &ids[i]);
	if (!code) {
		pb_init(&w);
		put_request(&w, r, ids);
		code = session_call(s, "diag.UnderhillDiag", "Exec", &w, &answer);
		pb_fini(&w);
	}
	if (!code)
		code = take_number(&answer, &r->pid);
	if (code)
		remote_close(r);
	return code;
}

enum exit_code remote_wait(struct session *s, s32 pid, int *ret_exit_code)
{
	struct ttrpc_answer answer;
	struct pb_writer w;
	s32 number;

	pb_init(&w);
	pb_u64(&w, 1, (u64)pid);
	enum exit_code code = session_call_for(s, "diag.UnderhillDiag", "Wait", &w, 0, &answer);

	pb_fini(&w);
	if (!code)
		code = take_number(&answer, &number);
	if (!code)
		*ret_exit_code = number;
	return code;
}

enum exit_code remote_capture(struct session *s, const char *const *argv, bool raw, int out)
{
	struct remote r = { .argv = argv, .use_stdout = true, .use_stderr = true, .raw = raw };
	enum exit_code code = remote_start(s, &r);
	int status;

	if (code)
		return code;
	code = copy_all(r.fds[1], out, argv[0]);
	if (!code)
		code = copy_all(r.fds[2], STDERR_FILENO, argv[0]);
	remote_close(&r);
	if (!code)
		code = remote_wait(s, r.pid, &status);
	if (code || !status)
		return code;
	fprintf(stderr, "pvdiag: %s ended with %d\n", argv[0], status);
	return EXIT_FAILED;
}
