#include "boot/boot_params.h"

void boot_params_fill(struct boot_params *bp, const struct plan *plan, const struct boot_places *places)
{
	__builtin_memset(bp, 0, sizeof(*bp));
	bp->hdr.boot_flag = BOOT_FLAG;
	bp->hdr.header = BOOT_HEADER_MAGIC;
	/* a version of 0 makes the kernel believe it was started by something ancient */
	bp->hdr.version = 0x020F;
	bp->hdr.type_of_loader = BOOT_LOADER_UNDEFINED;
	bp->hdr.loadflags = BOOT_LOADED_HIGH;
	bp->hdr.xloadflags = BOOT_XLF_KERNEL_64 | BOOT_XLF_CAN_BE_LOADED_ABOVE_4G;
	bp->hdr.kernel_alignment = 2 * MiB;
	bp->hdr.cmdline_size = BOOT_COMMAND_LINE_SIZE - 1;
	bp->hdr.cmd_line_ptr = (u32)places->command_line;
	bp->ext_cmd_line_ptr = (u32)(places->command_line >> 32);
	if (places->initrd_size) {
		bp->hdr.ramdisk_image = (u32)places->initrd;
		bp->ext_ramdisk_image = (u32)(places->initrd >> 32);
		bp->hdr.ramdisk_size = (u32)places->initrd_size;
		bp->ext_ramdisk_size = (u32)(places->initrd_size >> 32);
	}
	bp->hdr.setup_data = places->setup_data;
	bp->e820_entries = (u8)plan->e820_count;
	for (u32 i = 0; i < plan->e820_count; i++)
		bp->e820_table[i] = plan->e820[i];
}
