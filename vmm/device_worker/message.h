/*
 * Between a device's proxy in the VMM worker and the process that plays the device. Two sockets, SOCK_SEQPACKET: a packet is a
 * message, header and payload. On *events* both sides speak when they have something to say; on *commands* the proxy asks and
 * the device answers with the same type and id. Little endian; both ends come from one build, and neither trusts the other.
 */
#pragma once

#include "lib/core/bytes.h"

#define DEVICE_MEMORY_MAX 4096u  /* of the guest's memory in a message */
#define DEVICE_PAYLOAD_MAX 65536u /* a saved state, an inspect answer */
#define DEVICE_PATH_MAX 1024u
#define DEVICE_ACCESSES_MAX 64u  /* not answered at once: one a VP */

enum device_message_type {
	DEVICE_ACCESS = 1,  /* event to the device: region, offset, size, write, value */
	DEVICE_ACCESS_DONE, /* event from it: id of the access, value */
	DEVICE_LINE,        /* from it: interrupt line `region` is at level `value` */
	DEVICE_MEMORY_READ, /* from it: `value` bytes at GPA `offset` */
	DEVICE_MEMORY_WRITE,/* from it: payload to GPA `offset` */
	DEVICE_MEMORY_DONE, /* to it: id of the request, error, what was read */
	/* commands */
	DEVICE_START, DEVICE_STOP, /* after STOP's answer: no event comes any more, the state is stable */
	DEVICE_RESET, DEVICE_SAVE, DEVICE_RESTORE,
	DEVICE_INSPECT,     /* payload: path; value: depth. Answer: Node bytes */
	DEVICE_CALL,        /* what only this device knows: value says what, payload both ways */
	DEVICE_END,         /* the process ends after its answer */
	DEVICE_MESSAGE_TYPES,
};

enum device_direction { DEVICE_TO_DEVICE, DEVICE_TO_PROXY, DEVICE_COMMAND, DEVICE_ANSWER };

struct device_message {
	u32 type, id;
	u32 len;   /* of the payload */
	s32 error; /* of DONE and answers: 0 or -errno */
	u64 offset, value;
	u32 region;
	u8 size, write;
	u16 pad;
};
_Static_assert(sizeof(struct device_message) == 40, "device message");

#define DEVICE_PACKET_MAX (sizeof(struct device_message) + DEVICE_PAYLOAD_MAX)

/*
 * A packet into its message and payload: false when it is none that may come in that direction. Then the other side cannot be
 * trusted any more.
 */
bool device_message_parse(struct bytes packet, enum device_direction direction, struct device_message *ret,
			  struct bytes *ret_payload);
/* 0, -EAGAIN (the other side does not read), -EPIPE, other -errno. Does not wait. payload: m->len bytes. Any thread. */
int device_message_send(int fd, const struct device_message *m, const void *payload) __must_check;
