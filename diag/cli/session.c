#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

enum exit_code session_open(struct session *s)
{
	char error[512];

	if (s->fd >= 0)
		return EXIT_OK;
	s->fd = target_connect(&s->target, PORT_CONTROL, s->options->timeout_ms, error, sizeof(error));
	if (s->fd < 0) {
		fprintf(stderr, "pvdiag: %s\n", error);
		return EXIT_NOBODY;
	}
	ttrpc_client_init(&s->client, s->fd);
	return EXIT_OK;
}

void session_close(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static enum exit_code transport_failed(struct session *s, int r)
{
	session_close(s);
	if (r == -ETIMEDOUT)
		fprintf(stderr, "pvdiag: no answer from %s within %g s: the paravisor may be stuck; try pvdiag kmsg, or "
				"--timeout\n", s->target.text, s->options->timeout_ms / 1000.0);
	else if (r == -EPROTO)
		fprintf(stderr, "pvdiag: what answers on %s does not speak ttrpc: is it a paravisor's port %u?\n",
			s->target.text, PORT_CONTROL);
	else
		fprintf(stderr, "pvdiag: the connection to %s ended: %s\n", s->target.text, strerror(-r));
	return r == -ETIMEDOUT || r == -EPIPE || r == -ECONNRESET ? EXIT_NOBODY : EXIT_FAILED;
}

enum exit_code session_call_for(struct session *s, const char *service, const char *method, const struct pb_writer *request,
				unsigned timeout_ms, struct ttrpc_answer *ret)
{
	enum exit_code code = session_open(s);
	struct bytes payload = request ? bytes_of(request->data, request->len) : bytes_of(NULL, 0);

	if (code)
		return code;
	int r = ttrpc_call_method(&s->client, service, method, payload, timeout_ms, ret);

	if (r)
		return transport_failed(s, r);
	if (ret->response.code == TTRPC_OK)
		return EXIT_OK;
	fprintf(stderr, "pvdiag: %s: %.*s (%s)\n", method, (int)ret->response.message.left,
		(const char *)ret->response.message.at, ttrpc_code_name(ret->response.code));
	ttrpc_answer_fini(ret);
	return EXIT_FAILED;
}

enum exit_code session_call(struct session *s, const char *service, const char *method, const struct pb_writer *request,
			    struct ttrpc_answer *ret)
{
	return session_call_for(s, service, method, request, s->options->timeout_ms, ret);
}

enum exit_code session_data(struct session *s, int *ret_fd, u64 *ret_id)
{
	u64 deadline_ns = now_ns() + s->options->timeout_ms * 1000000ull;
	char error[512];
	int fd = target_connect(&s->target, PORT_DATA, s->options->timeout_ms, error, sizeof(error));

	if (fd >= 0 && !ttrpc_read_until(fd, ret_id, sizeof(*ret_id), deadline_ns)) {
		*ret_fd = fd;
		return EXIT_OK;
	}
	fprintf(stderr, "pvdiag: %s\n", fd < 0 ? error : "the data port names no connection");
	if (fd >= 0)
		close(fd);
	return EXIT_NOBODY;
}

/* KmsgRequest {follow 1, conn 2}, FileRequest {follow 1, conn 2, file_path 3} */
enum exit_code session_stream(struct session *s, const char *method, bool follow, const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	struct ttrpc_answer answer;
	struct pb_writer w;
	u64 id;
	enum exit_code code = session_data(s, &fd, &id);

	if (code)
		return code;
	pb_init(&w);
	if (follow)
		pb_u64(&w, 1, 1);
	pb_u64(&w, 2, id);
	if (path)
		pb_string(&w, 3, path);
	code = session_call(s, "diag.UnderhillDiag", method, &w, &answer);
	pb_fini(&w);
	if (code)
		return code;
	ttrpc_answer_fini(&answer);
	*ret_fd = fd;
	fd = -1;
	return EXIT_OK;
}
