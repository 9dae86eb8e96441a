#include "diag/server/exec_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rpc/pb.h"

/* openhcl/diag_proto/src/diag.proto */
enum { COMMAND = 1, ARGS, TTY, STDIN, STDOUT, STDERR, COMBINE_STDERR, ENV, CLEAR_ENV, RAW_SOCKET_IO };
enum { ENV_NAME = 1, ENV_VALUE };

struct decoder {
	struct exec_request *request;
	unsigned args;
	size_t used; /* of request->text, which has room for the payload twice: each string is shorter than its field */
};

static int take_text(struct decoder *d, const struct pb_field *f, char **ret)
{
	char *at = d->request->text + d->used;

	if (f->wire != PB_BYTES)
		return -EPROTO;
	if (f->body.left && memchr(f->body.at, 0, f->body.left))
		return -EINVAL;
	if (f->body.left)
		memcpy(at, f->body.at, f->body.left);
	at[f->body.left] = 0;
	d->used += f->body.left + 1;
	*ret = at;
	return 0;
}

static int take_bool(const struct pb_field *f, bool *ret)
{
	*ret = f->value != 0;
	return f->wire == PB_VARINT ? 0 : -EPROTO;
}

static int take_env(struct decoder *d, struct bytes body)
{
	struct exec_request *q = d->request;
	struct pb_field f;
	bool bad = false;
	char *name = NULL, *value = NULL;
	int r = 0;

	while (!r && pb_next(&body, &f, &bad)) {
		if (f.number == ENV_NAME)
			r = take_text(d, &f, &name);
		else if (f.number == ENV_VALUE)
			r = take_text(d, &f, &value);
	}
	if (r || bad)
		return r ? r : -EPROTO;
	if (!name || !*name || strchr(name, '='))
		return -EINVAL;
	if (q->env_count == EXEC_ENV_MAX)
		return -E2BIG;
	q->env[q->env_count].name = name;
	q->env[q->env_count++].value = value;
	return 0;
}

static int take_field(struct decoder *d, const struct pb_field *f)
{
	struct exec_request *q = d->request;

	switch (f->number) {
	case COMMAND: return take_text(d, f, &q->argv[0]);
	case ARGS: return d->args == EXEC_ARGS_MAX ? -E2BIG : take_text(d, f, &q->argv[++d->args]);
	case TTY: return take_bool(f, &q->tty);
	case STDIN: case STDOUT: case STDERR:
		q->connections[f->number - STDIN] = f->value;
		return f->wire == PB_VARINT ? 0 : -EPROTO;
	case COMBINE_STDERR: return take_bool(f, &q->combine_stderr);
	case ENV: return f->wire == PB_BYTES ? take_env(d, f->body) : -EPROTO;
	case CLEAR_ENV: return take_bool(f, &q->clear_env);
	case RAW_SOCKET_IO: return take_bool(f, &q->raw_socket_io);
	}
	return 0;
}

/* StartRequest {env 1, args 2} */
static int take_start_field(struct decoder *d, const struct pb_field *f)
{
	if (f->number == 2)
		return -ENOTSUP;
	return f->number == 1 && f->wire == PB_BYTES ? take_env(d, f->body) : 0;
}

static int decode(struct bytes payload, int (*take)(struct decoder *, const struct pb_field *), bool runs,
		  struct exec_request *ret)
{
	struct exec_request q = { .text = malloc(2 * payload.left + 2) };
	struct decoder d = { .request = &q };
	struct pb_field f;
	bool bad = false;
	int r = q.text ? 0 : -ENOMEM;

	while (!r && pb_next(&payload, &f, &bad))
		r = take(&d, &f);
	if (!r && bad)
		r = -EPROTO;
	if (!r && runs && (!q.argv[0] || !*q.argv[0]))
		r = -EINVAL;
	if (r)
		free(q.text);
	else
		*ret = q;
	return r;
}

int exec_request_decode(struct bytes payload, struct exec_request *ret)
{
	return decode(payload, take_field, true, ret);
}

int start_request_decode(struct bytes payload, struct exec_request *ret)
{
	return decode(payload, take_start_field, false, ret);
}

void exec_request_fini(struct exec_request *q)
{
	free(q->text);
	q->text = NULL;
}
