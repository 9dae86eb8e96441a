#pragma once

#include "boot/plan.h"

/* addresses as loaded, identity mapped; setup_data of 0 ends the list */
struct boot_places {
	u64 command_line, initrd, initrd_size, setup_data;
};

/* fills *bp for the 64-bit entry of the Linux boot protocol. Pure. */
void boot_params_fill(struct boot_params *bp, const struct plan *plan, const struct boot_places *places);
