/*
 * The storage protocol over a VMBus channel ("vstor"). Little endian. Sources: Linux drivers/scsi/storvsc_drv.c; openvmm
 * vm/devices/storage/storvsp_protocol.
 */
#pragma once

#include "lib/core/guid.h"

#define STORVSP_SCSI_INTERFACE GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f)

#define VSTOR_VERSION_WIN6 0x0200
#define VSTOR_VERSION_WIN7 0x0402
#define VSTOR_VERSION_WIN8 0x0501
#define VSTOR_VERSION_BLUE 0x0600

enum vstor_operation {
	VSTOR_COMPLETE_IO = 1,
	VSTOR_REMOVE_DEVICE = 2,
	VSTOR_EXECUTE_SRB = 3,
	VSTOR_RESET_LUN = 4,
	VSTOR_RESET_ADAPTER = 5,
	VSTOR_RESET_BUS = 6,
	VSTOR_BEGIN_INITIALIZATION = 7,
	VSTOR_END_INITIALIZATION = 8,
	VSTOR_QUERY_PROTOCOL_VERSION = 9,
	VSTOR_QUERY_PROPERTIES = 10,
	VSTOR_ENUMERATE_BUS = 11,
	VSTOR_FC_HBA_DATA = 12,
	VSTOR_CREATE_SUB_CHANNELS = 13,
};

enum vstor_status { /* NTSTATUS values */
	VSTOR_STATUS_SUCCESS = 0,
	VSTOR_STATUS_UNSUCCESSFUL = 0xc0000001,
	VSTOR_STATUS_INVALID_PARAMETER = 0xc000000d,
	VSTOR_STATUS_INVALID_DEVICE_REQUEST = 0xc0000010,
	VSTOR_STATUS_REVISION_MISMATCH = 0xc0000059,
	VSTOR_STATUS_INVALID_DEVICE_STATE = 0xc0000184,
};

#define VSTOR_FLAG_COMPLETION_WANTED 1u

struct vstor_header {
	u32 operation, flags, status;
};
_Static_assert(sizeof(struct vstor_header) == 12, "storvsp_protocol Packet");

#define VSTOR_CDB_LEN 16
#define VSTOR_SENSE_LEN 20

struct vstor_srb {
	u16 length;
	u8 srb_status, scsi_status;
	u8 port, path, target, lun;
	u8 cdb_len, sense_len, data_in, reserved;
	u32 data_len;
	u8 payload[20]; /* the CDB on the way in, sense data on the way out */
	/* from Windows 8 on */
	u16 reserve;
	u8 queue_tag, queue_action;
	u32 flags, timeout_s, sort_key;
};
_Static_assert(sizeof(struct vstor_srb) == 0x34, "storvsp_protocol SCSI_REQUEST_LEN_V2");
_Static_assert(offsetof(struct vstor_srb, reserve) == 0x24, "storvsp_protocol SCSI_REQUEST_LEN_V1");
#define VSTOR_SRB_V1_LEN 0x24
#define VSTOR_DATA_OUT 0
#define VSTOR_DATA_IN 1

enum srb_status {
	SRB_SUCCESS = 0x01,
	SRB_ABORTED = 0x02,
	SRB_ERROR = 0x04,
	SRB_INVALID_REQUEST = 0x06,
	SRB_DATA_OVERRUN = 0x12,
	SRB_INVALID_LUN = 0x20,
	SRB_AUTOSENSE_VALID = 0x80,
};

struct vstor_version {
	u16 version, revision;
};
struct vstor_properties {
	u32 reserved1;
	u16 max_sub_channels, reserved2;
	u32 flags, max_transfer;
	u64 reserved3;
} __packed;
_Static_assert(sizeof(struct vstor_properties) == 24, "storvsp_protocol ChannelProperties");
#define VSTOR_MULTI_CHANNEL 1u

struct vstor_packet {
	struct vstor_header header;
	union {
		struct vstor_srb srb;
		struct vstor_version version;
		struct vstor_properties properties;
		u16 sub_channels;
		u8 bytes[sizeof(struct vstor_srb)];
	};
};
_Static_assert(sizeof(struct vstor_packet) == 64, "storvsc_drv.c vstor_packet");
