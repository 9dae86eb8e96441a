/*
 * The firmware's log to the host: what is in the kernel's log goes, record by record, through GET's log channel, also what was
 * there before the channel opened. A host without that channel, or one that does not read, costs nothing but the records that
 * the kernel's log loses meanwhile; they are counted and told. Belongs to the control process's executor.
 *
 * Nothing here logs because of a record: that would be one more to send.
 */
#pragma once

#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

struct host_log;

/* the way to the host, uio in the firmware; the same answers as uio_open() and uio_send() */
struct host_log_port {
	int (*open)(void *context, struct host_log *log);
	int (*send)(void *context, const void *message, size_t len);
	void (*close)(void *context);
	void (*inspect)(void *context, struct inspect *in); /* NULL: nothing to show */
};

/*
 * Looks for the channel now and, while there is none, again and again. filter: "off", or the least grave level of lib/log that
 * is sent; NULL: info; one not understood is said and taken as info. NULL: out of memory, said. kmsg: path, must live on.
 */
struct host_log *host_log_create(struct exec *exec, const struct host_log_port *port, void *context, const char *kmsg,
				 const char *filter);
/* with uio as its port and PARAVANE_HOST_LOG as its filter */
struct host_log *host_log_start(struct exec *exec, const char *kmsg);
/* memory goes when the operation in flight has ended; NULL is fine. The port is the caller's to close. */
void host_log_destroy(struct host_log *log);

/* from the port: the host has room again; the channel is gone, -EPIPE: it may come back */
void host_log_writable(struct host_log *log);
void host_log_closed(struct host_log *log, int error);

/* values "host_filter" and child "host" of the tree's trace; NULL is fine */
void host_log_inspect(struct host_log *log, struct inspect *in);
