/*
 * A hostile VTL0 against the VMBus server with a SCSI controller behind it: messages, signals and scribbles into ring memory
 * in any order. After it all an unload must find everything closed.
 */
#include <string.h>

#include "lib/core/bytes.h"
#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "vmm/storvsp/storvsp.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct model_guest *g;

static void set_up(void)
{
	static const struct guid id = { 1, 2, 3, { 4 } };
	struct storvsp *s;

	g = model_create(1);
	s = storvsp_create(g->bus, g->guest, g->home, &id, 2);
	if (!s || storvsp_add(s, 0, disk_ram(256 * KiB, 512, &id), NULL) ||
	    storvsp_add(s, 1, disk_delay(disk_ram(256 * KiB, 4096, &id), 1000000), NULL))
		__builtin_trap();
}

static void step(struct bytes *b)
{
	u8 kind, len8 = 0;
	u16 where = 0;
	u32 connection = 0;
	struct bytes body;
	struct iovec iov;

	if (!bytes_u8(b, &kind))
		return;
	switch (kind % 4) {
	case 0:
		if (bytes_u8(b, &len8) && bytes_take(b, len8 % 241, &body))
			vmbus_post(g->bus, 4, HVMSG_VMBUS, body.at, (u32)body.left);
		break;
	case 1:
		if (bytes_u32(b, &connection))
			vmbus_signal(g->bus, kind & 4 ? connection : 0x2000 | (connection & 3), 0);
		break;
	case 2: /* pages 16 to 31 hold the rings of what model_open() opened */
		if (bytes_u16(b, &where) && bytes_u8(b, &len8) && bytes_take(b, MIN(len8, b->left), &body) &&
		    !guest_iovec(g->guest, 16 * PAGE_SIZE + where, len8 ? len8 : 1, &iov))
			memcpy(iov.iov_base, body.at, body.left);
		break;
	default:
		sim_run(g->sim, sim_now_ns(g->sim) + 1000000);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	static struct model_channel c;

	if (!g)
		set_up();
	g->read = g->count = 0;
	if (size && data[0] & 1) {
		model_connect(g, VMBUS_VERSION_IRON);
		model_request_offers(g);
		g->read = g->count;
		model_open(g, &c, 1, data[0] >> 1 & 1, 16);
	}
	while (b.left && g->count < MODEL_MESSAGES - 300)
		step(&b);
	sim_run(g->sim, sim_now_ns(g->sim) + 1000000000);
	g->count = 0;
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	if (!g->count)
		__builtin_trap(); /* no UNLOAD_COMPLETE: something did not close */
	return 0;
}
