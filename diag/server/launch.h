/*
 * A program's standard files and its start. What a client asked for becomes: descriptors for the program, relays to be started
 * between its pipes or terminal and the client's sockets, and sockets that it was given itself.
 */
#pragma once

#include <sys/types.h>

#include "diag/server/data.h"
#include "diag/server/exec_request.h"

struct launch {
	int child[EXEC_FILES];                        /* the program's 0, 1, 2; -1: the same as this process has */
	struct { int from, to; } relay[EXEC_FILES];   /* -1, -1: none */
	int raw[EXEC_FILES];                          /* sockets in child[] whose end the client is to be told of; -1: none */
};

/*
 * Claims the data connections and makes pipes or a terminal. -errno, with everything closed and a word on what in *ret_what;
 * after 0 all descriptors are the caller's.
 */
int launch_prepare(const struct exec_request *request, struct data_port *data, struct launch *ret,
		   const char **ret_what) __must_check;
/* closes what the caller has not taken out (set to -1) */
void launch_fini(struct launch *launch);
/* forks and executes; the pid, or -errno of whatever failed, execvp() included: then nothing runs */
pid_t launch_start(const struct exec_request *request, const struct launch *launch) __must_check;
