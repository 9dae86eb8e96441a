/*
 * ttrpc messages: a 10-byte header in big endian, then a protobuf body (openvmm support/mesh/mesh_rpc/src/message.rs).
 * Parsing and building only; server.h and client.h move the bytes.
 */
#pragma once

#include "lib/rpc/pb.h"

#define TTRPC_HEADER_LEN 10
#define TTRPC_BODY_MAX 0xffffffu /* the top byte of the length is reserved */

enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2 };

/* google/rpc/code.proto */
enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_CANCELLED = 1,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_DEADLINE_EXCEEDED = 4,
	TTRPC_NOT_FOUND = 5,
	TTRPC_PERMISSION_DENIED = 7,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_INTERNAL = 13,
	TTRPC_UNAVAILABLE = 14,
};
const char *ttrpc_code_name(u32 code);

struct ttrpc_header {
	u32 length, stream;
	u8 type, flags;
};

void ttrpc_header_decode(const u8 in[TTRPC_HEADER_LEN], struct ttrpc_header *ret);
void ttrpc_header_encode(const struct ttrpc_header *header, u8 out[TTRPC_HEADER_LEN]);

/* ranges point into the body that was decoded */
struct ttrpc_request {
	struct bytes service, method, payload;
	u64 timeout_ns; /* 0: none */
};

struct ttrpc_response {
	u32 code;             /* TTRPC_OK: payload is the answer, else message says why */
	struct bytes message, payload;
};

/* -EPROTO when malformed; unknown fields are skipped, as protobuf wants it */
int ttrpc_request_decode(struct bytes body, struct ttrpc_request *ret) __must_check;
int ttrpc_response_decode(struct bytes body, struct ttrpc_response *ret) __must_check;

/* whole frames, header included; w->failed tells of a lack of memory */
void ttrpc_request_frame(struct pb_writer *w, u32 stream, const char *service, const char *method, struct bytes payload,
			 u64 timeout_ns);
void ttrpc_payload_frame(struct pb_writer *w, u32 stream, struct bytes payload);
void ttrpc_status_frame(struct pb_writer *w, u32 stream, enum ttrpc_code code, const char *message);
