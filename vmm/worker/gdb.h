/*
 * The gdbstub: VTL0 as a target of lib/gdb, on vsock port 4. The worker has it, because it owns the VPs; the control process
 * listens and gives the listening socket along (link.h), unless the policy says that nobody is to debug. One client at a time.
 *
 * Main's, but for what the VPs' threads call. While a client is attached, gdb's all-stop holds VPs by vp_hold(); time goes on.
 */
#pragma once

#include "lib/inspect/inspect.h"

struct worker;
struct gdb_server;

/* before VP threads run. NULL in *ret: no socket was given. -ENOMEM, said. */
int gdb_server_create(struct worker *w, int listen_fd, struct gdb_server **ret) __must_check;
/* all VPs are open: clients are taken from now on. NULL is fine. */
void gdb_server_start(struct gdb_server *s);
void gdb_server_inspect(void *server, struct inspect *in);
