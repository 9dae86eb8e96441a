/* Where a namespace's blocks are: a file (raw, may be sparse) or RAM. One thread. Errors are -errno, not said. */
#pragma once

#include <sys/uio.h>

#include "lib/core/types.h"

struct backing {
	int fd;        /* through the page cache; -1: RAM */
	int direct_fd; /* O_DIRECT, -1: the file's place does not offer it, or it was not wanted */
	u8 *ram;
	u64 size;
	bool readonly;
	u64 direct, buffered, flushes;
};

#define BACKING_DIRECT_ALIGN 512u

/* path of a file, or ram_size != 0. Says what is wrong. */
int backing_open(struct backing *b, const char *path, u64 ram_size, bool readonly, bool buffered) __must_check;
void backing_close(struct backing *b);
/* the range was checked against size; iov is changed */
int backing_read(struct backing *b, struct iovec *iov, u32 count, u64 offset) __must_check;
int backing_write(struct backing *b, struct iovec *iov, u32 count, u64 offset, bool through) __must_check;
int backing_flush(struct backing *b) __must_check;
/* reads as zeroes afterwards; release: give the space back where that can be done */
int backing_zero(struct backing *b, u64 offset, u64 len, bool release, bool through) __must_check;
