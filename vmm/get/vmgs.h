/*
 * The host's guest-state device, by GET's VMGS requests (spec/get.h): whole sectors, one request at a time. Belongs to GET's
 * executor. What it holds is lib/vmgs's business. The host's numbers are checked before they are believed.
 */
#pragma once

#include "vmm/get/get.h"

enum get_vmgs_kind { GET_VMGS_KIND_INFO, GET_VMGS_KIND_READ, GET_VMGS_KIND_WRITE, GET_VMGS_KIND_FLUSH };

/* the caller's memory, until no request is under way */
struct get_vmgs {
	struct get *get;
	/* known after the first request, which must be for the info */
	u64 capacity;                        /* bytes */
	u32 sector_size, physical_sector_size;
	u32 transfer_max;                    /* bytes a message, whole physical sectors */
	u64 reads, writes, flushes, bytes_read, bytes_written, failures, retries;
	/* private */
	struct get_question question;
	bool busy, silent;                   /* silent: an answer never came */
	enum get_vmgs_kind kind;
	u64 offset;
	u8 *at;                              /* what is still to be read or written */
	size_t left;
	u32 part, tries;
	int outcome;                         /* of a well-formed answer */
	void (*done)(void *context, int error);
	void *context;
};

void get_vmgs_init(struct get_vmgs *v, struct get *get);
/*
 * done() once, perhaps before this returns: 0; -ENODEV (info) the host has no such device; -EIO; -EPROTO what the host said
 * makes no sense; -EPIPE the channel is gone; -ETIMEDOUT, and from then on -EIO at once: a late answer could not be told from
 * the next one's. offset and len: whole sectors within capacity. data is the caller's until done().
 */
void get_vmgs_submit(struct get_vmgs *v, enum get_vmgs_kind kind, u64 offset, void *data, size_t len,
		     void (*done)(void *context, int error), void *context);
void get_vmgs_inspect(void *v, struct inspect *in);
