/* Between the files of host/gdb */
#pragma once

#include <sys/un.h>

#include "host/gdb/server.h"
#include "lib/gdb/memory.h"

struct gdb_host {
	struct gdb_host_config config;
	struct loop *loop;
	struct partition *partition;
	struct partition_debugger debugger;
	bool attached, holds;        /* holds: a partition_pause() of ours is in force */
	struct loop_source listener, client;
	u8 in[GDB_PACKET_MAX * 2];
	size_t in_len;
	struct gdb gdb;
	struct gdb_memory memory;
	struct gdb_registers regs[PARTITION_MAX_VPS];
	/* VP threads tell what they have met; the loop's looks */
	pthread_mutex_t lock;
	struct {
		bool yes;
		enum partition_stop why;
		u64 value;
	} met[PARTITION_MAX_VPS];
	struct loop_work met_work;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": no unix socket */
};

/* target.c: what lib/gdb asks; ctx is a struct gdb_host */
extern const struct gdb_target_ops gdb_host_target;
extern const struct gdb_memory_ops gdb_host_memory;
void gdb_host_forget_registers(struct gdb_host *g);
/* the partition gets what is wanted in debug registers; -ENOTSUP */
int gdb_host_set_hardware(struct gdb_host *g) __must_check;
/* the partition runs on, nothing of the debugger's is in it any more */
void gdb_host_let_go(struct gdb_host *g);
