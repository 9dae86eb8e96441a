/* The footer of a fixed VHD (spec/vhd.h): a file is the disk's bytes, then this. */
#pragma once

#include "spec/vhd.h"

/* of a disk of size bytes; creator: four characters; unique_id: 16 random bytes; now: seconds since 1970 */
void vhd_footer_make(struct vhd_footer *f, u64 size, const char *creator, const u8 *unique_id, u64 now);
/* the disk's size as the footer, the last bytes of a file of file_size, says; file_size itself when it is no such footer */
u64 vhd_disk_size(const struct vhd_footer *f, u64 file_size);
