/* The device tree that VTL2's kernel and user mode get. Format: openhcl-facts B3. Pure. */
#pragma once

#include "boot/plan.h"

#define KERNEL_TREE_MAX (256 * 1024u)

struct kernel_times {
	bool known;
	u64 start, end; /* 100 ns of the partition's reference time */
};

/* writes the tree into buffer; its length, or 0 when size is too small */
u32 kernel_tree_write(const struct host_tree *tree, const struct plan *plan, const struct kernel_times *times, void *buffer,
		      u32 size) __must_check;
