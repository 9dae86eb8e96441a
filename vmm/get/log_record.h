/*
 * A record of the kernel's log (/dev/kmsg) as a message of GET's log channel (spec/get.h). No state, no descriptors; any thread.
 * Text in a record may be a guest's doing: whatever it is, the message holds valid JSON in valid UTF-8.
 */
#pragma once

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "spec/get.h"

#define LOG_RECORD_KERNEL 0u /* facility; user space cannot write with it (kernel/printk, devkmsg_write) */

struct log_record {
	u64 sequence, time_us;
	u8 priority;           /* syslog's severity, 0 to 7 */
	u8 facility;
	struct bytes target;   /* "process/domain" of a record of ours; else empty */
	struct bytes text;     /* as the kernel wrote it: other bytes than printable ASCII are \xNN */
};

struct log_message {
	size_t len;
	u8 bytes[GET_LOG_NOTIFICATION_MAX];
};

/* one read() of /dev/kmsg (Documentation/ABI/testing/dev-kmsg); *ret points into it. false: it is no record */
bool log_record_parse(struct bytes raw, struct log_record *ret) __must_check;
/*
 * How grave, in the order of lib/log. The kernel's records are taken in the kernel's order, where a warning is graver than a
 * notice: "notice" lets its warnings pass.
 */
enum log_level log_record_level(const struct log_record *record);
/* text that does not fit ends in "..." */
void log_record_message(const struct log_record *record, struct log_message *ret);
/* what stands for records that were overwritten before they were read */
void log_record_lost(u64 count, u64 time_us, struct log_message *ret);
