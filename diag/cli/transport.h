/*
 * How pvdiag reaches a paravisor's vsock ports. One connection a call; blocking sockets. On a Windows host the same protocol
 * runs over AF_HYPERV: that would be one more kind here.
 */
#pragma once

#include "lib/core/types.h"

enum target_kind { TARGET_HYBRID, TARGET_VSOCK, TARGET_TCP };

struct target {
	enum target_kind kind;
	char text[256];    /* as to print: the path, "vsock:3", "tcp:host:port" */
	char path[108];    /* hybrid: a unix socket */
	u32 cid;
	char host[128], service[32];
};

/* does the word look like a VM (a path, vsock:…, tcp:…) rather than a command? */
bool target_is(const char *word);
/* 0, or -EINVAL with a sentence in error */
int target_parse(const char *word, struct target *ret, char *error, size_t size) __must_check;
/* the one machine that runs: *.vsock in ${XDG_RUNTIME_DIR:-/run}/paravane. 0, or -ENOENT/-E2BIG with a sentence in error */
int target_find(struct target *ret, char *error, size_t size) __must_check;
/*
 * A connected socket, or -errno with a sentence in error that says what to do. -EHOSTUNREACH: the machine is there but its
 * paravisor does not answer on that port; -ECONNREFUSED, -ENOENT: nobody is there.
 */
int target_connect(const struct target *target, unsigned port, unsigned timeout_ms, char *error, size_t size) __must_check;
