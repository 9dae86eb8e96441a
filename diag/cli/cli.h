/* pvdiag: what its files share */
#pragma once

#include "diag/cli/transport.h"
#include "lib/inspect/node.h"
#include "lib/rpc/client.h"

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 3 };

#define PORT_CONTROL 1
#define PORT_DATA 2
#define PORT_GDB 4
#define WORDS_MAX 256
#define ENV_MAX 64

struct session;

/* options that commands share; each command says in a mask which it takes */
enum option_id {
	OPT_RECURSIVE, OPT_DEPTH, OPT_JSON, OPT_UPDATE, OPT_WATCH, OPT_COUNT, OPT_FOLLOW, OPT_RECONNECT, OPT_ENV, OPT_UNSET,
	OPT_CLEAR_ENV, OPT_OUTPUT, OPT_SECONDS, OPT_FREQUENCY, OPT_SYMBOLS, OPT_LEVEL, OPT_DOMAIN, OPT_PROCESS, OPT_REMOTE,
	OPT_PORT, OPT_STDIO,
	/* of every command */
	OPT_TIMEOUT, OPT_COLOUR, OPT_HELP, OPT_VERSION, OPTIONS
};
#define OPT_COMMON (BIT(OPT_TIMEOUT) | BIT(OPT_COLOUR) | BIT(OPT_HELP) | BIT(OPT_VERSION))

struct option_spec {
	char letter;              /* 0: none */
	const char *name, *value; /* value: its name in the help; NULL: a switch */
	bool optional;            /* the value may be left out, and is attached with = */
	double min, max;          /* max not 0: a number */
	const char *help;
};
extern const struct option_spec option_specs[OPTIONS];

struct command {
	const char *name, *words, *summary;
	u64 options;
	unsigned min_words, max_words;
	bool raw;                 /* from the first word on everything is a word: another program's command line */
	const char *examples;     /* printed as they are */
	enum exit_code (*run)(struct session *);
};
extern const struct command commands[];
extern const unsigned command_count;

struct options {
	const char *vm;
	const struct command *command;  /* NULL: none was named, help or version was asked for */
	const char *words[WORDS_MAX];
	unsigned word_count;
	u64 given;                      /* BIT(enum option_id) */
	const char *text[OPTIONS];      /* the last value of each; NULL: not given, or without one */
	double number[OPTIONS];         /* the same as a number, or its default */
	const char *env[ENV_MAX];       /* NAME=VALUE, or NAME to be removed */
	unsigned env_count;
	unsigned timeout_ms;
	enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER } colour;
};
static inline bool option_given(const struct options *o, enum option_id id) { return o->given & BIT(id); }

/*
 * Options may stand anywhere before a raw command's first word; after "--" come only words. -EINVAL with a sentence in error.
 */
int options_parse(int argc, char **argv, struct options *ret, char *error, size_t size) __must_check;
/* help.c: of one command, or of all with NULL; and what a shell needs to complete command lines */
void print_help(const struct command *command);
enum exit_code command_completions(struct session *session);

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
 * One call on the control port. EXIT_OK: *ret is the caller's to fini. Else said, in the server's words; the session is closed
 * after a transport error. timeout_ms 0: waits for ever.
 */
enum exit_code session_call_for(struct session *session, const char *service, const char *method, const struct pb_writer *request,
				unsigned timeout_ms, struct ttrpc_answer *ret);
/* the same with the time that --timeout says */
enum exit_code session_call(struct session *session, const char *service, const char *method, const struct pb_writer *request,
			    struct ttrpc_answer *ret);
/*
 * Kmsg or ReadFile (path: of the latter, else NULL): *ret_fd is the connection that its bytes come on, the caller's. Else said.
 */
enum exit_code session_stream(struct session *session, const char *method, bool follow, const char *path, int *ret_fd);
/* a data connection and its id. EXIT_OK: *ret_fd is the caller's. Else said. */
enum exit_code session_data(struct session *session, int *ret_fd, u64 *ret_id);

