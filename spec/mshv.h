/*
 * /dev/mshv* as Linux 7.2 and later has them (drivers/hv/mshv_vtl_main.c). The ioctl numbers and argument structs are
 * in the kernel's own <linux/mshv.h>; the run page's layout is not (its struct lives in drivers/hv/mshv_vtl.h).
 */
#pragma once

#include "spec/hv_vtl.h"

/* mmap offsets of the VTL fd, in pages */
#define MSHV_RUN_PAGE(cpu) ((u64)(cpu))
#define MSHV_REGISTER_PAGE(cpu) (BIT(16) | (u64)(cpu))

struct mshv_cpu_context {
	u64 rax, rcx, rdx, rbx, cr2, rbp, rsi, rdi; /* slot 4, RSP in Hyper-V's order, holds CR2: RSP is private to a VTL */
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u8 fx_state[512];
};

struct mshv_run_page {
	u32 cancel; /* non-zero: do not enter VTL0, return -EINTR */
	u32 vtl_ret_action_size;
	u32 pad[2];
	struct hv_message exit_message;
	union {
		struct mshv_cpu_context context;
		u8 context_room[1024];
	};
	u8 vtl_ret_actions[256];
};
_Static_assert(offsetof(struct mshv_run_page, exit_message) == 16, "drivers/hv/mshv_vtl.h mshv_vtl_run");
_Static_assert(offsetof(struct mshv_run_page, context) == 272, "drivers/hv/mshv_vtl.h mshv_vtl_run");
_Static_assert(offsetof(struct mshv_run_page, vtl_ret_actions) == 1296, "drivers/hv/mshv_vtl.h mshv_vtl_run");
