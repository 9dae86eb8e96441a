/*
 * The ioctls of /dev/mshv_vtl and /dev/mshv_hvcall, Linux 7.2 include/uapi/linux/mshv.h. Restated, because unit tests build
 * on machines whose <linux/mshv.h> is older or absent; the numbers are kernel ABI.
 */
#pragma once

#include <sys/ioctl.h>

#include "lib/core/types.h"

#define MSHV_IOCTL 0xB8

struct mshv_vp_registers {
	u32 count; /* 1 */
	u32 reserved;
	u64 regs_ptr;
};
_Static_assert(sizeof(struct mshv_vp_registers) == 16, "uapi mshv.h");

struct mshv_vtl_ram_disposition {
	u64 start_pfn;
	u64 last_pfn; /* exclusive */
};
_Static_assert(sizeof(struct mshv_vtl_ram_disposition) == 16, "uapi mshv.h");

struct mshv_vtl_set_poll_file {
	u32 cpu;
	u32 fd;
};
_Static_assert(sizeof(struct mshv_vtl_set_poll_file) == 8, "uapi mshv.h");

struct mshv_vtl_hvcall_setup {
	u64 bitmap_array_size; /* bytes */
	u64 allow_bitmap_ptr;
};
_Static_assert(sizeof(struct mshv_vtl_hvcall_setup) == 16, "uapi mshv.h");

struct mshv_vtl_hvcall {
	u64 control;
	u64 input_size;
	u64 input_ptr;
	u64 status;
	u64 output_size;
	u64 output_ptr;
};
_Static_assert(sizeof(struct mshv_vtl_hvcall) == 48, "uapi mshv.h");

#define MSHV_ADD_VTL0_MEMORY _IOW(MSHV_IOCTL, 0x21, struct mshv_vtl_ram_disposition)
#define MSHV_SET_POLL_FILE _IOW(MSHV_IOCTL, 0x25, struct mshv_vtl_set_poll_file)
#define MSHV_RETURN_TO_LOWER_VTL _IO(MSHV_IOCTL, 0x27)
#define MSHV_GET_VP_REGISTERS _IOWR(MSHV_IOCTL, 0x05, struct mshv_vp_registers)
#define MSHV_SET_VP_REGISTERS _IOW(MSHV_IOCTL, 0x06, struct mshv_vp_registers)
#define MSHV_HVCALL_SETUP _IOW(MSHV_IOCTL, 0x1E, struct mshv_vtl_hvcall_setup)
#define MSHV_HVCALL _IOWR(MSHV_IOCTL, 0x1F, struct mshv_vtl_hvcall)
