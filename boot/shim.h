/* Between main.c, trap.c and entry.S. */
#pragma once

#include "lib/core/types.h"

/* what an exception leaves on the stack */
struct trap_frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* say text to log, console and hypervisor, then stop for good */
_Noreturn void shim_fail(u64 rip, const char *text);

/* from now on an exception is reported instead of ending in a triple fault */
void trap_init(void);
_Noreturn void trap_report(const struct trap_frame *frame, u64 cr2);

_Noreturn void shim_main(u64 base, u64 params_offset);
_Noreturn void enter_kernel(u64 entry, u64 boot_params);
extern const u8 trap_entries[32][16];
