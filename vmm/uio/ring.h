/*
 * One direction of a VMBus channel as its guest sees it (vmbus-vpci-host.md; Linux include/linux/hyperv.h hv_ring_buffer).
 * The other side may write anything at any time: indices are read once and checked, packets are copied once. Not locked.
 */
#pragma once

#include "lib/core/bytes.h"

#define RING_CONTROL_LEN 4096u
#define RING_PACKET_INBAND 6u

struct uio_ring_control {
	u32 write_index, read_index, interrupt_mask, pending_send_size;
	u32 reserved[12];
	u32 features;
};
_Static_assert(offsetof(struct uio_ring_control, features) == 64, "hyperv.h hv_ring_buffer");

struct uio_ring {
	volatile struct uio_ring_control *control;
	volatile u8 *data;
	u32 size;
};

/* memory: a control page, then data; len a multiple of 4 KiB, at least 8 KiB */
bool uio_ring_init(struct uio_ring *r, void *memory, size_t len);
/*
 * One pipe message. 0; -EAGAIN: no room now (pending_send_size asks for it); -EMSGSIZE: never; -EPROTO: the other side's
 * index is nonsense. *ret_signal: the other side may be asleep and must be signalled.
 */
int uio_ring_send(struct uio_ring *r, const void *data, size_t len, bool *ret_signal) __must_check;
/* bytes of one message into buf; 0: nothing there; -EPROTO. *ret_signal: the other side waits for room. */
int uio_ring_receive(struct uio_ring *r, void *buf, size_t room, bool *ret_signal) __must_check;
bool uio_ring_empty(struct uio_ring *r);
void uio_ring_mask(struct uio_ring *r, bool masked);