/* ---- commands; each returns the exit code */
enum exit_code command_inspect(struct session *session);
enum exit_code command_kmsg(struct session *session);
enum exit_code command_events(struct session *session);
enum exit_code command_ping(struct session *session);
enum exit_code command_run(struct session *session);
enum exit_code command_shell(struct session *session);
enum exit_code command_file(struct session *session);
enum exit_code command_start(struct session *session);
enum exit_code command_restart(struct session *session);
enum exit_code command_pause(struct session *session);
enum exit_code command_resume(struct session *session);
enum exit_code command_dump_saved_state(struct session *session);
enum exit_code command_packet_capture(struct session *session);
enum exit_code command_relay(struct session *session);
enum exit_code command_gdbserver(struct session *session);
enum exit_code command_top(struct session *session);
enum exit_code command_bundle(struct session *session);
enum exit_code command_perf_trace(struct session *session);
enum exit_code command_crash(struct session *session);
enum exit_code command_core_dump(struct session *session);

/* ---- again.c: a command that looks again and again: --watch, --count, until Ctrl-C */
struct again {
	double seconds;
	unsigned left;
	bool counted;          /* else without a limit */
};
/* seconds: what --watch says, or this without it */
void again_begin(struct again *again, const struct options *options, double seconds);
/* sleeps; false: it was enough, or interrupted */
bool again_wait(struct again *again);

/* ---- inspect.c */
bool colour_wanted(const struct options *options);
/* the tree's text with names coloured, to stdout */
void print_tree(const char *text, bool colour);
/* depth levels, at least one. EXIT_OK: *ret is the caller's */
enum exit_code inspect_fetch(struct session *session, const char *path, unsigned depth, struct node **ret);
/* all paths that a pattern with *, ? and [] in its components means; a path without them is itself */
struct paths {
	struct path {
		char *text;
		bool optional;        /* from a pattern: it need not exist */
	} *path;
	unsigned count;
};
/* adds to *ret, which stays the caller's to fini */
enum exit_code paths_expand(struct session *session, const char *pattern, struct paths *ret);
void paths_fini(struct paths *paths);

/* ---- crash.c: the id of a process of the firmware, by its name in mesh/hosts or as a number. EXIT_OK, else said. */
enum exit_code process_find(struct session *session, const char *word, s32 *ret_pid);

/* ---- exec.c: a program in VTL2 */
struct remote {
	const char *const *argv;      /* NULL at the end */
	const char *const *env;       /* "NAME=VALUE" or "NAME"; count of them */
	unsigned env_count;
	bool clear_env, tty, raw;
	bool use_stdin, use_stdout, use_stderr;
	int fds[3];                   /* out: our ends, -1 where not used */
	s32 pid;                      /* out */
};
/* starts it. EXIT_OK: fds are the caller's */
enum exit_code remote_start(struct session *session, struct remote *remote);
void remote_close(struct remote *remote);
/* "NAME=VALUE", or "NAME" to be removed, as EnvPair {name 1, value 2} */
void put_env(struct pb_writer *w, u32 field, const char *text);
/* waits for its end, as long as it takes */
enum exit_code remote_wait(struct session *session, s32 pid, int *ret_exit_code);
/*
 * Runs it to its end with stdout written to out; EXIT_OK: it ended with 0. Else said. raw: the program writes to the connection
 * itself, so that it works also while the control process is stopped.
 */
enum exit_code remote_capture(struct session *session, const char *const *argv, bool raw, int out);

/* ---- vm.c: a file of VTL2 written to out. Else said. */
enum exit_code file_fetch(struct session *session, const char *path, int out);

/* ---- output.c: -o FILE, or stdout when that is no terminal */
/* -1: said */
int output_open(const struct options *options);
/* all of one descriptor to another */
enum exit_code copy_all(int from, int to, const char *what);
