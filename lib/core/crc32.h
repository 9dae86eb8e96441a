#pragma once

#include "lib/core/types.h"

/* CRC-32 (IEEE 802.3, reflected 0xEDB88320). Start with crc 0; feed the result back in to continue. */
u32 crc32_update(u32 crc, const void *data, size_t len);
