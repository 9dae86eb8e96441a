/*
 * The host's end of GET's log channel: what the firmware logs, one line a record, into a file. Loop thread.
 *
 * VTL2 may be any firmware: at most GUEST_LOG_LINES_A_S lines a second are written; a file of GUEST_LOG_FILE_MAX becomes
 * FILE.1 and a new one is begun. What is left out, also because the file takes nothing, is counted and told in a line of its own.
 */
#pragma once

#include "host/vmbus/channel.h"
#include "lib/core/bytes.h"

#define GUEST_LOG_LINES_A_S 1000u
#define GUEST_LOG_FILE_MAX (64 * MiB)

struct guest_log;

/*
 * where: a path, or "-" for stderr; ",json" behind it, or a name that ends in .jsonl, asks for JSON lines. The file is appended
 * to, or made with mode 0600. Offers the channel. -errno, said.
 */
int guest_log_create(struct loop *loop, struct vmbus *bus, const char *where, struct guest_log **ret) __must_check;
/* after vmbus_destroy(); what waits is written if the file takes it; NULL is fine */
void guest_log_destroy(struct guest_log *g);
/* one packet of the channel, with its pipe header. The channel's own do; it is here for tests. */
void guest_log_take(struct guest_log *g, struct bytes packet);
void guest_log_counts(const struct guest_log *g, u64 *ret_records, u64 *ret_left_out);
