/*
 * ATA and ATAPI devices behind the command block, and the bus master of a PCI IDE controller. Sources: ATA/ATAPI-7 volumes 1
 * and 2 (registers, commands, protocols), ATA8-ACS (DATA SET MANAGEMENT, words 69, 105, 169, 209, 217), SFF 8038i 1.0
 * (bus master), Intel 82371AB (PIIX4) datasheet chapters 5 and 6; Linux include/linux/ata.h for the same numbers.
 */
#pragma once

#include "lib/core/types.h"

#define ATA_SECTOR 512u
#define ATA_LBA28_MAX 0x0fffffffu /* sectors that 28 bits say: the count in words 60 and 61 stops there */
#define ATA_LBA48_MAX ((1ull << 48) - 1)

/* ---- ports of a channel in legacy mode: command block + 0..7, control block at one port */
#define ATA_PRIMARY_COMMAND 0x1f0
#define ATA_PRIMARY_CONTROL 0x3f6
#define ATA_PRIMARY_LINE 14
#define ATA_SECONDARY_COMMAND 0x170
#define ATA_SECONDARY_CONTROL 0x376
#define ATA_SECONDARY_LINE 15

enum ata_register { /* ATA/ATAPI-7 vol. 2, table 7 */
	ATA_DATA,
	ATA_ERROR_FEATURES,
	ATA_COUNT,
	ATA_LBA_LOW,
	ATA_LBA_MID,
	ATA_LBA_HIGH,
	ATA_DEVICE,
	ATA_STATUS_COMMAND,
};

#define ATA_STATUS_ERR 0x01u
#define ATA_STATUS_DRQ 0x08u
#define ATA_STATUS_DSC 0x10u
#define ATA_STATUS_DF 0x20u
#define ATA_STATUS_DRDY 0x40u
#define ATA_STATUS_BSY 0x80u

#define ATA_ERROR_ABRT 0x04u
#define ATA_ERROR_IDNF 0x10u
#define ATA_ERROR_UNC 0x40u
#define ATA_DIAGNOSTIC_PASSED 0x01u

#define ATA_DEVICE_DEV 0x10u
#define ATA_DEVICE_LBA 0x40u
#define ATA_DEVICE_OBSOLETE 0xa0u
#define ATA_DEVICE_HEAD 0x0fu

#define ATA_CONTROL_NIEN 0x02u
#define ATA_CONTROL_SRST 0x04u
#define ATA_CONTROL_HOB 0x80u

enum ata_command {
	ATA_NOP = 0x00,
	ATA_DATA_SET_MANAGEMENT = 0x06,
	ATA_DEVICE_RESET = 0x08,
	ATA_RECALIBRATE = 0x10, /* to 1Fh */
	ATA_READ_SECTORS = 0x20,
	ATA_READ_SECTORS_NO_RETRY = 0x21,
	ATA_READ_SECTORS_EXT = 0x24,
	ATA_READ_DMA_EXT = 0x25,
	ATA_READ_MULTIPLE_EXT = 0x29,
	ATA_WRITE_SECTORS = 0x30,
	ATA_WRITE_SECTORS_NO_RETRY = 0x31,
	ATA_WRITE_SECTORS_EXT = 0x34,
	ATA_WRITE_DMA_EXT = 0x35,
	ATA_WRITE_MULTIPLE_EXT = 0x39,
	ATA_WRITE_DMA_FUA_EXT = 0x3d,
	ATA_READ_VERIFY = 0x40,
	ATA_READ_VERIFY_NO_RETRY = 0x41,
	ATA_READ_VERIFY_EXT = 0x42,
	ATA_SEEK = 0x70,        /* to 7Fh */
	ATA_EXECUTE_DIAGNOSTIC = 0x90,
	ATA_INITIALIZE_PARAMETERS = 0x91,
	ATA_PACKET = 0xa0,
	ATA_IDENTIFY_PACKET = 0xa1,
	ATA_READ_MULTIPLE = 0xc4,
	ATA_WRITE_MULTIPLE = 0xc5,
	ATA_SET_MULTIPLE = 0xc6,
	ATA_READ_DMA = 0xc8,
	ATA_READ_DMA_NO_RETRY = 0xc9,
	ATA_WRITE_DMA = 0xca,
	ATA_WRITE_DMA_NO_RETRY = 0xcb,
	ATA_WRITE_MULTIPLE_FUA_EXT = 0xce,
	ATA_STANDBY_IMMEDIATE = 0xe0,
	ATA_IDLE_IMMEDIATE = 0xe1,
	ATA_STANDBY = 0xe2,
	ATA_IDLE = 0xe3,
	ATA_CHECK_POWER_MODE = 0xe5,
	ATA_SLEEP = 0xe6,
	ATA_FLUSH_CACHE = 0xe7,
	ATA_FLUSH_CACHE_EXT = 0xea,
	ATA_IDENTIFY = 0xec,
	ATA_SET_FEATURES = 0xef,
};

