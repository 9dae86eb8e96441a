/*
 * VMGS, the virtual machine guest state file: 64 files by number on a small block device, which the host keeps and VTL2 reads
 * and writes (spec/get.h). Format 3.0. Source: openvmm vm/vmgs/vmgs_format/src/lib.rs; the places of the headers and what makes
 * one valid: vm/vmgs/vmgs/src/vmgs_impl.rs and storage.rs. Little endian. Offsets and sizes of files count blocks from the
 * device's start.
 */
#pragma once

#include "lib/core/types.h"

#define VMGS_SIGNATURE 0x5354525453455547ull /* "GUESTRTS" */
#define VMGS_VERSION_2_0 0x00020000u
#define VMGS_VERSION_3_0 0x00030000u
#define VMGS_BLOCK_SIZE 4096u
#define VMGS_FILE_COUNT 64u
#define VMGS_MIN_FILE_BLOCK 2u /* the two blocks before hold the headers: sector 0 and sector 1 of the device */
#define VMGS_FILE_TABLE_BLOCKS 1u
#define VMGS_DEFAULT_CAPACITY 0x400000u
/* the first format was a disk with a GPT; its header's signature lies here (vmgs_is_v1()) */
#define VMGS_V1_OFFSET 512u
#define VMGS_V1_SIGNATURE "EFI PART"

enum vmgs_file_id {
	VMGS_FILE_TABLE = 0,
	VMGS_BIOS_NVRAM = 1,
	VMGS_TPM_PPI = 2,
	VMGS_TPM_NVRAM = 3,
	VMGS_RTC_SKEW = 4,
	VMGS_ATTEST = 5,
	VMGS_KEY_PROTECTOR = 6,
	VMGS_VM_UNIQUE_ID = 7,
	VMGS_GUEST_FIRMWARE = 8,
	VMGS_CUSTOM_UEFI = 9,
	VMGS_GUEST_WATCHDOG = 10,
	VMGS_HW_KEY_PROTECTOR = 11,
	VMGS_GUEST_SECRET_KEY = 13,
	VMGS_HIBERNATION_TOKEN = 14,
	VMGS_PLATFORM_SEED = 15,
	VMGS_PROVENANCE_DOC = 16,
	VMGS_TPM_NVRAM_BACKUP = 17,
	VMGS_PROVISIONING_MARKER = 18,
	VMGS_EXTENDED_FILE_TABLE = 63,
};

enum vmgs_encryption_algorithm { VMGS_ENCRYPTION_NONE = 0, VMGS_ENCRYPTION_AES_GCM = 1 };

#define VMGS_MARKER_REPROVISIONED 0x0001u

#define VMGS_ATTRIBUTE_ENCRYPTED 0x00000001u
#define VMGS_ATTRIBUTE_AUTHENTICATED 0x00000002u

struct vmgs_encryption_key {
	u8 nonce[12];
	u32 reserved;
	u8 authentication_tag[16], encryption_key[32];
};
_Static_assert(sizeof(struct vmgs_encryption_key) == 64, "vmgs_format VmgsEncryptionKey");
_Static_assert(offsetof(struct vmgs_encryption_key, encryption_key) == 32, "vmgs_format VmgsEncryptionKey");

/* The header with the higher sequence counts; the other is one behind, or is none (0 follows 0xffffffff). */
struct vmgs_header {
	u64 signature;
	u32 version;
	u32 checksum; /* CRC-32 (IEEE) of this struct, with 0 here */
	u32 sequence;
	u32 header_size;
	u32 file_table_offset, file_table_size; /* blocks */
	u16 encryption_algorithm, markers;
	struct vmgs_encryption_key metadata_keys[2];
	u32 reserved1;
};
_Static_assert(sizeof(struct vmgs_header) == 168, "vmgs_format VmgsHeader");
_Static_assert(offsetof(struct vmgs_header, metadata_keys) == 36, "vmgs_format VmgsHeader");
_Static_assert(offsetof(struct vmgs_header, reserved1) == 164, "vmgs_format VmgsHeader");

struct vmgs_file_entry {
	u32 offset, allocation_size; /* blocks; allocation_size 0: there is no such file */
	u64 valid_data_size;         /* bytes */
	u8 nonce[12], authentication_tag[16];
	u32 attributes;
	u8 reserved[16];
};
_Static_assert(sizeof(struct vmgs_file_entry) == 64, "vmgs_format VmgsFileEntry");
_Static_assert(offsetof(struct vmgs_file_entry, attributes) == 44, "vmgs_format VmgsFileEntry");

struct vmgs_extended_file_entry {
	u32 attributes;
	u8 encryption_key[32], reserved[28];
};
_Static_assert(sizeof(struct vmgs_extended_file_entry) == 64, "vmgs_format VmgsExtendedFileEntry");
_Static_assert(offsetof(struct vmgs_extended_file_entry, reserved) == 36, "vmgs_format VmgsExtendedFileEntry");

struct vmgs_file_table {
	struct vmgs_file_entry entries[VMGS_FILE_COUNT];
};
_Static_assert(sizeof(struct vmgs_file_table) == VMGS_BLOCK_SIZE, "vmgs_format VmgsFileTable");

struct vmgs_extended_file_table {
	struct vmgs_extended_file_entry entries[VMGS_FILE_COUNT];
};
_Static_assert(sizeof(struct vmgs_extended_file_table) == VMGS_BLOCK_SIZE, "vmgs_format VmgsExtendedFileTable");
