/*
 * VMGS, the store of a virtual machine's own state (spec/vmgs.h): files by number on a small block device.
 *
 * Nothing here does I/O. An operation is begun, then says step by step what to read, write or flush; whoever owns the device
 * does it, at once (vmgs_run()) or when the host has answered, and says how it went. One operation at a time on a store, one
 * thread.
 *
 * A change goes to blocks that no file has, together with a new file table; a flush; the new header, into the place of the
 * older one; a flush. So at any moment the device holds the state before or the state after, whatever of the writes since the
 * last flush was lost, as long as a sector is written whole or not at all.
 */
#pragma once

#include "spec/vmgs.h"

/* what this code takes: less has no room for one file beside the tables; more is no guest state */
#define VMGS_CAPACITY_MIN (4ull * VMGS_BLOCK_SIZE)
#define VMGS_CAPACITY_MAX (4 * GiB)
#define VMGS_PROBLEM_LEN 200
#define VMGS_WORDS_LEN 80

enum vmgs_state {
	VMGS_CLOSED,
	VMGS_OPEN,
	VMGS_DOUBT, /* a header's write failed: which of two states the device has is not known until it is opened again */
};

struct vmgs {
	enum vmgs_state state;
	u64 capacity; /* bytes; what is behind the last whole block is not used */
	u32 sector_size;
	unsigned active;           /* place of the header that counts */
	struct vmgs_header header;
	struct vmgs_file_table table;
	char problem[VMGS_PROBLEM_LEN]; /* of the operation that failed last: what is wrong, for people */
};

struct vmgs_file {
	u64 len, allocated; /* bytes */
	u32 block;          /* its first */
	bool encrypted;
};

enum vmgs_step_kind { VMGS_READ, VMGS_WRITE, VMGS_FLUSH };

/* one thing to do with the device: whole sectors; a flush has neither offset nor data */
struct vmgs_step {
	enum vmgs_step_kind kind;
	u64 offset;
	void *data;
	size_t len;
};

enum vmgs_operation_kind { VMGS_OPERATION_OPEN, VMGS_OPERATION_FORMAT, VMGS_OPERATION_READ, VMGS_OPERATION_COMMIT };

struct vmgs_operation {
	struct vmgs *store;
	enum vmgs_operation_kind kind;
	unsigned stage;
	int error;
	u8 *data;                  /* a file's bytes, padded to whole blocks; wiped when freed */
	size_t len, room;          /* of the file; of data */
	u64 offset;                /* of data on the device */
	unsigned next_active;
	struct vmgs_header next_header;
	struct vmgs_file_table next_table;
	u8 sectors[2 * VMGS_BLOCK_SIZE]; /* the headers */
};

/*
 * Begin: 0, or -errno and problem says why; then there are no steps, and vmgs_end() is not needed. Steps end with an error in
 * op->error the same way. Errors: -ENODATA the device was never formatted (all zero), -EINVAL no VMGS, -EPROTONOSUPPORT a
 * VMGS of another version, -EBADMSG damaged, -ENOKEY encrypted, -ENOENT no such file, -EFBIG, -ENOSPC, -ENOMEM, -EPERM an id
 * that is the format's own, -EBADF not open, -EIO and what else the device says.
 */
int vmgs_begin_open(struct vmgs_operation *op, struct vmgs *v, u64 capacity, u32 sector_size) __must_check;
/* makes it empty, whatever was there; open afterwards */
int vmgs_begin_format(struct vmgs_operation *op, struct vmgs *v, u64 capacity, u32 sector_size) __must_check;
/* op->data, op->len until vmgs_end(); -EFBIG for a file of more than max bytes */
int vmgs_begin_read(struct vmgs_operation *op, struct vmgs *v, u32 id, u64 max) __must_check;
/* the file is these bytes afterwards; data is copied. The old ones are free for the write after this one. */
int vmgs_begin_write(struct vmgs_operation *op, struct vmgs *v, u32 id, const void *data, u64 len) __must_check;
int vmgs_begin_remove(struct vmgs_operation *op, struct vmgs *v, u32 id) __must_check;
/* sets or clears the mark of a store that was made anew on request (VMGS_MARKER_REPROVISIONED); also of an encrypted one */
int vmgs_begin_mark(struct vmgs_operation *op, struct vmgs *v, bool reprovisioned) __must_check;

/* what to do now; false: it is over, see op->error */
bool vmgs_next(struct vmgs_operation *op, struct vmgs_step *ret);
/* the step that vmgs_next() gave was done: 0 or -errno */
void vmgs_stepped(struct vmgs_operation *op, int error);
/* frees and wipes; also of an operation that is not over, whose change then did or did not happen */
void vmgs_end(struct vmgs_operation *op);

/* false: there is none. The tables, 0 and 63, are no files. */
bool vmgs_find(const struct vmgs *v, u32 id, struct vmgs_file *ret);
/* a header by itself: 0, or an error as above (-ENODATA: zeroes), and in words why */
int vmgs_judge_header(const struct vmgs_header *h, u64 capacity, char words[VMGS_WORDS_LEN]) __must_check;
/* "tpm-nvram"; NULL: a number without a name */
const char *vmgs_name(u32 id);
/* a name or a number, of a file; false: neither */
bool vmgs_parse_name(const char *text, u32 *ret_id);
/* free blocks, and how many of them lie together at most */
void vmgs_free_blocks(const struct vmgs *v, u32 *ret_free, u32 *ret_largest);

/* a device that answers at once. read and write: whole sectors within capacity; all: 0 or -errno */
struct vmgs_device {
	int (*read)(void *context, u64 offset, void *data, size_t len);
	int (*write)(void *context, u64 offset, const void *data, size_t len);
	int (*flush)(void *context);
	void *context;
	u64 capacity;
	u32 sector_size;
};

/*
 * May a device whose headers are zeroes (-ENODATA) be formatted? Never formatted, or formatting was cut short, which leaves
 * whatever else was there. But some file systems begin with a KiB, or 64, of nothing: what has neither a VHD's footer behind
 * it nor the first thing that formatting writes, a table that names itself, must be blank but for the places of the tables.
 * 1, 0, or -errno of the device.
 */
int vmgs_may_be_formatted(const struct vmgs_device *device, bool has_footer);
/* all steps of an operation; op->error */
int vmgs_run(struct vmgs_operation *op, const struct vmgs_device *device) __must_check;
int vmgs_open(struct vmgs *v, const struct vmgs_device *device) __must_check;
int vmgs_format(struct vmgs *v, const struct vmgs_device *device) __must_check;
/* *ret_data is malloc()ed, the caller's; NULL for an empty file */
int vmgs_read(struct vmgs *v, const struct vmgs_device *device, u32 id, u64 max, u8 **ret_data, size_t *ret_len) __must_check;
int vmgs_write(struct vmgs *v, const struct vmgs_device *device, u32 id, const void *data, u64 len) __must_check;
int vmgs_remove(struct vmgs *v, const struct vmgs_device *device, u32 id) __must_check;