#define ATA_DSM_TRIM 0x01u
#define ATA_POWER_ACTIVE 0xffu
#define ATA_POWER_STANDBY 0x00u

enum ata_feature { /* SET FEATURES, ATA/ATAPI-7 vol. 1, 6.48 */
	ATA_FEATURE_WRITE_CACHE = 0x02,
	ATA_FEATURE_TRANSFER_MODE = 0x03,
	ATA_FEATURE_NO_LOOK_AHEAD = 0x55,
	ATA_FEATURE_NO_REVERT = 0x66,
	ATA_FEATURE_NO_WRITE_CACHE = 0x82,
	ATA_FEATURE_LOOK_AHEAD = 0xaa,
	ATA_FEATURE_REVERT = 0xcc,
};
/* transfer modes: type in the top five bits */
#define ATA_MODE_PIO 0x00u      /* 0, 1: the default; with IORDY 08h + mode */
#define ATA_MODE_PIO_FLOW 0x08u
#define ATA_MODE_MWDMA 0x20u
#define ATA_MODE_UDMA 0x40u

/* PACKET */
#define ATA_FEATURE_PACKET_DMA 0x01u
#define ATA_REASON_COMMAND 0x01u /* in the sector count: the device wants a command, or it is over (with IN) */
#define ATA_REASON_IN 0x02u
#define ATA_SIGNATURE_PACKET_MID 0x14u
#define ATA_SIGNATURE_PACKET_HIGH 0xebu
#define ATA_PACKET_LEN 12u

