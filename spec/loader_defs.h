/*
 * What an OpenHCL-style image carries in memory besides code. Source: microsoft/openvmm (1488a37b7cfe),
 * vm/loader/loader_defs/src/paravisor.rs; memory-type numbers: openhcl/bootloader_fdt_parser. Little
 * endian.
 */
#pragma once

#include "lib/core/types.h"

#define OPENHCL_DEFAULT_BASE (128 * MiB)
#define OPENHCL_RELOCATION_ALIGNMENT (2 * MiB)
#define OPENHCL_RELOCATION_MAX BIT(48)
#define OPENHCL_DEVICE_TREE_SIZE_PAGES 64u

struct page_region {
	u64 base_page_number;
	u64 page_count; /* 0: not there */
};
_Static_assert(sizeof(struct page_region) == 16, "loader_defs: PageRegionDescriptor");

#define OPENHCL_COMMAND_LINE_STATIC 0u
#define OPENHCL_COMMAND_LINE_APPEND_CHOSEN 1u
#define OPENHCL_COMMAND_LINE_MAX 4092u

struct openhcl_command_line {
	u16 policy;
	u16 static_command_line_len;
	char static_command_line[OPENHCL_COMMAND_LINE_MAX];
};
_Static_assert(sizeof(struct openhcl_command_line) == PAGE_SIZE, "loader_defs: ParavisorCommandLine");

#define OPENHCL_VTL0_CONFIG_GPA 0ull
#define OPENHCL_VTL0_CONFIG_MAGIC 0x4F48434C56544C30ull /* "OHCLVTL0" */
#define OPENHCL_VTL0_UEFI BIT(0)
#define OPENHCL_VTL0_PCAT BIT(1)
#define OPENHCL_VTL0_LINUX BIT(2)

struct openhcl_uefi_info {
	struct page_region firmware;
	struct page_region vtl0_vp_context;
};

/*
 * kernel_entrypoint 0 is Paravane's own use of this structure, not OpenHCL's: kernel_region then holds a
 * whole bzImage file, to be loaded by the x86 boot protocol. With any other value the region is memory to
 * be entered as it is.
 */
struct openhcl_linux_info {
	struct page_region kernel_region;
	u64 kernel_entrypoint;
	struct page_region initrd_region;
	u64 initrd_size;
	struct page_region command_line; /* NUL-terminated */
};
_Static_assert(sizeof(struct openhcl_linux_info) == 64, "loader_defs: LinuxInfo");

struct openhcl_vtl0_config {
	u64 magic;
	u64 supported_vtl0;
	struct openhcl_uefi_info uefi;
	struct openhcl_linux_info linux_info; /* "linux" is a macro of the compiler */
};
_Static_assert(sizeof(struct openhcl_vtl0_config) == 112, "loader_defs: ParavisorMeasuredVtl0Config");
_Static_assert(offsetof(struct openhcl_vtl0_config, linux_info) == 48, "loader_defs: ParavisorMeasuredVtl0Config");

#define OPENHCL_VTL2_CONFIG_MAGIC 0x4F48434C56544C32ull /* "OHCLVTL2" */

struct openhcl_vtl2_config {
	u64 magic;
	u8 vtom_offset_bit;
	u8 padding[7];
	u32 product_policy_size;
	u8 reserved[4];
};
_Static_assert(sizeof(struct openhcl_vtl2_config) == 24, "loader_defs: ParavisorMeasuredVtl2Config");

/* property openhcl,memory-type of /openhcl/memory@ */
#define OPENHCL_MEMORY_VTL0 0u
#define OPENHCL_MEMORY_VTL2_RAM 1u
#define OPENHCL_MEMORY_VTL2_CONFIG 2u
#define OPENHCL_MEMORY_SIDECAR_IMAGE 3u
#define OPENHCL_MEMORY_SIDECAR_NODE 4u
#define OPENHCL_MEMORY_VTL0_MMIO 5u
#define OPENHCL_MEMORY_VTL2_MMIO 6u
#define OPENHCL_MEMORY_VTL2_RESERVED 7u
#define OPENHCL_MEMORY_GPA_POOL 8u
#define OPENHCL_MEMORY_TDX_PAGE_TABLES 9u
#define OPENHCL_MEMORY_BOOTSHIM_LOG 10u
#define OPENHCL_MEMORY_PERSISTED_STATE_HEADER 11u
#define OPENHCL_MEMORY_PERSISTED_STATE_PROTOBUF 12u

#define OPENHCL_VMBUS_MESSAGE_CONNECTION_ID 1u
#define OPENHCL_VMBUS_CONNECTION_ID_VTL2 4u
#define OPENHCL_VMBUS_CONNECTION_ID_REDIRECT 0x800074u
