/*
 * SCSI commands and their data. Big endian where a field has more than a byte. Sources: T10 SAM-5 (status), SPC-4 (INQUIRY,
 * MODE SENSE, persistent reservations, sense data), SBC-3 (block commands, pages B0, B1, B2); Linux
 * include/scsi/scsi_proto.h for the same numbers.
 */
#pragma once

#include "lib/core/types.h"

enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_READ_6 = 0x08,
	SCSI_WRITE_6 = 0x0a,
	SCSI_INQUIRY = 0x12,
	SCSI_MODE_SELECT_6 = 0x15,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_START_STOP_UNIT = 0x1b,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_VERIFY_10 = 0x2f,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_WRITE_SAME_10 = 0x41,
	SCSI_UNMAP = 0x42,
	SCSI_MODE_SELECT_10 = 0x55,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_PERSISTENT_RESERVE_IN = 0x5e,
	SCSI_PERSISTENT_RESERVE_OUT = 0x5f,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8a,
	SCSI_VERIFY_16 = 0x8f,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_WRITE_SAME_16 = 0x93,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
	SCSI_VERIFY_12 = 0xaf,
};

#define SCSI_SAI_READ_CAPACITY_16 0x10 /* SBC-3 5.16 */

enum scsi_status { /* SAM-5 5.3 */
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18,
};

enum scsi_sense_key { /* SPC-4 4.5.6 */
	SENSE_NO_SENSE = 0x0,
	SENSE_NOT_READY = 0x2,
	SENSE_MEDIUM_ERROR = 0x3,
	SENSE_HARDWARE_ERROR = 0x4,
	SENSE_ILLEGAL_REQUEST = 0x5,
	SENSE_UNIT_ATTENTION = 0x6,
	SENSE_DATA_PROTECT = 0x7,
	SENSE_ABORTED_COMMAND = 0xb,
	SENSE_MISCOMPARE = 0xe,
};

/* additional sense code << 8 | qualifier (SPC-4 annex D) */
enum scsi_asc {
	ASC_NONE = 0x0000,
	ASC_START_UNIT_REQUIRED = 0x0402,
	ASC_WRITE_ERROR = 0x0c00,
	ASC_READ_ERROR = 0x1100,
	ASC_PARAMETER_LIST_LENGTH = 0x1a00,
	ASC_MISCOMPARE = 0x1d00,
	ASC_INVALID_OPCODE = 0x2000,
	ASC_LBA_OUT_OF_RANGE = 0x2100,
	ASC_INVALID_FIELD_IN_CDB = 0x2400,
	ASC_LUN_NOT_SUPPORTED = 0x2500,
	ASC_INVALID_FIELD_IN_PARAMETERS = 0x2600,
	ASC_INVALID_RELEASE = 0x2604,
	ASC_WRITE_PROTECTED = 0x2700,
	ASC_POWER_ON_RESET = 0x2900,
	ASC_BUS_RESET = 0x2902,
	ASC_CAPACITY_CHANGED = 0x2a09,
	ASC_RESERVATIONS_PREEMPTED = 0x2a03,
	ASC_REPORTED_LUNS_CHANGED = 0x3f0e,
	ASC_INTERNAL_FAILURE = 0x4400,
};

struct scsi_fixed_sense { /* SPC-4 4.5.3 */
	u8 response_code; /* 0x70 current, 0x71 deferred */
	u8 obsolete, key;
	u8 information[4];
	u8 additional_length;
	u8 command_specific[4];
	u8 asc, ascq, unit_code, key_specific[3];
};
_Static_assert(sizeof(struct scsi_fixed_sense) == 18, "SPC-4 table 53");
#define SENSE_CURRENT_FIXED 0x70

struct scsi_inquiry { /* SPC-4 6.6.2, the first 36 bytes and version descriptors */
	u8 device, removable, version, format;
	u8 additional_length, flags5, flags6, flags7;
	char vendor[8], product[16], revision[4];
	u8 vendor_specific[20], reserved1[2];
	u8 version_descriptors[16];
	u8 reserved2[22];
};
_Static_assert(sizeof(struct scsi_inquiry) == 96, "SPC-4 table 158");
_Static_assert(offsetof(struct scsi_inquiry, version_descriptors) == 58, "SPC-4 table 158");
#define INQUIRY_NO_DEVICE 0x7f       /* qualifier 3, type 1Fh: no logical unit can be here */
#define INQUIRY_VERSION_SPC3 5
#define INQUIRY_FORMAT_2 2
#define INQUIRY_CMDQUE 0x02
#define CDB_EVPD 0x01

struct scsi_vpd_header {
	u8 device, page, length[2];
};
#define VPD_SUPPORTED_PAGES 0x00
#define VPD_SERIAL_NUMBER 0x80
#define VPD_DEVICE_IDENTIFICATION 0x83
#define VPD_BLOCK_LIMITS 0xb0
#define VPD_BLOCK_CHARACTERISTICS 0xb1
#define VPD_PROVISIONING 0xb2

