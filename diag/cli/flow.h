/* Bytes from one descriptor to another, with room for what the other does not take yet: nobody waits in a write. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct flow {
	int from; /* -1: it has ended */
	int to;   /* -1: it takes no more */
	bool shared; /* `to` is others' too (standard output, and error, may be one socket): it is not told of the end */
	size_t at, len;
	char data[16384];
};

/*
 * What to wait for: [0] the source, while there is room, [1] the destination, while there is something for it. An end that is not
 * waited for has fd -1.
 */
void flow_want(const struct flow *f, struct pollfd ret[2]);
/*
 * After poll(): moves what can be moved. Once the source has ended and all is written, `to` is told (shutdown(), if it is a
 * socket and not shared), and both are -1; so they are once the destination has gone. Descriptors stay the caller's. SIGPIPE is
 * to be ignored.
 */
void flow_move(struct flow *f, const struct pollfd ready[2]);

static inline bool flow_ended(const struct flow *f)
{
	return f->to < 0;
}

/* what comes from in goes to there, what comes from there to out; in and out may be one. Until both have ended. */
void flow_join(int in, int out, int there);
