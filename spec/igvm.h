/*
 * The IGVM file format: facts only. Source: microsoft/igvm, igvm_defs/src/lib.rs (e6c3ff1c); names follow
 * it without the IGVM_VHS_ and IGVM_VHT_ prefixes. All fields little endian. A file is: fixed header,
 * variable headers {type, length, body, zero padding to 8}, data.
 */
#pragma once

#include "lib/core/types.h"

#define IGVM_MAGIC 0x4D564749u /* "IGVM" */
#define IGVM_FORMAT_VERSION_1 1u
#define IGVM_FORMAT_VERSION_2 2u

struct igvm_fixed_header {
	u32 magic;
	u32 format_version;
	u32 variable_header_offset; /* 8-aligned */
	u32 variable_header_size;
	u32 total_file_size;
	u32 checksum; /* CRC-32 of the fixed and variable headers with this field 0 */
};
_Static_assert(sizeof(struct igvm_fixed_header) == 24, "igvm_defs: IGVM_FIXED_HEADER");
_Static_assert(offsetof(struct igvm_fixed_header, checksum) == 20, "igvm_defs: IGVM_FIXED_HEADER");

/* what format version 2 adds behind the version 1 header */
struct igvm_fixed_header_v2_tail {
	u32 architecture; /* 0 x64, 1 aarch64 */
	u32 page_size;
};
_Static_assert(sizeof(struct igvm_fixed_header_v2_tail) == 8, "igvm_defs: IGVM_FIXED_HEADER_V2");

struct igvm_variable_header {
	u32 type;
	u32 length; /* of the body, without padding */
};
_Static_assert(sizeof(struct igvm_variable_header) == 8, "igvm_defs: IGVM_VHS_VARIABLE_HEADER");

#define IGVM_OPTIONAL_BIT 0x80000000u /* a loader may skip a type it does not know */

/* sections: platform, then initialisation, then directives; a later one ends the earlier ones */
#define IGVM_RANGE_PLATFORM_FIRST 0x001u
#define IGVM_RANGE_PLATFORM_LAST 0x100u
#define IGVM_RANGE_INIT_FIRST 0x101u
#define IGVM_RANGE_INIT_LAST 0x200u
#define IGVM_RANGE_DIRECTIVE_FIRST 0x301u
#define IGVM_RANGE_DIRECTIVE_LAST 0x400u

#define IGVM_SUPPORTED_PLATFORM 0x001u
#define IGVM_GUEST_POLICY 0x101u
#define IGVM_RELOCATABLE_REGION 0x102u
#define IGVM_PAGE_TABLE_RELOCATION_REGION 0x103u
#define IGVM_PARAMETER_AREA 0x301u
#define IGVM_PAGE_DATA 0x302u
#define IGVM_PARAMETER_INSERT 0x303u
#define IGVM_VP_CONTEXT 0x304u
#define IGVM_REQUIRED_MEMORY 0x305u
#define IGVM_VP_COUNT_PARAMETER 0x307u
#define IGVM_SRAT 0x308u
#define IGVM_MADT 0x309u
#define IGVM_MMIO_RANGES 0x30Au
#define IGVM_SNP_ID_BLOCK 0x30Bu
#define IGVM_MEMORY_MAP 0x30Cu
#define IGVM_ERROR_RANGE 0x30Du
#define IGVM_COMMAND_LINE 0x30Eu
#define IGVM_SLIT 0x30Fu
#define IGVM_PPTT 0x310u
#define IGVM_VBS_MEASUREMENT 0x311u
#define IGVM_DEVICE_TREE 0x312u
#define IGVM_ENVIRONMENT_INFO_PARAMETER 0x313u

#define IGVM_PLATFORM_NATIVE 0u
#define IGVM_PLATFORM_VSM_ISOLATION 1u
#define IGVM_PLATFORM_SEV_SNP 2u
#define IGVM_PLATFORM_TDX 3u
#define IGVM_PLATFORM_SEV 4u
#define IGVM_PLATFORM_SEV_ES 5u
#define IGVM_PLATFORM_CCA 6u
#define IGVM_PLATFORM_VERSION 1u

struct igvm_supported_platform {
	u32 compatibility_mask; /* exactly one bit */
	u8 highest_vtl;
	u8 platform_type;
	u16 platform_version;
	u64 shared_gpa_boundary;
};
_Static_assert(sizeof(struct igvm_supported_platform) == 16, "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM");

struct igvm_guest_policy {
	u64 policy;
	u32 compatibility_mask;
	u32 reserved;
};
_Static_assert(sizeof(struct igvm_guest_policy) == 16, "igvm_defs: IGVM_VHS_GUEST_POLICY");

#define IGVM_RELOCATABLE_IS_VTL2 0x1u
#define IGVM_RELOCATABLE_APPLY_RIP 0x2u
#define IGVM_RELOCATABLE_APPLY_GDTR 0x4u

struct igvm_relocatable_region {
	u32 compatibility_mask;
	u16 vp_index;
	u8 vtl;
	u8 flags;
	u64 relocation_alignment;
	u64 relocation_region_gpa;
	u64 relocation_region_size;
	u64 minimum_relocation_gpa;
	u64 maximum_relocation_gpa;
};
_Static_assert(sizeof(struct igvm_relocatable_region) == 48, "igvm_defs: IGVM_VHS_RELOCATABLE_REGION");

