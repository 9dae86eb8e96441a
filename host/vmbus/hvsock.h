/*
 * hvsock as a hybrid unix socket, the way other VMMs offer it: a client connects to PATH and writes "CONNECT <port>\n",
 * reads "OK <n>\n" and then talks to the VTL2 listener; when VTL2 connects to host port p, PATH_p is connected.
 */
#pragma once

#include "host/vmbus/channel.h"

struct hvsock;

/* makes and listens on path (an old socket there is replaced); errors are logged. Loop thread or before it runs. */
int hvsock_create(struct loop *loop, struct vmbus *bus, const char *path, struct hvsock **ret) __must_check;
/* after vmbus_destroy(); NULL is fine */
void hvsock_destroy(struct hvsock *h);
/* connections now, since start, refused or timed out */
void hvsock_counts(const struct hvsock *h, u64 *ret_now, u64 *ret_total, u64 *ret_failed);
