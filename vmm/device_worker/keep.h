/*
 * A device's process and what it wants kept: on DEVICE_FD_PARENT it asks, one request at a time, and its parent answers
 * (vmm/vmgs/keeper.h). Little endian; both ends come from one build, and the parent does not trust the process.
 */
#pragma once

#include "lib/log/log.h"

#define KEEP_LEN_MAX (1u << 20) /* of a file */
#define KEEP_TEXT_MAX 240u

enum keep_operation {
	KEEP_HELLO = 1, /* the answer is a u32: how often the process was started before, in this life of the machine */
	KEEP_LOAD,      /* file; the answer is what is in it, or -ENOENT */
	KEEP_STORE,     /* file, bytes; 0: it lasts as long as anything does here */
	KEEP_READY,     /* the device is ready to serve */
	KEEP_SAY,       /* text for the log, `file` is its level; no answer */
	KEEP_OPERATIONS,
};

struct keep_request {
	u32 operation, file, len; /* len: of what follows */
};
_Static_assert(sizeof(struct keep_request) == 12, "keep request");

struct keep_reply {
	s32 error; /* 0 or -errno, then len is 0 */
	u32 len;
};
_Static_assert(sizeof(struct keep_reply) == 8, "keep reply");

/* ---- the process's side: waits for the answer. -errno of the answer, or -EPIPE: the parent is gone. */
int keep_hello(int fd, u32 *ret_starts) __must_check;
/* *ret_data is malloc()ed, the caller's; -ENOENT: there never was one */
int keep_load(int fd, u32 file, u8 **ret_data, size_t *ret_len) __must_check;
int keep_store(int fd, u32 file, const void *data, size_t len) __must_check;
int keep_ready(int fd) __must_check;
/* from then on the log goes that way; it is lost where nobody reads */
void keep_log(int fd);
