/* Records of the kernel's log as the diagnostics server sends them, each with a NUL behind it (facts B6). */
#pragma once

#include "diag/cli/cli.h"

#define RECORD_MAX 4096

struct record {
	unsigned level;             /* syslog's: 0 emergency to 7 debug */
	unsigned facility;          /* 0: the kernel */
	unsigned long long sequence, us;
	const char *text;           /* without the continuation lines; in the buffer that was parsed */
	int text_len;
	char process[24], domain[24]; /* of a record of ours, "process/domain: text"; else "kernel" and "" */
	const char *message;        /* what follows them */
	int message_len;
};

/* "priority,sequence,microseconds,flags[,…];text\n KEY=value\n" (Documentation/ABI/testing/dev-kmsg); false: not one */
bool record_parse(const char *data, struct record *ret);

/*
 * Opens the log and calls each() for every record until it ends or each() says false. EXIT_OK at the end; else said.
 */
enum exit_code records_read(struct session *session, bool follow, bool (*each)(void *context, const char *record), void *context);
