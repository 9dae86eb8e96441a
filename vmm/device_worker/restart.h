/*
 * When a device's process that died is started again: at once, then after 1 s, 2 s, 4 s and so on up to a minute; a process that
 * lived for ten minutes begins anew. After so many deaths in a row it is left dead, for whoever looks.
 */
#pragma once

#include "lib/core/types.h"

#define RESTART_ROW_MAX 8u

struct restart {
	u64 started_ns;
	u32 row;      /* deaths, one soon after the other */
	u32 deaths;
	bool given_up;
};

void restart_started(struct restart *r, u64 now_ns);
/* true: start it again at *ret_at_ns; false: not any more */
bool restart_died(struct restart *r, u64 now_ns, u64 *ret_at_ns);
