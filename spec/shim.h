/*
 * Between igvmgen and boot/: one page at which RSI points when the shim is entered. No host reads it;
 * only these two programs, built together, do. Offsets count from the base of VTL2's region, which is
 * where the shim's image starts (it is linked at 0); RSI itself is such an offset too, because hosts
 * relocate RIP and GDTR but no other register.
 */
#pragma once

#include "lib/core/types.h"

#define SHIM_PARAMS_MAGIC 0x534D494856415250ull /* "PRAVHIMS" in memory */
#define SHIM_PARAMS_VERSION 1u

struct shim_params {
	u64 magic;
	u32 version;
	u32 size; /* of this structure */
	u64 link_base; /* region base as built; tells relocated from not, for messages only */
	u64 memory_size; /* bytes of VTL2 memory the image was built for */
	u64 used_size; /* bytes from the region base that the image occupies, page tables included */
	u64 kernel_entry;
	u64 kernel_start, kernel_size;
	u64 initrd_start, initrd_size;
	u64 command_line; /* struct openhcl_command_line */
	u64 device_tree, device_tree_size; /* the host's, as a parameter area */
	u64 log, log_size; /* struct shim_log; kept for the running system */
	u64 heap, heap_size; /* what the shim hands to the kernel is built here */
};
_Static_assert(sizeof(struct shim_params) == 136, "agreed between igvmgen and boot/");

#define SHIM_LOG_MAGIC 0x474F4C4D494853ull /* "SHIMLOG" in memory */

struct shim_log {
	u64 magic;
	u32 size; /* of text */
	u32 used;
	char text[];
};
_Static_assert(sizeof(struct shim_log) == 16, "agreed between boot/ and the running system");
