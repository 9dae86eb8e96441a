/*
 * Saved state of the VMBus server and a SCSI controller with bytes changed anywhere: it is refused, or what it says can be.
 * Then the server goes on, with the state as it was saved if need be; after an unload the controller is offered and opened anew.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/bytes.h"
#include "lib/core/check.h"
#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "vmm/storvsp/internal.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define HEADER 16u /* of the whole, with a checksum: not what is looked for here */

static struct model_guest *g;
static struct storvsp *controller;

static void set_up(void)
{
	static const struct guid id = { 1, 2, 3, { 4 } };

	g = model_create(1);
	controller = storvsp_create(g->bus, g->guest, g->home, &id, 2);
	CHECK(controller && !storvsp_add(controller, 0, disk_ram(256 * KiB, 512, &id), NULL));
}

/* state that says what can be may have given the controller another relid */
static u32 relid_of_controller(void)
{
	struct vmbus_offer o;

	for (unsigned i = 0; i < g->count; i++) {
		memcpy(&o, g->messages[i].payload, sizeof(o));
		if (o.header.type == VMBUS_OFFER && !o.sub_channel_index)
			return o.relid;
	}
	return 0;
}

static void ignore(struct op *op, int ignored) {}

static int restore(const u8 *state, size_t len)
{
	return vmbus_restore(g->bus, (struct loader){ bytes_of(state + HEADER, len - HEADER) });
}

/* {place u16, change u8} again and again */
static void change(u8 *state, size_t len, struct bytes b)
{
	u16 place;
	u8 with;

	while (bytes_u16(&b, &place) && bytes_u8(&b, &with))
		state[HEADER + place % (len - HEADER)] ^= with;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct model_channel c;
	static struct op op;
	struct saver s;

	if (!size)
		return 0;
	if (!g)
		set_up();
	g->read = g->count = 0;
	model_connect(g, VMBUS_VERSION_IRON);
	model_request_offers(g);
	g->read = g->count;
	CHECK(model_open(g, &c, relid_of_controller(), data[0] & 1, 16));
	if (data[0] & 2)
		storvsp_want_subs(controller, 1 + (data[0] >> 2 & 1));
	model_run(g);
	vmbus_hold(g->bus, &op, ignore);
	model_run(g);
	saver_init(&s);
	vmbus_save(g->bus, &s);
	CHECK(!saver_finish(&s));
	u8 *changed = malloc(s.len);

	CHECK(changed);
	memcpy(changed, s.data, s.len);
	change(changed, s.len, bytes_of(data + 1, size - 1));
	if (restore(changed, s.len))
		CHECK(!restore(s.data, s.len));
	free(changed);
	saver_fini(&s);
	vmbus_go_on(g->bus);
	model_signal(g, c.relid);
	g->count = 0;
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	model_run(g);
	CHECK(g->count);
	return 0;
}
