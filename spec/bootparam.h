/*
 * The x86 Linux boot protocol, as much as we use. Source: Linux Documentation/arch/x86/{boot,zero-page}.rst and
 * arch/x86/include/uapi/asm/{bootparam,setup_data}.h.
 */
#pragma once

#include "lib/core/types.h"

#define BOOT_FLAG 0xAA55u
#define BOOT_HEADER_MAGIC 0x53726448u /* "HdrS" */
#define BOOT_LOADER_UNDEFINED 0xFFu
#define BOOT_LOADED_HIGH 0x01u
#define BOOT_XLF_KERNEL_64 0x0001u
#define BOOT_XLF_CAN_BE_LOADED_ABOVE_4G 0x0002u
#define BOOT_COMMAND_LINE_SIZE 2048u /* COMMAND_LINE_SIZE of arch/x86, with its NUL */

struct setup_header {
	u8 setup_sects;
	u16 root_flags;
	u32 syssize;
	u16 ram_size;
	u16 vid_mode;
	u16 root_dev;
	u16 boot_flag;
	u16 jump;
	u32 header;
	u16 version;
	u32 realmode_swtch;
	u16 start_sys_seg;
	u16 kernel_version;
	u8 type_of_loader;
	u8 loadflags;
	u16 setup_move_size;
	u32 code32_start;
	u32 ramdisk_image;
	u32 ramdisk_size;
	u32 bootsect_kludge;
	u16 heap_end_ptr;
	u8 ext_loader_ver;
	u8 ext_loader_type;
	u32 cmd_line_ptr;
	u32 initrd_addr_max;
	u32 kernel_alignment;
	u8 relocatable_kernel;
	u8 min_alignment;
	u16 xloadflags;
	u32 cmdline_size;
	u32 hardware_subarch;
	u64 hardware_subarch_data;
	u32 payload_offset;
	u32 payload_length;
	u64 setup_data;
	u64 pref_address;
	u32 init_size;
	u32 handover_offset;
	u32 kernel_info_offset;
} __packed;
_Static_assert(sizeof(struct setup_header) == 123, "bootparam.h: struct setup_header");

#define E820_RAM 1u
#define E820_RESERVED 2u
#define E820_TABLE_MAX 128u

struct e820_entry {
	u64 addr;
	u64 size;
	u32 type;
} __packed;
_Static_assert(sizeof(struct e820_entry) == 20, "bootparam.h: struct boot_e820_entry");

struct boot_params {
	u8 screen_info[0x0c0];
	u32 ext_ramdisk_image;
	u32 ext_ramdisk_size;
	u32 ext_cmd_line_ptr;
	u8 pad_cc[0x1e8 - 0x0cc];
	u8 e820_entries;
	u8 pad_1e9[0x1ef - 0x1e9];
	u8 sentinel; /* 0, or the kernel believes the fields around it are junk */
	u8 pad_1f0;
	struct setup_header hdr; /* 0x1f1 */
	u8 pad_26c[0x2d0 - 0x26c];
	struct e820_entry e820_table[E820_TABLE_MAX];
	u8 pad_cd0[0x1000 - 0xcd0];
} __packed;
_Static_assert(sizeof(struct boot_params) == 4096, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, e820_entries) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "zero-page.rst");
_Static_assert(offsetof(struct boot_params, hdr.header) == 0x202, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.cmd_line_ptr) == 0x228, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.setup_data) == 0x250, "boot.rst");
_Static_assert(offsetof(struct boot_params, hdr.init_size) == 0x260, "boot.rst");
_Static_assert(offsetof(struct boot_params, e820_table) == 0x2d0, "zero-page.rst");

#define SETUP_DTB 2u
#define SETUP_RNG_SEED 9u

struct setup_data {
	u64 next;
	u32 type;
	u32 len; /* of the bytes behind this header */
};
_Static_assert(sizeof(struct setup_data) == 16, "setup_data.h: struct setup_data");
