/* Guest emulation transport: what VTL2 asks of its host. Source: openvmm vm/devices/get/get_protocol. */
#pragma once

#include "lib/core/guid.h"

#define GET_INTERFACE GUID(0x8dedd1aa, 0x9056, 0x49e4, 0xbf, 0xd6, 0x1b, 0xf9, 0x0d, 0xc3, 0x8e, 0xf0)
#define GET_INSTANCE GUID(0xd3e4454d, 0x62af, 0x44ec, 0xb8, 0x51, 0x31, 0x70, 0x91, 0x5e, 0x5f, 0x56)

#define GET_HEADER_VERSION 1
#define GET_MESSAGE_MAX 12288
#define GET_PAYLOAD_MAX 8192

enum get_message_type { GET_HOST_NOTIFICATION = 1, GET_HOST_REQUEST = 2, GET_HOST_RESPONSE = 3, GET_GUEST_NOTIFICATION = 4 };

enum get_version { GET_VERSION_RS5 = 0x10000, GET_VERSION_IRON = 0x30000, GET_VERSION_NICKEL = 0x40002 };

enum get_request {
	GET_VERSION = 1,
	GET_TIME = 2,
	GET_BIOS_BOOT_FINALIZE = 3,
	GET_VMGS_DEVICE_INFO = 4,
	GET_VMGS_READ = 5,
	GET_VMGS_WRITE = 6,
	GET_VMGS_FLUSH = 7,
	GET_DEVICE_PLATFORM_SETTINGS_V2 = 18,
	GET_DEVICE_PLATFORM_SETTINGS_V2_REV1 = 27,
};

enum get_notification {
	GET_POWER_OFF = 1,
	GET_RESET = 2,
	GET_EVENT_LOG = 3,
	GET_LOG_TRACE = 4,
	GET_RESTORE_COMPLETED = 5,
	GET_MODIFY_VTL2_SETTINGS_COMPLETED = 6,
	GET_START_VTL0_COMPLETED = 7,
	GET_VTL_CRASH = 8,
	GET_TRIPLE_FAULT = 9,
};

/* from the host */
enum get_guest_notification {
	GET_UPDATE_GENERATION_ID = 1,
	GET_SAVE_GUEST = 2,
	GET_VPCI = 4,
	GET_MODIFY_VTL2_SETTINGS = 5,
	GET_MODIFY_VTL2_SETTINGS_REV1 = 6,
	GET_BATTERY = 7,
	GET_INJECT_DEBUG_INTERRUPT = 8,
};

struct get_header {
	u8 version, type;
	u16 id;
};
_Static_assert(sizeof(struct get_header) == 4, "get_protocol HeaderRaw");

struct get_version_request {
	struct get_header header;
	u32 version;
};

struct get_version_response {
	struct get_header header;
	u8 accepted, pad;
};
_Static_assert(sizeof(struct get_version_response) == 6, "get_protocol VersionResponse");

struct get_time_response {
	struct get_header header;
	u32 pad;
	u64 reference_time; /* 100 ns */
	s64 utc;            /* 100 ns since 1601-01-01 */
	s16 time_zone;      /* minutes */
	u8 daylight_savings, pad1[5];
};
_Static_assert(sizeof(struct get_time_response) == 32, "get_protocol TimeResponse");

struct get_dps_v2_response {
	struct get_header header;
	u32 size, payload_state; /* then the JSON text */
};
_Static_assert(sizeof(struct get_dps_v2_response) == 12, "get_protocol DevicePlatformSettingsResponseV2Rev1");
#define GET_PAYLOAD_END 0
#define GET_PAYLOAD_MORE 1

/* the document follows; the second form may come in pieces */
struct get_modify_settings {
	struct get_header header;
	u32 size;
};
_Static_assert(sizeof(struct get_modify_settings) == 8, "get_protocol ModifyVtl2SettingsNotification");
struct get_modify_settings_rev1 {
	struct get_header header;
	u32 size, payload_state;
};
_Static_assert(sizeof(struct get_modify_settings_rev1) == 12, "get_protocol ModifyVtl2SettingsRev1Notification");
struct get_modify_settings_completed {
	struct get_header header;
	u32 status, document_size; /* the document: JSON list of {error_id, message, file_name, line} */
};
_Static_assert(sizeof(struct get_modify_settings_completed) == 12, "get_protocol ModifyVtl2SettingsCompleteNotification");
#define GET_MODIFY_SUCCESS 0
#define GET_MODIFY_FAILURE 1

struct get_power_off {
	struct get_header header;
	u8 hibernate, pad;
};

struct get_event_log {
	struct get_header header;
	u32 event; /* enum get_event_log_id */
};
_Static_assert(sizeof(struct get_event_log) == 8, "get_protocol EventLogNotification");

/* get_protocol EventLogId, those that are sent here */
enum get_event_log_id {
	GET_EVENT_VMGS_INIT_FAILED = 8, GET_EVENT_VMGS_INVALID_FORMAT = 9, GET_EVENT_VMGS_CORRUPT_FORMAT = 10,
	GET_EVENT_WATCHDOG_TIMEOUT_RESET = 13, GET_EVENT_VMGS_ACCESS_FAILED = 15,
};

struct get_update_generation_id {
	struct get_header header;
	u32 pad;
	u8 generation_id[16];
};
_Static_assert(sizeof(struct get_update_generation_id) == 24, "get_protocol UpdateGenerationId");

