/* ExecRequest and StartRequest of diag.proto, decoded and checked: nothing here runs anything. */
#pragma once

#include "lib/core/bytes.h"

#define EXEC_ARGS_MAX 256
#define EXEC_ENV_MAX 64

enum { EXEC_STDIN, EXEC_STDOUT, EXEC_STDERR, EXEC_FILES };

struct exec_request {
	char *text;                              /* malloc'd; the strings below are in it */
	char *argv[EXEC_ARGS_MAX + 2];           /* argv[0] is the command; NULL at the end */
	struct { char *name, *value; } env[EXEC_ENV_MAX]; /* value NULL: removed */
	unsigned env_count;
	u64 connections[EXEC_FILES];             /* 0: none */
	bool tty, combine_stderr, clear_env, raw_socket_io;
};

/* -EPROTO malformed, -E2BIG too many words, -EINVAL a NUL inside a string or no command; -ENOMEM. On 0 *ret is to be fini'd. */
int exec_request_decode(struct bytes payload, struct exec_request *ret) __must_check;
/* StartRequest: the same pairs of env, and arguments, which are -ENOTSUP. argv stays empty. Otherwise as above. */
int start_request_decode(struct bytes payload, struct exec_request *ret) __must_check;
void exec_request_fini(struct exec_request *request);
