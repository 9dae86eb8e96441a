/* pvvmgs's commands: what they are given, as many as the command wants, and an exit status. */
#pragma once

#include "pvvmgs/file.h"

struct pvvmgs_options {
	bool json, live, force, raw, hex;
	u64 size;
	const char *out; /* NULL: standard output */
};

int command_list(char **arguments, const struct pvvmgs_options *o);
int command_check(char **arguments, const struct pvvmgs_options *o);
int command_dump(char **arguments, const struct pvvmgs_options *o);
int command_create(char **arguments, const struct pvvmgs_options *o);
