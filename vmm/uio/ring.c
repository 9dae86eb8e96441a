#include "vmm/uio/ring.h"

#include <errno.h>

struct packet {
	u16 type, offset8, length8, flags;
	u64 transaction;
};

struct pipe_header {
	u32 type, length;
};

#define PIPE_DATA 1u
#define TRAILER_LEN 8u

bool uio_ring_init(struct uio_ring *r, void *memory, size_t len)
{
	if (len < 2 * RING_CONTROL_LEN || len % RING_CONTROL_LEN || len > 1u << 30)
		return false;
	*r = (struct uio_ring){ memory, (volatile u8 *)memory + RING_CONTROL_LEN, (u32)len - RING_CONTROL_LEN };
	return true;
}

static void put(struct uio_ring *r, u32 *at, const void *data, size_t len)
{
	size_t first = MIN(len, (size_t)(r->size - *at));

	/* nobody reads it before write_index moves */
	__builtin_memcpy((u8 *)r->data + *at, data, first);
	__builtin_memcpy((u8 *)r->data, (const u8 *)data + first, len - first);
	*at = (u32)((*at + len) % r->size);
}

static void get(struct uio_ring *r, u32 at, void *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		((u8 *)data)[i] = r->data[at];
		at = at + 1 == r->size ? 0 : at + 1;
	}
}

static u32 room_of(const struct uio_ring *r, u32 write, u32 read)
{
	return write >= read ? r->size - (write - read) : read - write;
}

int uio_ring_send(struct uio_ring *r, const void *data, size_t len, bool *ret_signal)
{
	u32 write = r->control->write_index, read = r->control->read_index, at = write, start = write;
	size_t body = ALIGN_UP(sizeof(struct pipe_header) + len, (size_t)8), total = sizeof(struct packet) + body + TRAILER_LEN;
	u64 zero = 0, trailer = (u64)start << 32;

	*ret_signal = false;
	if (len > 0xffff || total >= r->size)
		return -EMSGSIZE;
	if (write >= r->size || read >= r->size || (write | read) & 7)
		return -EPROTO;
	if (room_of(r, write, read) <= total) { /* a full ring would look empty */
		r->control->pending_send_size = (u32)total + 1;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (room_of(r, write, r->control->read_index % r->size) <= total)
			return -EAGAIN;
		read = r->control->read_index;
		if (read >= r->size || read & 7)
			return -EPROTO;
	}
	r->control->pending_send_size = 0;
	struct packet p = { RING_PACKET_INBAND, sizeof(p) / 8, (u16)((sizeof(p) + body) / 8), 0, 0 };
	struct pipe_header h = { PIPE_DATA, (u32)len };

	put(r, &at, &p, sizeof(p));
	put(r, &at, &h, sizeof(h));
	put(r, &at, data, len);
	put(r, &at, &zero, body - sizeof(h) - len);
	put(r, &at, &trailer, sizeof(trailer));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	r->control->write_index = at;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* only the step from empty to not empty needs a signal (hyperv.h, hv_signal_on_write) */
	*ret_signal = !r->control->interrupt_mask && r->control->read_index == start;
	return 0;
}

int uio_ring_receive(struct uio_ring *r, void *buf, size_t room, bool *ret_signal)
{
	u32 write = r->control->write_index, read = r->control->read_index;
	struct packet p;
	struct pipe_header h;

	*ret_signal = false;
	if (write >= r->size || read >= r->size || (write | read) & 7)
		return -EPROTO;
	if (write == read)
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	u32 used, total;

	if (write < read)
		used = r->size - (read - write);
	else
		used = write - read;
	if (used < sizeof(p) + sizeof(h) + TRAILER_LEN)
		return -EPROTO;
	get(r, read, &p, sizeof(p));
	total = p.length8 * 8u + TRAILER_LEN;
	if (p.type != RING_PACKET_INBAND || p.offset8 * 8u < sizeof(p) ||
	    p.offset8 * 8u + sizeof(h) > p.length8 * 8u || total > used)
		return -EPROTO;
	get(r, (read + p.offset8 * 8u) % r->size, &h, sizeof(h));
	if (h.type != PIPE_DATA || h.length > p.length8 * 8u - p.offset8 * 8u - sizeof(h) || h.length > room || !h.length)
		return -EPROTO;
	get(r, (u32)((read + p.offset8 * 8u + sizeof(h)) % r->size), buf, h.length);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	read = (read + total) % r->size;
	r->control->read_index = read;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* from the write index that stands now: by an older one there may have been room all the time */
	u32 pending = r->control->pending_send_size, now = room_of(r, r->control->write_index % r->size, read);

	*ret_signal = pending && now >= pending && now - MIN(now, total) < pending;
	return (int)h.length;
}

bool uio_ring_empty(struct uio_ring *r)
{
	return r->control->write_index == r->control->read_index;
}

void uio_ring_mask(struct uio_ring *r, bool masked)
{
	r->control->interrupt_mask = masked;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
