/*
 * Core files of VTL2's processes: the host's end of the crash channel (spec/crash.h). Loop thread. What VTL2 sends is not
 * trusted: size and number are limited, and a dump that does not come to its end keeps another name.
 */
#pragma once

#include "host/vmbus/channel.h"
#include "lib/core/bytes.h"

struct crash_config {
	const char *folder;     /* must be there */
	const char *name;       /* files are NAME-1.core, NAME-2.core ...; kept by the caller */
	u64 max_size;           /* of one core, bytes */
	u32 max_count;          /* dumps begun, for as long as this object lives */
};

struct crash;

/* offers the channel; -errno, said */
int crash_create(struct vmbus *bus, const struct crash_config *config, struct crash **ret) __must_check;
void crash_destroy(struct crash *c);

/* ---- the protocol without the channel, for crash.c and for tests */
struct crash_receiver;

/* answer: what VTL2 is to be sent; -errno, said */
int crash_receiver_create(const struct crash_config *config, void (*answer)(void *ctx, const void *data, u32 len), void *ctx,
			  struct crash_receiver **ret) __must_check;
/* one message of VTL2, valid during the call */
void crash_receiver_take(struct crash_receiver *r, struct bytes message);
/* the channel is closed: what was under way stays as NAME-N.partial */
void crash_receiver_end(struct crash_receiver *r, const char *why);
void crash_receiver_destroy(struct crash_receiver *r);
