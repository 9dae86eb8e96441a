/* VTL protections: what of VTL2's memory VTL0 (and its devices) may touch. The answer is: nothing. Before VTL0's first run. */
#pragma once

#include "vmm/hcl/hcl.h"
#include "vmm/mem/layout.h"

/*
 * HvCallModifyVtlProtectionMask with no access for VTL0, over every range that is VTL2's (TLFS; openvmm
 * openhcl/underhill_mem/src/init.rs). -errno, said; *ret_pages is how many pages were protected.
 */
int protect_vtl2(struct hcl *hcl, const struct partition_layout *layout, u64 *ret_pages) __must_check;
/* one page of VTL0's RAM that VTL0 may read and run, but not write: a write becomes an intercept. -errno, said. */
int protect_read_only(struct hcl *hcl, u64 gpa) __must_check;