/* ---- IDENTIFY (PACKET) DEVICE: word numbers and bits (ATA/ATAPI-7 vol. 1, 6.17) */
#define ATA_ID_CONFIG 0
#define ATA_ID_CONFIG_FIXED 0x0040u
#define ATA_ID_CONFIG_CD 0x85c0u /* ATAPI, CD/DVD, removable, DRQ within 50 us, 12-byte packets */
#define ATA_ID_CYLINDERS 1
#define ATA_ID_HEADS 3
#define ATA_ID_SECTORS_PER_TRACK 6
#define ATA_ID_SERIAL 10
#define ATA_ID_FIRMWARE 23
#define ATA_ID_MODEL 27
#define ATA_ID_MULTIPLE_MAX 47
#define ATA_ID_CAPABILITIES 49
#define ATA_ID_CAPABILITIES_DMA 0x0100u
#define ATA_ID_CAPABILITIES_LBA 0x0200u
#define ATA_ID_CAPABILITIES_IORDY 0x0c00u
#define ATA_ID_CAPABILITIES_2 50
#define ATA_ID_VALID 53
#define ATA_ID_CURRENT_CYLINDERS 54
#define ATA_ID_CURRENT_HEADS 55
#define ATA_ID_CURRENT_SECTORS 56
#define ATA_ID_CURRENT_CAPACITY 57
#define ATA_ID_MULTIPLE 59
#define ATA_ID_MULTIPLE_VALID 0x0100u
#define ATA_ID_LBA28 60
#define ATA_ID_MWDMA 63
#define ATA_ID_PIO 64
#define ATA_ID_CYCLE_TIMES 65 /* to 68 */
#define ATA_ID_CYCLE_NS 120
#define ATA_ID_ADDITIONAL 69
#define ATA_ID_ADDITIONAL_DRAT 0x4000u /* the same data is read after a trim each time */
#define ATA_ID_ADDITIONAL_RZAT 0x0020u /* and it is zeroes */
#define ATA_ID_MAJOR 80
#define ATA_ID_MAJOR_4_TO_7 0x00f0u
#define ATA_ID_COMMAND_SET_1 82
#define ATA_ID_COMMAND_SET_2 83
#define ATA_ID_COMMAND_SET_3 84
#define ATA_ID_ENABLED_1 85
#define ATA_ID_ENABLED_2 86
#define ATA_ID_ENABLED_3 87
#define ATA_ID_SET_1_POWER 0x0008u
#define ATA_ID_SET_1_PACKET 0x0010u
#define ATA_ID_SET_1_WRITE_CACHE 0x0020u
#define ATA_ID_SET_1_LOOK_AHEAD 0x0040u
#define ATA_ID_SET_1_DEVICE_RESET 0x0200u
#define ATA_ID_SET_1_NOP 0x4000u
#define ATA_ID_SET_2_LBA48 0x0400u
#define ATA_ID_SET_2_FLUSH 0x1000u
#define ATA_ID_SET_2_FLUSH_EXT 0x2000u
#define ATA_ID_SET_3_FUA 0x0040u
#define ATA_ID_SET_VALID 0x4000u
#define ATA_ID_UDMA 88
#define ATA_ID_RESET 93
#define ATA_ID_RESET_DEVICE_0 0x400bu
#define ATA_ID_RESET_DEVICE_1 0x4b00u
#define ATA_ID_LBA48 100
#define ATA_ID_TRIM_BLOCKS 105
#define ATA_ID_SECTOR_SIZES 106
#define ATA_ID_SECTOR_SIZES_MANY 0x6000u /* valid; several logical sectors a physical one */
#define ATA_ID_TRIM 169
#define ATA_ID_ALIGNMENT 209
#define ATA_ID_ROTATION 217
#define ATA_ID_ROTATION_NONE 1
#define ATA_ID_INTEGRITY 255
#define ATA_ID_INTEGRITY_SIGNATURE 0xa5u
#define ATA_ID_WORDS 256

struct ata_trim_range { /* ACS-2 7.10.3: LBA in bits 0-47, count in 48-63 */
	u64 value;
};
_Static_assert(sizeof(struct ata_trim_range) == 8, "ACS-2, table 38");
#define ATA_TRIM_LBA ((1ull << 48) - 1)
#define ATA_TRIM_COUNT (0xffffull << 48)

/* ---- bus master: eight ports a channel (SFF 8038i, 2.0) */
#define IDE_BM_COMMAND 0
#define IDE_BM_STATUS 2
#define IDE_BM_TABLE 4
#define IDE_BM_COMMAND_START 0x01u
#define IDE_BM_COMMAND_TO_MEMORY 0x08u
#define IDE_BM_STATUS_ACTIVE 0x01u
#define IDE_BM_STATUS_ERROR 0x02u
#define IDE_BM_STATUS_INTERRUPT 0x04u
#define IDE_BM_STATUS_CAPABLE 0x60u /* software's own: drive 0, drive 1 */

struct ide_prd { /* SFF 8038i, 1.2 */
	u32 base;  /* bit 0 is zero */
	u32 count; /* bytes in bits 0-15, even, 0 is 64 KiB; bit 31: the last one */
};
_Static_assert(sizeof(struct ide_prd) == 8, "SFF 8038i 1.0, figure 1");
#define IDE_PRD_LAST 0x80000000u
#define IDE_PRD_TABLE_MAX 8192u /* entries: the table may not cross 64 KiB */

/* ---- PIIX4 function 1 (82371AB, 5.0) */
#define PIIX4_IDE_TIMING 0x40    /* 16 bits a channel */
#define PIIX4_IDE_TIMING_DECODE 0x8000u
#define PIIX4_IDE_SLAVE_TIMING 0x44
#define PIIX4_IDE_UDMA_CONTROL 0x48
#define PIIX4_IDE_UDMA_TIMING 0x4a
