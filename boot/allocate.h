/*
 * memory-allocation-mode "vtl2": the host gives RAM and MMIO to VTL0 and lets VTL2 take its part. Facts: microsoft/openvmm,
 * openhcl_boot host_params/dt and host_params/mmio.rs. Pure.
 */
#pragma once

#include "boot/host_tree.h"
#include "spec/shim.h"

/*
 * Where the host's tree says "vtl2": marks the memory the image was built for, at base, and the highest pages of RAM up to what
 * the host grants; and, if VTL2's vmbus has no MMIO, cuts some off the end of VTL0's above 4 GiB. False with a line in err.
 */
bool allocate_vtl2(struct host_tree *tree, const struct shim_params *p, u64 base, char *err) __must_check;
