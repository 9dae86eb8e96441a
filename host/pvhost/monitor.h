/* Monitor: line commands on a unix socket. Loop thread. */
#pragma once

#include "lib/core/types.h"

struct machine;
struct monitor;

int monitor_create(struct machine *m, const char *path, struct monitor **ret) __must_check;
void monitor_destroy(struct monitor *monitor);
