#include "lib/vmbus/ring.h"

#include <stdatomic.h>
#include <string.h>

static struct vmbus_ring_control *control(struct ring *r)
{
	return (struct vmbus_ring_control *)r->pages[0];
}

static u32 data_size(const struct ring *r)
{
	return (r->page_count - 1) * PAGE_SIZE;
}

static u32 load(const u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(u32 *p, u32 value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

int ring_init(struct ring *r, u8 **pages, u32 page_count, bool reader)
{
	if (page_count < 2 || page_count > 1u << 19)
		return -1;
	*r = (struct ring){ .pages = pages, .page_count = page_count };
	r->own_index = load(reader ? &control(r)->read_index : &control(r)->write_index);
	if (r->own_index >= data_size(r) || r->own_index % 8)
		r->own_index = 0;
	store(reader ? &control(r)->read_index : &control(r)->write_index, r->own_index);
	if (!reader)
		control(r)->feature_bits |= VMBUS_RING_PENDING_SEND;
	return 0;
}

/* the other side's index; false when it cannot be one */
static bool other_index(struct ring *r, const u32 *index, u32 *ret)
{
	*ret = load(index);
	return *ret < data_size(r) && *ret % 8 == 0;
}

/* packets are short and a multiple of eight bytes long: memcpy(), or the string instruction that -Os makes of it, costs more */
static void move(u8 *to, const u8 *from, u32 len)
{
	u64 word;

	for (; len >= sizeof(word); len -= (u32)sizeof(word), to += sizeof(word), from += sizeof(word)) {
		__builtin_memcpy(&word, from, sizeof(word));
		__builtin_memcpy(to, &word, sizeof(word));
	}
	while (len--)
		*to++ = *from++;
}

static void copy(struct ring *r, u32 at, void *bytes, u32 len, bool out)
{
	u8 *p = bytes;

	while (len) {
		at %= data_size(r);
		u32 chunk = MIN(len, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
		u8 *q = r->pages[1 + (at >> PAGE_SHIFT)] + (at & (PAGE_SIZE - 1));

		if (out)
			move(p, q, chunk);
		else
			move(q, p, chunk);
		at += chunk;
		p += chunk;
		len -= chunk;
	}
}

static u32 used(const struct ring *r, u32 write, u32 read)
{
	return write >= read ? write - read : data_size(r) - read + write;
}

bool ring_readable(struct ring *r)
{
	u32 write;

	return other_index(r, &control(r)->write_index, &write) && write != r->own_index;
}

void ring_mask(struct ring *r, bool masked)
{
	__atomic_store_n(&control(r)->interrupt_mask, masked, __ATOMIC_SEQ_CST);
	atomic_thread_fence(memory_order_seq_cst);
}

static enum ring_status take(struct ring *r, void *data, u32 max, bool head, struct ring_received *ret, bool *ret_signal)
{
	struct vmbus_packet packet;
	u32 write;

	*ret_signal = false;
	if (!other_index(r, &control(r)->write_index, &write))
		return RING_CORRUPT;
	u32 available = used(r, write, r->own_index);

	if (!available)
		return RING_EMPTY;
	if (available < sizeof(packet) + VMBUS_PACKET_TRAILER)
		return RING_CORRUPT;
	copy(r, r->own_index, &packet, sizeof(packet), true);
	u32 total = packet.length8 * 8u, offset = packet.data_offset8 * 8u;

	u32 from = head ? (u32)sizeof(packet) : offset;

	if (offset < sizeof(packet) || offset > total || total > available - VMBUS_PACKET_TRAILER || total - from > max)
		return RING_CORRUPT;
	copy(r, r->own_index + from, data, total - from, true);
	*ret = (struct ring_received){ packet.type, packet.flags, packet.transaction_id, total - offset, offset - from };

	r->own_index = (r->own_index + total + VMBUS_PACKET_TRAILER) % data_size(r);
	store(&control(r)->read_index, r->own_index);
	atomic_thread_fence(memory_order_seq_cst);
	u32 wanted = load(&control(r)->feature_bits) & VMBUS_RING_PENDING_SEND ? load(&control(r)->pending_send_size) : 0;

	if (wanted && other_index(r, &control(r)->write_index, &write)) {
		u32 free_now = data_size(r) - used(r, write, r->own_index);

		/*
		 * Was it this packet that made the room? Reckoned from the write index that stands now: the one from above may be
		 * older than the packets that filled the ring, and by it there was room all the time.
		 */
		*ret_signal = free_now > wanted && free_now - MIN(free_now, total + VMBUS_PACKET_TRAILER) <= wanted;
	}
	return RING_OK;
}

enum ring_status ring_read(struct ring *r, void *data, u32 max, struct ring_received *ret, bool *ret_signal)
{
	return take(r, data, max, false, ret, ret_signal);
}

enum ring_status ring_read_packet(struct ring *r, void *data, u32 max, struct ring_received *ret, bool *ret_signal)
{
	return take(r, data, max, true, ret, ret_signal);
}

u32 ring_room(struct ring *r)
{
	u32 read, overhead = sizeof(struct vmbus_packet) + VMBUS_PACKET_TRAILER + 8;

	if (!other_index(r, &control(r)->read_index, &read))
		return 0;
	u32 room = data_size(r) - used(r, r->own_index, read);

	return room > overhead ? ALIGN_DOWN(room - overhead, 8u) : 0;
}

void ring_want_room(struct ring *r, u32 bytes)
{
	__atomic_store_n(&control(r)->pending_send_size, bytes, __ATOMIC_SEQ_CST);
	atomic_thread_fence(memory_order_seq_cst);
}

enum ring_status ring_write(struct ring *r, u16 type, u16 flags, u64 transaction_id, const void *head, u32 head_len,
			    const void *body, u32 body_len, bool *ret_signal)
{
	static const u64 zero;
	u32 payload = ALIGN_UP(head_len + body_len, 8u), read, start = r->own_index, at = start;
	struct vmbus_packet packet = {
		.type = type, .data_offset8 = sizeof(packet) / 8, .length8 = (u16)((sizeof(packet) + payload) / 8),
		.flags = flags, .transaction_id = transaction_id,
	};
	u64 trailer = (u64)start << 32;

	*ret_signal = false;
	if (!other_index(r, &control(r)->read_index, &read))
		return RING_CORRUPT;
	if (payload > 0xffff * 8 - sizeof(packet) ||
	    data_size(r) - used(r, start, read) <= sizeof(packet) + payload + VMBUS_PACKET_TRAILER)
		return RING_FULL;
	copy(r, at, &packet, sizeof(packet), false);
	at += sizeof(packet);
	copy(r, at, (void *)head, head_len, false);
	copy(r, at + head_len, (void *)body, body_len, false);
	copy(r, at + head_len + body_len, (void *)&zero, payload - head_len - body_len, false);
	at += payload;
	copy(r, at, &trailer, sizeof(trailer), false);
	r->own_index = (at + VMBUS_PACKET_TRAILER) % data_size(r);
	__atomic_store_n(&control(r)->write_index, r->own_index, __ATOMIC_SEQ_CST);
	atomic_thread_fence(memory_order_seq_cst);
	*ret_signal = !load(&control(r)->interrupt_mask) && load(&control(r)->read_index) == start;
	return RING_OK;
}
