/* What a store looks like, for people and for programs. */
#pragma once

#include <stdio.h>

#include "lib/vmgs/vmgs.h"

void show_list(const struct vmgs *v, bool json, FILE *out);
/* a device that was never formatted */
void show_empty(const struct vmgs_device *device, bool json, FILE *out);

/* what `check` found */
struct check {
	const struct vmgs_device *device;
	const struct vmgs *store;       /* as it was opened */
	int error;                      /* 0, -ENODATA or what opening said, with store->problem */
	struct vmgs_header headers[2];
	int header_errors[2];
	char header_words[2][VMGS_WORDS_LEN];
	u32 unreadable;                 /* a file's number, 0: all can be read, or are encrypted */
	bool entry_disagrees;           /* the table's own entry names another place than the header */
	u32 too_big;                    /* a file that could not be rewritten for want of room, or 0 */
};
/* "good", "empty", "encrypted" or "bad" */
const char *check_verdict(const struct check *c);
void show_check(const struct check *c, bool json, FILE *out);
void show_hex(const u8 *data, size_t len, FILE *out);
