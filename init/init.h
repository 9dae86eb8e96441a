/* PID 1 of the firmware. Everything runs on one thread; nothing here returns a failure that would leave VTL2 without PID 1. */
#pragma once

#include "lib/core/types.h"

/* ---- setup.c: each step says its own errors and goes on; a firmware that boots without /dev/pts is better than none */
/* proc, sysfs, devtmpfs, devpts, tmpfs on /run and /tmp; makes the directories */
void setup_mounts(void);
/* descriptors 0-2: /dev/null and, for output, the kernel log; open in any case, so that nothing else gets their numbers */
void setup_standard_files(void);
/* limits, panic policy, memory reserve, core files */
void setup_kernel(void);
/* channels that user space drives: GET and the COM ports */
void setup_drivers(void);

/* ---- environment.c */
#define ENVIRONMENT_MAX 64
/*
 * Words NAME=value of a kernel command line whose NAME begins with PARAVANE_ or OPENHCL_, each as "NAME=value" in out.
 * Double quotes group as in the kernel. Returns how many; words past ENVIRONMENT_MAX or longer than 255 are left out.
 */
unsigned environment_parse(const char *command_line, char out[ENVIRONMENT_MAX][256]);
/* reads /proc/cmdline and sets them in this process, for its children to inherit */
void environment_from_kernel(void);

/* ---- supervise.c */
/*
 * Runs "/proc/self/exe control", reaps every orphan, and when the control process ends tells the kernel log at emergency
 * level and resets VTL2: its host sees the triple fault. Never returns.
 */
_Noreturn void supervise(void);
/* the same end for whoever finds that PID 1 cannot go on */
_Noreturn void give_up(const char *why);

int init_main(int argc, char **argv);