struct scsi_block_limits { /* SBC-3 6.6.3, after the header */
	u8 wsnz, compare_and_write;
	u8 transfer_granularity[2];
	u8 max_transfer[4], optimal_transfer[4], max_prefetch[4];
	u8 max_unmap_lbas[4], max_unmap_descriptors[4];
	u8 unmap_granularity[4], unmap_alignment[4];
	u8 max_write_same[8];
	u8 reserved[20];
};
_Static_assert(sizeof(struct scsi_block_limits) == 0x3c, "SBC-3 table 175");
_Static_assert(offsetof(struct scsi_block_limits, max_write_same) == 32, "SBC-3 table 175");
#define UNMAP_ALIGNMENT_VALID 0x80

struct scsi_block_characteristics { /* SBC-3 6.6.2 */
	u8 rotation_rate[2], product_type, form_factor;
	u8 reserved[56];
};
_Static_assert(sizeof(struct scsi_block_characteristics) == 0x3c, "SBC-3 table 170");
#define ROTATION_NONE 1

struct scsi_provisioning { /* SBC-3 6.6.4 */
	u8 threshold_exponent, flags, type, reserved;
};
#define PROVISIONING_LBPU 0x80
#define PROVISIONING_LBPWS 0x40
#define PROVISIONING_LBPWS10 0x20
#define PROVISIONING_LBPRZ 0x04
#define PROVISIONING_FULL 0
#define PROVISIONING_THIN 2

struct scsi_capacity_10 {
	u8 last_lba[4], block_len[4];
};
struct scsi_capacity_16 { /* SBC-3 5.16.2 */
	u8 last_lba[8], block_len[4];
	u8 protection, exponent;
	u8 lowest_aligned[2]; /* the top bits: LBPME, LBPRZ */
	u8 reserved[16];
};
_Static_assert(sizeof(struct scsi_capacity_16) == 32, "SBC-3 table 65");
#define CAPACITY_LBPME 0x80
#define CAPACITY_LBPRZ 0x40

struct scsi_unmap_header { /* SBC-3 5.28 */
	u8 data_length[2], descriptor_length[2], reserved[4];
};
struct scsi_unmap_descriptor {
	u8 lba[8], count[4], reserved[4];
};
_Static_assert(sizeof(struct scsi_unmap_descriptor) == 16, "SBC-3 table 89");

/* bits of CDBs */
#define CDB_FUA 0x08            /* byte 1 of READ and WRITE */
#define CDB_RDPROTECT 0xe0      /* likewise; also WRPROTECT and VRPROTECT */
#define CDB_BYTCHK 0x06         /* VERIFY */
#define CDB_WS_UNMAP 0x08       /* WRITE SAME */
#define CDB_WS_ANCHOR 0x10
#define CDB_WS_NDOB 0x01        /* WRITE SAME (16): no data-out buffer, zeroes are meant */
#define CDB_START 0x01
#define CDB_LOEJ 0x02
#define CDB_POWER_CONDITION 0xf0
#define CDB_DBD 0x08            /* MODE SENSE: no block descriptor */
#define CDB_LLBAA 0x10
#define CDB_SELECT_SP 0x01
#define CDB_SELECT_PF 0x10
#define CDB_DESC 0x01           /* REQUEST SENSE: descriptor format */

/* mode pages (SPC-4 7.5, SBC-3 6.5) */
#define MODE_PAGE_READ_WRITE_ERROR 0x01
#define MODE_PAGE_CACHING 0x08
#define MODE_PAGE_CONTROL 0x0a
#define MODE_PAGE_INFORMATIONAL 0x1c
#define MODE_PAGE_ALL 0x3f
#define MODE_CURRENT 0
#define MODE_CHANGEABLE 1
#define MODE_DEFAULT 2
#define MODE_SAVED 3
#define MODE_WP 0x80            /* device-specific parameter: write protected */
#define MODE_DPOFUA 0x10
#define MODE_CACHING_WCE 0x04

/* persistent reservations (SPC-4 5.13, 6.15, 6.16) */
enum scsi_pr_in { PR_READ_KEYS, PR_READ_RESERVATION, PR_REPORT_CAPABILITIES, PR_READ_FULL_STATUS };
enum scsi_pr_out {
	PR_REGISTER, PR_RESERVE, PR_RELEASE, PR_CLEAR, PR_PREEMPT, PR_PREEMPT_AND_ABORT, PR_REGISTER_AND_IGNORE,
	PR_REGISTER_AND_MOVE
};
enum scsi_pr_type {
	PR_WRITE_EXCLUSIVE = 1, PR_EXCLUSIVE_ACCESS = 3, PR_WRITE_EXCLUSIVE_REGISTRANTS = 5, PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	PR_WRITE_EXCLUSIVE_ALL = 7, PR_EXCLUSIVE_ACCESS_ALL = 8
};
struct scsi_pr_parameters {
	u8 key[8], service_key[8], obsolete1[4], flags, reserved, obsolete2[2];
};
_Static_assert(sizeof(struct scsi_pr_parameters) == 24, "SPC-4 table 222");
#define PR_SPEC_I_PT 0x08
#define PR_ALL_TG_PT 0x04
#define PR_APTPL 0x01