struct igvm_page_table_relocation {
	u32 compatibility_mask;
	u16 vp_index;
	u8 vtl;
	u8 reserved;
	u64 gpa;
	u64 size;
	u64 used_size;
};
_Static_assert(sizeof(struct igvm_page_table_relocation) == 32, "igvm_defs: IGVM_VHS_PAGE_TABLE_RELOCATION");

struct igvm_parameter_area {
	u64 number_of_bytes;
	u32 parameter_area_index;
	u32 file_offset; /* 0: starts as zeroes */
};
_Static_assert(sizeof(struct igvm_parameter_area) == 16, "igvm_defs: IGVM_VHS_PARAMETER_AREA");

#define IGVM_PAGE_DATA_2MB 0x1u
#define IGVM_PAGE_DATA_UNMEASURED 0x2u
#define IGVM_PAGE_DATA_SHARED 0x4u

#define IGVM_PAGE_TYPE_NORMAL 0u
#define IGVM_PAGE_TYPE_SECRETS 1u
#define IGVM_PAGE_TYPE_CPUID 2u
#define IGVM_PAGE_TYPE_CPUID_XF 3u

struct igvm_page_data {
	u64 gpa;
	u32 compatibility_mask;
	u32 file_offset; /* 0: a page of zeroes */
	u32 flags;
	u16 data_type;
	u16 reserved;
};
_Static_assert(sizeof(struct igvm_page_data) == 24, "igvm_defs: IGVM_VHS_PAGE_DATA");

struct igvm_parameter_insert {
	u64 gpa;
	u32 compatibility_mask;
	u32 parameter_area_index;
};
_Static_assert(sizeof(struct igvm_parameter_insert) == 16, "igvm_defs: IGVM_VHS_PARAMETER_INSERT");

/*
 * body of VP_COUNT, SRAT, MADT, MMIO_RANGES, MEMORY_MAP, COMMAND_LINE, SLIT, PPTT, DEVICE_TREE,
 * ENVIRONMENT_INFO
 */
struct igvm_parameter {
	u32 parameter_area_index;
	u32 byte_offset;
};
_Static_assert(sizeof(struct igvm_parameter) == 8, "igvm_defs: IGVM_VHS_PARAMETER");

struct igvm_vp_context {
	u32 gpa[2]; /* a u64 of alignment 1 in the source, hence 20 bytes in all */
	u32 compatibility_mask;
	u32 file_offset;
	u16 vp_index;
	u16 reserved;
};
_Static_assert(sizeof(struct igvm_vp_context) == 20, "igvm_defs: IGVM_VHS_VP_CONTEXT");

/* file data of a VP context for VSM_ISOLATION: a u32 count, then that many of these */
struct igvm_vbs_register {
	u8 vtl;
	u8 name[4]; /* Hyper-V register name, little endian, unaligned */
	u8 zero[11];
	u8 value[16];
};
_Static_assert(sizeof(struct igvm_vbs_register) == 32, "igvm_defs: VbsVpContextRegister");
_Static_assert(offsetof(struct igvm_vbs_register, value) == 16, "igvm_defs: VbsVpContextRegister");

#define IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE 0x1u

struct igvm_required_memory {
	u64 gpa;
	u32 compatibility_mask;
	u32 number_of_bytes;
	u32 flags;
	u32 reserved;
};
_Static_assert(sizeof(struct igvm_required_memory) == 24, "igvm_defs: IGVM_VHS_REQUIRED_MEMORY");

struct igvm_error_range {
	u64 gpa;
	u32 compatibility_mask;
	u32 size_bytes;
};
_Static_assert(sizeof(struct igvm_error_range) == 16, "igvm_defs: IGVM_VHS_ERROR_RANGE");

struct igvm_memory_range {
	u64 starting_gpa_page_number;
	u64 number_of_pages;
};
struct igvm_mmio_ranges {
	struct igvm_memory_range mmio_ranges[2];
};
_Static_assert(sizeof(struct igvm_mmio_ranges) == 32, "igvm_defs: IGVM_VHS_MMIO_RANGES");

#define IGVM_MEMORY_TYPE_MEMORY 0u
#define IGVM_MEMORY_TYPE_PLATFORM_RESERVED 1u
#define IGVM_MEMORY_TYPE_PERSISTENT 2u
#define IGVM_MEMORY_TYPE_VTL2_PROTECTABLE 3u

struct igvm_memory_map_entry {
	u64 starting_gpa_page_number;
	u64 number_of_pages; /* 0 ends the list */
	u16 entry_type;
	u16 flags;
	u32 reserved;
};
_Static_assert(sizeof(struct igvm_memory_map_entry) == 24, "igvm_defs: IGVM_VHS_MEMORY_MAP_ENTRY");

/* device tree properties: igvm_defs/src/dt.rs */
#define IGVM_DT_IGVM_TYPE "microsoft,igvm-type"
#define IGVM_DT_VTL "microsoft,vtl"
