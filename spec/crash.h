/*
 * How VTL2 hands a core file to its host: a message pipe of its own. Little endian, packed. Source: openvmm
 * vm/devices/get/get_protocol/src/crash.rs; order and limits: openhcl/underhill_crash, vm/devices/get/guest_crash_device.
 *
 * VTL2 asks CAPABILITIES, CONFIG and START, each answered. Then comes, for each piece, a WRITE and right behind it a message
 * of size bytes and no header; a WRITE is answered only when it failed. COMPLETE has no answer.
 */
#pragma once

#include "lib/core/guid.h"

/* interface and instance */
#define CRASH_CHANNEL GUID(0x427b03e7, 0x4ceb, 0x4286, 0xb5, 0xfc, 0x48, 0x6f, 0x4a, 0x1d, 0xd4, 0x39)
#define CRASH_CHUNK_MAX 16384u /* the longest message */

enum crash_message {
	CRASH_GET_CAPABILITIES = 0x00001,
	CRASH_GET_NIX_DUMP_CONFIG = 0x00102,
	CRASH_NIX_DUMP_START = 0x00103,
	CRASH_NIX_DUMP_WRITE = 0x00104,
	CRASH_NIX_DUMP_COMPLETE = 0x00105,
	CRASH_RESPONSE = 0x10000, /* or'ed to the request's type */
};

#define CRASH_CAPABILITY_LINUX_CONFIG_V1 0x2u /* bit 0: Windows */

enum crash_dump_type { CRASH_DUMP_NONE = 0, CRASH_DUMP_ELF = 1, CRASH_DUMP_KDUMP = 2 };

struct crash_header {
	struct guid activity; /* the same in all messages of one dump */
	u64 type;
} __attribute__((packed));
_Static_assert(sizeof(struct crash_header) == 24, "get_protocol crash::Header");

struct crash_capabilities_response {
	struct crash_header header;
	u64 capabilities;
} __attribute__((packed));
_Static_assert(sizeof(struct crash_capabilities_response) == 32, "get_protocol crash::DumpCapabilitiesResponseV1");

struct crash_config_response {
	struct crash_header header;
	u64 max_dump_size; /* 0: none wanted */
	u32 dump_type;
} __attribute__((packed));
_Static_assert(sizeof(struct crash_config_response) == 36, "get_protocol crash::DumpConfigResponseV1");

/* answers START, and a WRITE that failed */
struct crash_status_response {
	struct crash_header header;
	s32 status; /* HRESULT */
} __attribute__((packed));
_Static_assert(sizeof(struct crash_status_response) == 28, "get_protocol crash::DumpStartResponseV1, DumpWriteResponseV1");

struct crash_write_request {
	struct crash_header header;
	u64 offset;
	u32 size;
} __attribute__((packed));
_Static_assert(sizeof(struct crash_write_request) == 36, "get_protocol crash::DumpWriteRequestV1");

struct crash_complete_request {
	struct crash_header header;
	u32 major_version, minor_version; /* of the kernel */
	char version_banner[256];         /* /proc/version, NUL-terminated */
	u8 vtl;
} __attribute__((packed));
_Static_assert(sizeof(struct crash_complete_request) == 289, "get_protocol crash::DumpCompleteRequestV1");
_Static_assert(offsetof(struct crash_complete_request, vtl) == 288, "get_protocol crash::CompletionInfoV1");

/*
 * The note that is put behind the kernel's own in the core's PT_NOTE segment: the kernel log, records as /dev/kmsg gives them,
 * zeroes, and in the last four bytes the length of what is before the zeroes. Source: openhcl/underhill_crash/src/lib.rs.
 */
#define CRASH_KMSG_NOTE_LEN (256u * 1024) /* header and name included */
#define CRASH_KMSG_NOTE_NAME "KMSG"
#define CRASH_KMSG_NOTE_TYPE 0xffffffffu
struct crash_kmsg_note {
	u32 name_len, desc_len, type;
	char name[8]; /* "KMSG", padded */
};
_Static_assert(sizeof(struct crash_kmsg_note) == 20, "underhill_crash Elf64_Nhdr and name");
