/* A guest-state file as a device for lib/vmgs. Errors are said on stderr, with what to do. */
#pragma once

#include "lib/vmgs/vmgs.h"

enum { PVVMGS_BAD_FILE = 1, PVVMGS_USAGE = 2, PVVMGS_TROUBLE = 3 }; /* exit status */

enum file_mode { FILE_LOOK, FILE_LOOK_LIVE, FILE_CHANGE };

struct file {
	const char *path;
	int fd;
	struct vmgs_device device;
	bool has_footer; /* a VHD's, behind the device */
};

/* 0 or an exit status. FILE_LOOK_LIVE: also while somebody writes. file_close() is due in any case. */
int file_open(struct file *f, const char *path, enum file_mode mode) __must_check;
/* a new file of size bytes, with a VHD's footer unless raw; -EEXIST is an exit status too. Not formatted yet. */
int file_create(struct file *f, const char *path, u64 size, bool raw) __must_check;
void file_close(struct file *f);
/* vmgs_open(); -ENODATA only for what may be formatted. Anything else of zeroes is -EINVAL, with a problem. */
int file_open_store(struct file *f, struct vmgs *ret) __must_check;
