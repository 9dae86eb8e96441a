/* pvdiag: what its files share */
#pragma once

#include "diag/cli/transport.h"
#include "lib/inspect/node.h"
#include "lib/rpc/client.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 3 };

#define PORT_CONTROL 1
#define PORT_DATA 2
#define PATHS_MAX 64

struct options {
	const char *vm, *command;
	const char *paths[PATHS_MAX];
	unsigned path_count;
	bool recursive, json, follow, help, version, watch;
	unsigned depth;        /* 0: the default of the command */
	unsigned timeout_ms;
	double watch_s;
	const char *update;
	enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER } colour;
};

/* options.c: options may stand anywhere; after "--" come only words. -EINVAL with a sentence in error. */
int options_parse(int argc, char **argv, struct options *ret, char *error, size_t size) __must_check;
extern const char help_text[];

struct session {
	const struct options *options;
	struct target target;
	struct ttrpc_client client;
	int fd;                /* of the control port; -1: not connected */
};

/* connects when not connected; an exit code, with the error said */
enum exit_code session_open(struct session *session);
void session_close(struct session *session);
/*
 * One call on the control port. EXIT_OK: *ret is the caller's to fini. Else said, unless quiet, in the server's words; the
 * session is closed after a transport error.
 */
enum exit_code session_call(struct session *session, const char *service, const char *method, const struct pb_writer *request,
			    struct ttrpc_answer *ret);

/* commands; each returns the exit code */
enum exit_code command_inspect(struct session *session);
enum exit_code command_kmsg(struct session *session);
enum exit_code command_ping(struct session *session);
enum exit_code command_crash(struct session *session);

/* inspect.c */
bool colour_wanted(const struct options *options);
/* the tree's text with names coloured, to stdout */
void print_tree(const char *text, bool colour);
