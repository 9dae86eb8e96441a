/*
 * Copies records of the kernel log to a data connection, each followed by a NUL (facts B6), until the log is through, or for
 * ever when following. Holds one record at a time: a reader that does not keep up loses records in the kernel's ring, which
 * are counted, and stalls nobody. Belongs to one executor.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

#define STREAM_RECORD_MAX 2048 /* with its NUL */
#define STREAMS_MAX 16

struct streams {
	struct exec *exec;
	struct list_node list;
	unsigned count;
	u64 started, records, lost;
};

void streams_init(struct streams *streams, struct exec *exec);
/* ends all; memory of each goes when its operations have come back, streams itself may go then */
void streams_fini(struct streams *streams);
/*
 * source: non-blocking, gives one record a read(2) as /dev/kmsg does. Takes both descriptors over, also on failure.
 * -EBUSY: too many; -ENOMEM.
 */
int stream_start(struct streams *streams, int source, int conn, bool follow) __must_check;
void streams_inspect(void *streams, struct inspect *in);
