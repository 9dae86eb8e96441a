/* VMBus channel messages and ring layout. Source: Linux include/linux/hyperv.h; openvmm vmbus_core protocol.rs. */
#pragma once

#include "lib/core/guid.h"

#define VMBUS_VERSION(major, minor) ((u32)(major) << 16 | (minor))
#define VMBUS_VERSION_COPPER VMBUS_VERSION(6, 0)
#define VMBUS_VERSION_IRON VMBUS_VERSION(5, 3)
#define VMBUS_VERSION_WIN10_V5 VMBUS_VERSION(5, 0)
#define VMBUS_VERSION_WIN10_RS3 VMBUS_VERSION(4, 1)
#define VMBUS_VERSION_WIN10_RS4 VMBUS_VERSION(5, 1)
#define VMBUS_VERSION_WIN10_RS5 VMBUS_VERSION(5, 2)
#define VMBUS_VERSION_WIN10 VMBUS_VERSION(4, 0)
#define VMBUS_VERSION_WIN8_1 VMBUS_VERSION(3, 0)
#define VMBUS_VERSION_WIN8 VMBUS_VERSION(2, 4)

enum vmbus_message_type {
	VMBUS_OFFER = 1,
	VMBUS_RESCIND = 2,
	VMBUS_REQUEST_OFFERS = 3,
	VMBUS_ALL_OFFERS_DELIVERED = 4,
	VMBUS_OPEN = 5,
	VMBUS_OPEN_RESULT = 6,
	VMBUS_CLOSE = 7,
	VMBUS_GPADL_HEADER = 8,
	VMBUS_GPADL_BODY = 9,
	VMBUS_GPADL_CREATED = 10,
	VMBUS_GPADL_TEARDOWN = 11,
	VMBUS_GPADL_TORNDOWN = 12,
	VMBUS_RELID_RELEASED = 13,
	VMBUS_INITIATE_CONTACT = 14,
	VMBUS_VERSION_RESPONSE = 15,
	VMBUS_UNLOAD = 16,
	VMBUS_UNLOAD_COMPLETE = 17,
	VMBUS_TL_CONNECT_REQUEST = 21,
	VMBUS_MODIFY_CHANNEL = 22,
	VMBUS_TL_CONNECT_RESULT = 23,
	VMBUS_MODIFY_CHANNEL_RESPONSE = 24,
};

struct vmbus_header {
	u32 type, padding;
};

struct vmbus_offer {
	struct vmbus_header header;
	struct guid interface, instance;
	u32 reserved1[4];
	u16 flags, mmio_mb;
	u8 user[120];
	u16 sub_channel_index, reserved2;
	u32 relid;
	u8 monitor_id, monitor_allocated;
	u16 dedicated_interrupt;
	u32 connection_id;
};
_Static_assert(sizeof(struct vmbus_offer) == 196, "hyperv.h vmbus_channel_offer_channel");
_Static_assert(offsetof(struct vmbus_offer, relid) == 184, "hyperv.h vmbus_channel_offer_channel");

#define VMBUS_OFFER_NAMED_PIPE 0x10u
#define VMBUS_OFFER_TLNPI 0x2000u
#define VMBUS_PIPE_MODE_BYTE 0u
#define VMBUS_PIPE_MODE_MESSAGE 4u
#define VMBUS_NO_MONITOR 0xff

struct vmbus_relid {
	struct vmbus_header header;
	u32 relid;
};

struct vmbus_open {
	struct vmbus_header header;
	u32 relid, open_id, gpadl, target_vp, downstream_page;
	u8 user[120];
};
_Static_assert(sizeof(struct vmbus_open) == 148, "hyperv.h vmbus_channel_open_channel");

#define VMBUS_VP_NO_INTERRUPT 0xffffffffu /* target_vp: the guest polls (vmbus_core VP_INDEX_DISABLE_INTERRUPT) */

struct vmbus_open_result {
	struct vmbus_header header;
	u32 relid, open_id, status;
};

struct vmbus_gpadl_header {
	struct vmbus_header header;
	u32 relid, gpadl;
	u16 range_len, range_count;
	u32 byte_count, byte_offset; /* of the first range; its page numbers follow */
	u64 pages[26];
} __packed;
_Static_assert(offsetof(struct vmbus_gpadl_header, pages) == 28, "hyperv.h vmbus_channel_gpadl_header");

