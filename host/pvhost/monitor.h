/* Monitor: line commands on a unix socket. Loop thread. */
#pragma once

#include <stdio.h>

#include "lib/core/types.h"

struct machine;
struct monitor;

int monitor_create(struct machine *m, const char *path, struct monitor **ret) __must_check;
void monitor_destroy(struct monitor *monitor);
/* a command without a client that could wait for its answer; what there is to say goes to out */
void monitor_command(struct machine *m, const char *line, FILE *out);
