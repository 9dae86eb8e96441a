/*
 * The fixed VHD: a disk's bytes, then one sector of footer. Big endian. Source: Virtual Hard Disk Image Format Specification
 * (Microsoft, 2006), "Hard Disk Footer Format", from memory of it, checked against openvmm vm/devices/storage/disk_vhd1.
 */
#pragma once

#include "lib/core/types.h"

#define VHD_COOKIE "conectix"
#define VHD_FOOTER_SIZE 512u
#define VHD_FORMAT_VERSION 0x00010000u
#define VHD_FEATURES_RESERVED 2u /* always set */
#define VHD_TYPE_FIXED 2u

struct vhd_footer {
	u8 cookie[8];
	u32 features, file_format_version;
	u64 data_offset;
	u32 time_stamp; /* seconds since 2000-01-01 */
	u8 creator_application[4];
	u32 creator_version;
	u8 creator_host_os[4];
	u64 original_size, current_size;
	u16 cylinders;
	u8 heads, sectors_per_track;
	u32 disk_type;
	u32 checksum; /* one's complement of the sum of the footer's bytes, with 0 here */
	u8 unique_id[16];
	u8 saved_state, reserved[427];
};
_Static_assert(sizeof(struct vhd_footer) == VHD_FOOTER_SIZE, "VHD specification, Hard Disk Footer Format");
_Static_assert(offsetof(struct vhd_footer, checksum) == 64, "VHD specification, Hard Disk Footer Format");
