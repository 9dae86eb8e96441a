/*
 * Copies bytes one way between two descriptors: a client's data connection on one side, a process's pipe or terminal on the
 * other. Holds one buffer; a reader that does not keep up stops the writer and nobody else. Belongs to one executor.
 */
#pragma once

#include "lib/core/types.h"
#include "lib/task/exec.h"

#define RELAY_CHUNK 8192

enum relay_state { RELAY_IDLE, RELAY_RUNNING, RELAY_LINGERING, RELAY_ENDING };

struct relay {
	struct exec *exec;
	enum relay_state state;
	int from, to;              /* owned */
	/* once; both descriptors are closed and the memory is the owner's again. Never from inside a call of the owner's. */
	void (*ended)(struct relay *);
	void *context;             /* the owner's */
	u64 follow_ns;             /* not 0: the end of `from` is looked for again after so long */
	u64 bytes;
	struct op from_op, to_op, hangup_op, end_op;
	bool from_busy, to_busy, hangup_busy, end_busy;
	struct timer timer;        /* of lingering, or of following */
	size_t len, at;
	u8 data[RELAY_CHUNK];
};

/*
 * Takes over both descriptors and makes them non-blocking. It ends when `from` has ended and all of it was written, when `to`
 * hangs up, on an error, or by relay_stop(). exec and ended (and context) must be set, the rest zero.
 */
void relay_start(struct relay *relay, int from, int to);
/*
 * Only what comes after the data: tells the peer of this socket that no more comes, and holds it until the peer has closed or a
 * time has passed. A socket that is closed with data under way may lose it (hv_sock).
 */
void relay_linger(struct relay *relay, int socket);
/* ends soon, what is in the buffer is dropped; harmless when it has ended */
void relay_stop(struct relay *relay);
static inline bool relay_alive(const struct relay *relay) { return relay->state != RELAY_IDLE; }
