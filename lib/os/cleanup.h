/* Scope-bound clean-up: the resource goes when the variable does. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* closes what is open and remembers that it is not any more */
static inline void fd_close(int *fd)
{
	cleanup_closep(fd);
	*fd = -1;
}

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_closep)))
#define _cleanup_free_ __attribute__((cleanup(cleanup_freep)))
