#include "lib/rpc/ttrpc.h"

#include <errno.h>

/* field numbers: message.rs, struct Request and enum Response; google/rpc/status.proto */
enum { REQUEST_SERVICE = 1, REQUEST_METHOD, REQUEST_PAYLOAD, REQUEST_TIMEOUT };
enum { RESPONSE_STATUS = 1, RESPONSE_PAYLOAD };
enum { STATUS_CODE = 1, STATUS_MESSAGE };

const char *ttrpc_code_name(u32 code)
{
	static const char *const names[] = {
		"ok", "cancelled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists",
		"permission denied", "resource exhausted", "failed precondition", "aborted", "out of range", "unimplemented",
		"internal", "unavailable", "data loss", "unauthenticated",
	};

	return code < ARRAY_SIZE(names) ? names[code] : "unnamed";
}

static u32 get_be32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static void put_be32(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 24);
	p[1] = (u8)(v >> 16);
	p[2] = (u8)(v >> 8);
	p[3] = (u8)v;
}

void ttrpc_header_decode(const u8 in[TTRPC_HEADER_LEN], struct ttrpc_header *ret)
{
	*ret = (struct ttrpc_header){ .length = get_be32(in), .stream = get_be32(in + 4), .type = in[8], .flags = in[9] };
}

void ttrpc_header_encode(const struct ttrpc_header *header, u8 out[TTRPC_HEADER_LEN])
{
	put_be32(out, header->length);
	put_be32(out + 4, header->stream);
	out[8] = header->type;
	out[9] = header->flags;
}

static bool take_bytes(const struct pb_field *f, struct bytes *ret)
{
	if (f->wire != PB_BYTES)
		return false;
	*ret = f->body;
	return true;
}

int ttrpc_request_decode(struct bytes body, struct ttrpc_request *ret)
{
	struct ttrpc_request r = { 0 };
	struct pb_field f;
	bool bad = false, fits = true;

	while (fits && pb_next(&body, &f, &bad)) {
		switch (f.number) {
		case REQUEST_SERVICE: fits = take_bytes(&f, &r.service); break;
		case REQUEST_METHOD: fits = take_bytes(&f, &r.method); break;
		case REQUEST_PAYLOAD: fits = take_bytes(&f, &r.payload); break;
		case REQUEST_TIMEOUT:
			fits = f.wire == PB_VARINT;
			r.timeout_ns = f.value;
			break;
		}
	}
	if (bad || !fits)
		return -EPROTO;
	*ret = r;
	return 0;
}

static int status_decode(struct bytes b, struct ttrpc_response *r)
{
	struct pb_field f;
	bool bad = false;

	r->code = TTRPC_OK;
	while (pb_next(&b, &f, &bad)) {
		if (f.number == STATUS_CODE && f.wire == PB_VARINT)
			r->code = (u32)f.value;
		else if (f.number == STATUS_MESSAGE && f.wire == PB_BYTES)
			r->message = f.body;
	}
	return bad ? -EPROTO : 0;
}

int ttrpc_response_decode(struct bytes body, struct ttrpc_response *ret)
{
	struct ttrpc_response r = { 0 };
	struct pb_field f;
	bool bad = false;

	while (pb_next(&body, &f, &bad)) {
		if (f.number != RESPONSE_STATUS && f.number != RESPONSE_PAYLOAD)
			continue;
		if (f.wire != PB_BYTES)
			return -EPROTO;
		if (f.number == RESPONSE_PAYLOAD)
			r.payload = f.body;
		else if (status_decode(f.body, &r))
			return -EPROTO;
	}
	if (bad)
		return -EPROTO;
	*ret = r;
	return 0;
}

/* the header goes first and its length is known last */
static size_t frame_open(struct pb_writer *w)
{
	static const u8 room[TTRPC_HEADER_LEN];
	size_t mark = w->len;

	pb_raw(w, room, sizeof(room));
	return mark;
}

static void frame_close(struct pb_writer *w, size_t mark, u32 stream, enum ttrpc_type type)
{
	if (w->failed)
		return;
	size_t len = w->len - mark - TTRPC_HEADER_LEN;

	if (len > TTRPC_BODY_MAX) {
		w->failed = true;
		return;
	}
	ttrpc_header_encode(&(struct ttrpc_header){ .length = (u32)len, .stream = stream, .type = (u8)type }, w->data + mark);
}

void ttrpc_request_frame(struct pb_writer *w, u32 stream, const char *service, const char *method, struct bytes payload,
			 u64 timeout_ns)
{
	size_t mark = frame_open(w);

	pb_string(w, REQUEST_SERVICE, service);
	pb_string(w, REQUEST_METHOD, method);
	if (payload.left)
		pb_bytes(w, REQUEST_PAYLOAD, payload.at, payload.left);
	if (timeout_ns)
		pb_u64(w, REQUEST_TIMEOUT, timeout_ns);
	frame_close(w, mark, stream, TTRPC_REQUEST);
}

void ttrpc_payload_frame(struct pb_writer *w, u32 stream, struct bytes payload)
{
	size_t mark = frame_open(w);

	/* written even when empty: the field's presence is what says "success" */
	pb_bytes(w, RESPONSE_PAYLOAD, payload.at, payload.left);
	frame_close(w, mark, stream, TTRPC_RESPONSE);
}

void ttrpc_status_frame(struct pb_writer *w, u32 stream, enum ttrpc_code code, const char *message)
{
	size_t mark = frame_open(w);
	size_t status = pb_open(w, RESPONSE_STATUS);

	pb_u64(w, STATUS_CODE, code);
	pb_string(w, STATUS_MESSAGE, message);
	pb_close(w, status);
	frame_close(w, mark, stream, TTRPC_RESPONSE);
}