struct get_start_vtl0_completed {
	struct get_header header;
	u32 status; /* 0 success */
	u32 document_size;
};
_Static_assert(sizeof(struct get_start_vtl0_completed) == 12, "get_protocol StartVtl0CompleteNotification");

struct get_vtl_crash {
	struct get_header header;
	u32 vp_index;
	u8 last_vtl, reserved0;
	u16 reserved1;
	u32 reserved2;
	u64 control, parameters[5];
};
_Static_assert(sizeof(struct get_vtl_crash) == 64, "get_protocol VtlCrashNotification");

struct get_triple_fault {
	struct get_header header;
	u32 vp_index, fault_type, register_count; /* then the registers */
};
#define GET_FAULT_UNRECOVERABLE_EXCEPTION 1
_Static_assert(sizeof(struct get_triple_fault) == 16, "get_protocol TripleFaultNotification");
struct get_register {
	u32 name; /* enum hv_register */
	u64 value[2];
} __attribute__((packed));
_Static_assert(sizeof(struct get_register) == 20, "get_protocol RegisterState");

/* ---- the guest-state device (spec/vmgs.h says what is on it): logical sectors, at most GET_PAYLOAD_MAX bytes a message */
enum get_vmgs_status {
	GET_VMGS_SUCCESS = 0,
	GET_VMGS_INVALID_COMMAND = 1,
	GET_VMGS_DEVICE_ERROR = 2, /* also what a host without a device answers (guest_emulation_device/src/lib.rs) */
	GET_VMGS_RETRY = 3,
};

/* get device info and flush ask with a header alone; flush and write are answered with a status alone */
struct get_vmgs_device_info_response {
	struct get_header header;
	u32 status;
	u64 capacity; /* in logical sectors */
	u16 bytes_per_logical_sector, bytes_per_physical_sector;
	u32 maximum_transfer_size_bytes;
};
_Static_assert(sizeof(struct get_vmgs_device_info_response) == 24, "get_protocol VmgsGetDeviceInfoResponse");
_Static_assert(offsetof(struct get_vmgs_device_info_response, maximum_transfer_size_bytes) == 20,
	       "get_protocol VmgsGetDeviceInfoResponse");

struct get_vmgs_io_request {
	struct get_header header;
	u32 flags;
	u64 sector_offset;
	u32 sector_count, pad; /* a write's data follows */
};
_Static_assert(sizeof(struct get_vmgs_io_request) == 24, "get_protocol VmgsReadRequest, VmgsWriteRequest");
_Static_assert(offsetof(struct get_vmgs_io_request, sector_count) == 16, "get_protocol VmgsReadRequest, VmgsWriteRequest");
#define GET_VMGS_WRITE_THROUGH 0x00000001u

struct get_vmgs_response {
	struct get_header header;
	u32 status; /* a read's data follows when it is GET_VMGS_SUCCESS */
};
_Static_assert(sizeof(struct get_vmgs_response) == 8, "get_protocol VmgsReadResponse, VmgsWriteResponse, VmgsFlushResponse");

/*
 * The log channel, apart from GET's: same interface, an instance of its own (guest_emulation_log/src/lib.rs, offer()). One
 * message is one record: the header, then the bytes that its fields point at; offsets count from the header's end.
 * get_protocol/src/lib.rs, from GET_LOG_INTERFACE_GUID on.
 */
#define GET_LOG_INSTANCE GUID(0xaa5de534, 0xd149, 0x487a, 0x90, 0x53, 0x05, 0x97, 0x2b, 0xa2, 0x0a, 0x7c)
#define GET_LOG_NAME_MAX 128u
#define GET_LOG_TARGET_MAX 128u
#define GET_LOG_FIELDS_MAX 256u
#define GET_LOG_MESSAGE_MAX 4096u

enum get_log_type { GET_LOG_EVENT = 0, GET_LOG_SPAN_ENTER = 1, GET_LOG_SPAN_EXIT = 2 };

enum get_log_level {
	GET_LOG_CRITICAL = 1, GET_LOG_ERROR = 2, GET_LOG_WARNING = 3, GET_LOG_INFORMATION = 4, GET_LOG_VERBOSE = 5,
};

#define GET_LOG_FLAG_KMSG 1u /* from VTL2's kernel log as it was, not from the firmware's own tracing */

struct get_log_part {
	u16 size, offset;
};

struct get_log_header {
	u8 type, level;
	u16 flags;
	struct get_log_part name, target, fields, message; /* message: JSON, the rest repeats parts of it */
	u32 zero;
	struct guid activity, related_activity, correlation;
	u64 timestamp;         /* 100 ns since VTL2's kernel began */
};
_Static_assert(sizeof(struct get_log_part) == 4, "get_protocol TraceLoggingBufferOffset");
_Static_assert(sizeof(struct get_log_header) == 80, "get_protocol TraceLoggingNotificationHeader");
_Static_assert(offsetof(struct get_log_header, timestamp) == 72, "get_protocol TraceLoggingNotificationHeader");
#define GET_LOG_NOTIFICATION_MAX (sizeof(struct get_log_header) + GET_LOG_NAME_MAX + GET_LOG_TARGET_MAX + \
				  GET_LOG_FIELDS_MAX + GET_LOG_MESSAGE_MAX)
