#pragma once

#include "host/load/igvm_load.h"

/* the tree a host hands to VTL2 (openhcl-facts B2) into buffer; its length, 0 when size is too small */
u32 device_tree_build(const struct load_request *request, void *buffer, u32 size) __must_check;
