/* Whole files and whole writes. Functions return 0 or -errno and say nothing: the caller knows what the file was for. */
#pragma once

#include "lib/core/types.h"

/* reads all of path (also from /proc) into malloc'd memory with a 0 behind it; -EFBIG past max bytes */
int file_read(const char *path, size_t max, u8 **ret_data, size_t *ret_len) __must_check;
/* writes text to an existing file (sysfs, procfs) */
int file_write_text(const char *path, const char *text) __must_check;
/* writes all of data, restarting on EINTR and short writes */
int fd_write_all(int fd, const void *data, size_t len) __must_check;
/* reads exactly len bytes; -EPIPE at an early end */
int fd_read_all(int fd, void *data, size_t len) __must_check;
/* monotonic time */
u64 now_ns(void);
