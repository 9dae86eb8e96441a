/*
 * One direction of a channel, seen from the server: pages that the other side may scribble over at any moment. Every
 * index is read once and checked; a packet is copied out before it is looked at. One owner thread.
 */
#pragma once

#include "spec/vmbus.h"

struct ring {
	u8 **pages;     /* host addresses; [0] is the control page */
	u32 page_count;
	u32 own_index;  /* our side of the pair: never taken back from shared memory */
};

enum ring_status {
	RING_OK,
	RING_EMPTY,
	RING_FULL,
	RING_CORRUPT, /* the other side broke the protocol: close the channel */
};

/* pages: at least 2; owned by the caller and valid while the ring is used. -1 otherwise. */
int ring_init(struct ring *r, u8 **pages, u32 page_count, bool reader) __must_check;

struct ring_received {
	u16 type, flags;
	u64 transaction_id;
	u32 len;
	u32 head_len; /* bytes in front of the payload that were read with it */
};

/* Copies the next packet's payload to data (at most max bytes; a longer one is RING_CORRUPT) and frees its room.
 * *ret_signal: the writer waits for room and must be signalled. */
enum ring_status ring_read(struct ring *r, void *data, u32 max, struct ring_received *ret, bool *ret_signal) __must_check;
/* the same with what lies between descriptor and payload (page ranges): head_len bytes of that, then len of payload */
enum ring_status ring_read_packet(struct ring *r, void *data, u32 max, struct ring_received *ret, bool *ret_signal) __must_check;
bool ring_readable(struct ring *r);
/* while masked the writer does not signal; unmask, then look at ring_readable() once more */
void ring_mask(struct ring *r, bool masked);

/* Writes one packet from two parts. *ret_signal: the reader was waiting (ring was empty and not masked). */
enum ring_status ring_write(struct ring *r, u16 type, u16 flags, u64 transaction_id, const void *head, u32 head_len,
			    const void *body, u32 body_len, bool *ret_signal) __must_check;
/* payload bytes that surely fit */
u32 ring_room(struct ring *r);
/* ask the reader to signal once so many bytes are free; 0 takes it back */
void ring_want_room(struct ring *r, u32 bytes);
