/*
 * A core of a process that lives on: its threads are held while it is written, as gdb's gcore does. What is in it is what the
 * kernel would put into one with coredump_filter 0x33 (init/setup.c): neither the guest's memory nor rings nor device registers.
 */
#pragma once

#include <sys/procfs.h>
#include <sys/types.h>
#include <sys/user.h>
#undef PAGE_SIZE /* glibc's sys/user.h has its own */
#undef PAGE_SHIFT

#include "lib/core/types.h"

#define DUMP_THREADS_MAX 256u

/* ---- threads.c */
struct dump_thread {
	pid_t tid;
	struct user_regs_struct registers;
	struct user_fpregs_struct fp;
};
struct dump_threads {
	unsigned count;
	struct dump_thread all[DUMP_THREADS_MAX]; /* the process's first thread first */
};
/* stops all threads and reads their registers. -errno, said; then none is held. */
int threads_hold(pid_t pid, struct dump_threads *ret) __must_check;
void threads_release(const struct dump_threads *threads);

/* ---- maps.c */
struct dump_map {
	u64 start, end, offset;  /* offset: in the file, bytes */
	u64 dumped;              /* bytes from start on that go into the core */
	u32 flags;               /* PF_R, PF_W, PF_X */
	char path[128];          /* "": no file */
};
struct dump_maps {
	unsigned count;
	struct dump_map *all;
};
/* from /proc/PID/smaps. -errno, said. maps_free() in any case. */
int maps_read(pid_t pid, struct dump_maps *ret) __must_check;
void maps_free(struct dump_maps *maps);

/* ---- dump.c */
/* writes the core of pid to fd; -errno, said */
int dump_process(pid_t pid, int fd) __must_check;
/* dump PID: to standard output; an exit status */
int dump_main(int argc, char **argv);