struct vmbus_gpadl_body {
	struct vmbus_header header;
	u32 message_number, gpadl;
	u64 pages[28];
};
_Static_assert(offsetof(struct vmbus_gpadl_body, pages) == 16, "hyperv.h vmbus_channel_gpadl_body");

struct vmbus_gpadl_created {
	struct vmbus_header header;
	u32 relid, gpadl, status;
};

struct vmbus_gpadl_teardown {
	struct vmbus_header header;
	u32 relid, gpadl;
};

struct vmbus_gpadl_torndown {
	struct vmbus_header header;
	u32 gpadl;
};

struct vmbus_initiate_contact {
	struct vmbus_header header;
	u32 version, target_vp;
	u8 sint, vtl, reserved[2];
	u32 feature_flags;
	u64 monitor_page1, monitor_page2;
};
_Static_assert(sizeof(struct vmbus_initiate_contact) == 40, "hyperv.h vmbus_channel_initiate_contact");

struct vmbus_version_response {
	struct vmbus_header header;
	u8 supported, state;
	u16 padding;
	u32 connection_id; /* for later messages, from version 5.0 on */
};

struct vmbus_version_response2 { /* to 6.0 and later, when supported */
	struct vmbus_version_response response;
	u32 supported_features;
};
_Static_assert(sizeof(struct vmbus_version_response2) == 20, "openvmm protocol.rs VersionResponse2");

struct vmbus_tl_connect_request {
	struct vmbus_header header;
	struct guid endpoint, service;
};

struct vmbus_tl_connect_result {
	struct vmbus_header header;
	struct guid endpoint, service;
	u32 status;
};

struct vmbus_modify_channel {
	struct vmbus_header header;
	u32 relid, target_vp;
};

struct vmbus_modify_channel_response {
	struct vmbus_header header;
	u32 relid, status;
};

enum vmbus_status { /* NTSTATUS values, in the status fields above */
	VMBUS_STATUS_SUCCESS = 0,
	VMBUS_STATUS_UNSUCCESSFUL = 0xc0000001,
	VMBUS_STATUS_CONNECTION_REFUSED = 0xc0000236,
};
#define VMBUS_CONNECTION_FAILED_UNKNOWN 2u /* vmbus_version_response.state */

/* ---- rings */
struct vmbus_ring_control { /* first page of a ring */
	u32 write_index, read_index;
	u32 interrupt_mask;
	u32 pending_send_size;
	u32 reserved[12];
	u32 feature_bits;
};
_Static_assert(offsetof(struct vmbus_ring_control, feature_bits) == 64, "hyperv.h hv_ring_buffer");
#define VMBUS_RING_PENDING_SEND 1u

struct vmbus_packet {
	u16 type, data_offset8, length8, flags;
	u64 transaction_id;
};
_Static_assert(sizeof(struct vmbus_packet) == 16, "hyperv.h vmpacket_descriptor");
#define VMBUS_PACKET_IN_BAND 6
#define VMBUS_PACKET_GPA_DIRECT 9
#define VMBUS_PACKET_COMPLETION 11
#define VMBUS_PACKET_FLAG_COMPLETION_REQUESTED 1u
#define VMBUS_PACKET_TRAILER 8

/* a GPA-direct packet has this between descriptor and payload, then for each range {byte count, byte offset, page numbers} */
struct vmbus_gpa_direct {
	u32 reserved, range_count;
};
struct vmbus_gpa_range {
	u32 byte_count, byte_offset; /* page numbers follow, as many as the two need */
};
_Static_assert(sizeof(struct vmbus_gpa_range) == 8, "hyperv.h gpa_range");

struct vmbus_pipe_header {
	u32 type; /* 1: data */
	u32 length;
};
#define VMBUS_PIPE_DATA 1u

/* connections that messages are posted to */
#define VMBUS_CONNECTION_LEGACY 1u
#define VMBUS_CONNECTION_MULTI_CLIENT 4u
#define VMBUS_CONNECTION_REDIRECT_VTL2 0x800074u
#define VMBUS_CHANNEL_CONNECTION(relid, sint, vtl) ((relid) | (u32)(sint) << 12 | (u32)(vtl) << 16)
#define VMBUS_SINT 2
