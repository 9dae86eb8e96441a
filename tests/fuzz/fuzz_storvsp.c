/* Well-formed rings, packets of any content: heads, vstor packets and CDBs. Each packet that wants an answer gets one. */
#include <string.h>

#include "lib/core/bytes.h"
#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "vmm/storvsp/storvsp.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct model_guest *g;
static struct model_channel c;

static void set_up(void)
{
	static const struct guid id = { 1, 2, 3, { 4 } };
	struct storvsp *s;

	g = model_create(1);
	s = storvsp_create(g->bus, g->guest, g->home, &id, 0);
	if (!s || storvsp_add(s, 0, disk_ram(256 * KiB, 512, &id), NULL))
		__builtin_trap();
	model_connect(g, VMBUS_VERSION_IRON);
	model_request_offers(g);
	g->read = g->count;
	if (!model_open(g, &c, 1, 0, 16))
		__builtin_trap();
}

static void put(const u8 *body, u32 len, bool gpa_direct, u32 head)
{
	u32 at = c.out.own_index, size = (MODEL_RING_PAGES - 1) * PAGE_SIZE, padded = ALIGN_UP(len, 8u);
	struct vmbus_packet d = { .type = gpa_direct ? VMBUS_PACKET_GPA_DIRECT : VMBUS_PACKET_IN_BAND,
				  .data_offset8 = (u16)((16 + head) / 8), .length8 = (u16)((16 + padded) / 8), .flags = 1 };
	u8 room[16 + 1024 + 8] = { 0 };

	memcpy(room, &d, 16);
	memcpy(room + 16, body, len);
	for (u32 i = 0; i < 16 + padded + 8; i++)
		c.pages[1 + (at + i) % size / PAGE_SIZE][(at + i) % PAGE_SIZE] = room[i];
	c.out.own_index = (at + 16 + padded + 8) % size;
	((struct vmbus_ring_control *)c.pages[0])->write_index = c.out.own_index;
}

static unsigned answers(void)
{
	struct ring_received got;
	u8 data[256];
	bool signal;
	unsigned n = 0;

	while (ring_read(&c.in, data, sizeof(data), &got, &signal) == RING_OK)
		n++;
	return n;
}

static void begin(void)
{
	static const u32 operations[] = { VSTOR_BEGIN_INITIALIZATION, VSTOR_QUERY_PROTOCOL_VERSION, VSTOR_QUERY_PROPERTIES,
					  VSTOR_END_INITIALIZATION };

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		struct vstor_packet m = { .header.operation = operations[i], .version.version = VSTOR_VERSION_BLUE };

		put((const u8 *)&m, sizeof(m), false, 0);
		model_signal(g, 1);
		if (answers() != 1)
			__builtin_trap();
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes b = bytes_of(data, size), body;
	u8 kind, len, head;

	if (!g)
		set_up();
	begin();
	while (bytes_u8(&b, &kind) && bytes_u8(&b, &len) && bytes_u8(&b, &head)) {
		if (!bytes_take(&b, MIN(len, b.left), &body))
			break;
		put(body.at, (u32)body.left, kind & 1, MIN(ALIGN_DOWN((u32)head, 8u), ALIGN_UP((u32)body.left, 8u)));
		model_signal(g, 1);
		if (answers() != 1)
			__builtin_trap();
	}
	return 0;
}
