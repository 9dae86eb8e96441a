#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_echo.h"
#include "tests/lib/model_guest.h"

static struct model_guest *g;
static struct model_echo echo;

static const struct vmbus_channel_ops ops = { MODEL_ECHO_OPS, .gone = model_echo_gone };

static int set_up(void **state)
{
	g = model_create(3);
	echo = (struct model_echo){
		.channel = { .ops = &ops, .name = "echo", .interface.data1 = 7, .instance.data1 = 8, .user[0] = 9 }
	};
	return vmbus_offer(g->bus, &echo.channel);
}

static int tear_down(void **state)
{
	echo.slow = false;
	g->busy = 0;
	model_run(g);
	assert_int_equal(echo.lost, 0);
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	model_destroy(g);
	return 0;
}

static struct model_channel connect_and_open(u32 vp)
{
	struct model_channel c;

	assert_true(model_connect_and_open(g, &c, vp));
	return c;
}

static void versions_are_negotiated(void **state)
{
	static const u32 known[] = { 0x20004, 0x30000, 0x40000, 0x40001, 0x50000, 0x50001, 0x50002, 0x50003, 0x60000 };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		assert_true(model_connect(g, known[i]));
		assert_int_equal(g->messages[g->count - 1].payload_size, known[i] == 0x60000 ? 20 : 16);
	}
	assert_false(model_connect(g, 0x70000));
	assert_false(model_connect(g, 0));
	model_request_offers(g); /* nobody is connected */
	assert_null(model_next(g, VMBUS_ALL_OFFERS_DELIVERED));
	assert_int_equal(vmbus_post(g->bus, 3, HVMSG_VMBUS, "", 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(vmbus_post(g->bus, 1, 2, "", 0), HV_STATUS_INVALID_PARAMETER);
}

static void an_offer_says_what_it_is(void **state)
{
	const struct vmbus_offer *o;

	assert_true(model_connect(g, VMBUS_VERSION_IRON));
	model_request_offers(g);
	o = model_next(g, VMBUS_OFFER);
	assert_non_null(o);
	assert_int_equal(o->interface.data1, 7);
	assert_int_equal(o->relid, 1);
	assert_int_equal(o->connection_id, 0x2001);
	assert_int_equal(o->dedicated_interrupt, 1);
	assert_int_equal(o->user[0], 9);
	model_request_offers(g);
	assert_non_null(model_next(g, VMBUS_ALL_OFFERS_DELIVERED));
	assert_int_equal(g->read, g->count);
}

static void packets_go_round(void **state)
{
	struct model_channel c = connect_and_open(1);
	u8 out[64] = "hello", in[64];
	struct ring_received got;
	bool signal;

	assert_int_equal(echo.fresh, 1);
	assert_int_equal(ring_write(&c.out, VMBUS_PACKET_IN_BAND, 1, 77, out, 64, NULL, 0, &signal), RING_OK);
	assert_int_equal(model_signal(g, 1), HV_STATUS_SUCCESS);
	assert_int_equal(ring_read(&c.in, in, sizeof(in), &got, &signal), RING_OK);
	assert_int_equal(got.transaction_id, 77);
	assert_memory_equal(in, out, 64);
	assert_int_equal(g->interrupts[1], 1);
	assert_int_equal(g->last_vp, 1);
	assert_int_equal(model_signal(g, 2), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(vmbus_signal(g->bus, 0x1001, 0), HV_STATUS_INVALID_CONNECTION_ID);
	assert_int_equal(vmbus_signal(g->bus, 0xffffffff, 0), HV_STATUS_INVALID_CONNECTION_ID);
}

static void a_close_waits_for_the_device(void **state)
{
	connect_and_open(0);
	echo.slow = true;
	model_close(g, 1);
	assert_int_equal(echo.stops, 1);
	assert_null(model_next(g, VMBUS_GPADL_TORNDOWN)); /* the device still works in those pages */
	assert_int_equal(model_signal(g, 1), HV_STATUS_INVALID_CONNECTION_ID);
	vmbus_channel_stopped(&echo.channel);
	model_run(g);
	assert_int_equal(echo.closed, 1);
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	echo.slow = false;
	struct model_channel c;

	assert_true(model_open(g, &c, 1, 1, 16));
	assert_int_equal(echo.fresh, 2);
}

static void a_channel_moves(void **state)
{
	struct model_channel c = connect_and_open(0);
	struct vmbus_modify_channel m = { { VMBUS_MODIFY_CHANNEL, 0 }, 1, 1 };
	const struct vmbus_modify_channel_response *r;
	bool signal;
	u8 data[8] = { 0 };

	model_send(g, &m, sizeof(m));
	r = model_next(g, VMBUS_MODIFY_CHANNEL_RESPONSE);
	assert_non_null(r);
	assert_int_equal(r->status, 0);
	assert_int_equal(echo.starts, 2);
	assert_int_equal(echo.fresh, 1);
	assert_ptr_equal(echo.channel.exec, g->vps[1]);
	assert_int_equal(ring_write(&c.out, VMBUS_PACKET_IN_BAND, 1, 5, data, 8, NULL, 0, &signal), RING_OK);
	model_signal(g, 1);
	assert_int_equal(g->last_vp, 1);
	m.target_vp = MODEL_VPS;
	model_send(g, &m, sizeof(m));
	r = model_next(g, VMBUS_MODIFY_CHANNEL_RESPONSE);
	assert_int_not_equal(r->status, 0);
}

static void a_revoked_channel_goes(void **state)
{
	connect_and_open(0);
	vmbus_revoke(&echo.channel);
	model_run(g);
	assert_int_equal(echo.stops, 1);
	assert_non_null(model_next(g, VMBUS_RESCIND));
	assert_int_equal(echo.gone, 0);
	model_close(g, 1); /* some drivers do, some do not */
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	struct vmbus_relid m = { { VMBUS_RELID_RELEASED, 0 }, 1 };

	model_send(g, &m, sizeof(m));
	assert_int_equal(echo.gone, 1);
	/* offered again it is there at once: the guest is connected */
	assert_int_equal(vmbus_offer(g->bus, &echo.channel), 0);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
}

static void a_new_kernel_starts_afresh(void **state)
{
	struct model_channel c;

	connect_and_open(0);
	echo.slow = true;
	assert_false(model_connect(g, VMBUS_VERSION_COPPER)); /* not before the device has let go of the old one's memory */
	vmbus_channel_stopped(&echo.channel);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_VERSION_RESPONSE));
	model_request_offers(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	assert_non_null(model_next(g, VMBUS_ALL_OFFERS_DELIVERED));
	assert_true(model_open(g, &c, 1, 0, 16)); /* the same GPADL id is free again */
	echo.slow = false;
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	assert_non_null(model_next(g, VMBUS_UNLOAD_COMPLETE));
	assert_int_equal(echo.closed, 2);
}

static void messages_wait_for_the_slot(void **state)
{
	g->busy = 1;
	assert_true(model_connect(g, VMBUS_VERSION_IRON)); /* the timer tried again */
	assert_true(g->wanted);
	g->busy = 1000000;
	model_request_offers(g);
	assert_null(model_next(g, VMBUS_OFFER));
	g->busy = 0;
	vmbus_slot_free(g->bus);
	sim_run(g->sim, sim_now_ns(g->sim) + 1000);
	assert_non_null(model_next(g, VMBUS_OFFER));
	/* a guest that never reads is not listened to any more */
	g->busy = ~0u;
	u16 status = 0;
	struct vmbus_tl_connect_request request = { .header.type = VMBUS_TL_CONNECT_REQUEST };

	for (int i = 0; i < 2000 && !status; i++) {
		status = vmbus_post(g->bus, 4, HVMSG_VMBUS, &request, sizeof(request));
		sim_run(g->sim, sim_now_ns(g->sim) + 1000);
	}
	assert_int_equal(status, HV_STATUS_INSUFFICIENT_BUFFERS);
}

static void gpadls_in_pieces_and_in_many_ranges(void **state)
{
	struct {
		struct vmbus_gpadl_header head;
	} m = { { .header.type = VMBUS_GPADL_HEADER, .relid = 1, .gpadl = 50, .range_len = 8 + 8 * 60, .range_count = 1,
		  .byte_count = 60 * PAGE_SIZE } };
	struct vmbus_gpadl_body body = { .header.type = VMBUS_GPADL_BODY, .gpadl = 50 };
	const struct vmbus_gpadl_created *r;

	connect_and_open(0);
	for (u32 i = 0; i < 26; i++)
		m.head.pages[i] = 100 + i;
	for (u32 i = 0; i < 28; i++)
		body.pages[i] = 126 + i;
	model_send(g, &m, 28 + 26 * 8);
	model_send(g, &body, 16 + 28 * 8);
	assert_null(model_next(g, VMBUS_GPADL_CREATED));
	model_send(g, &body, 16 + 6 * 8);
	r = model_next(g, VMBUS_GPADL_CREATED);
	assert_non_null(r);
	assert_int_equal(r->status, 0);
	/* five ranges of one byte each */
	u32 words[5 + 5 * 4] = { VMBUS_GPADL_HEADER, 0, 1, 51, 80 | 5 << 16 };

	for (u32 i = 0; i < 5; i++) {
		words[5 + 4 * i] = 1;
		words[6 + 4 * i] = 10 * i;
		words[7 + 4 * i] = 200 + i;
	}
	model_send(g, words, sizeof(words));
	r = model_next(g, VMBUS_GPADL_CREATED);
	assert_non_null(r);
	assert_int_equal(r->status, 0);
	model_gpadl(g, 1, 52, MiB, 1); /* far outside */
	r = model_next(g, VMBUS_GPADL_CREATED);
	assert_int_not_equal(r->status, 0);
	model_gpadl(g, 1, 50, 3, 1); /* the id is taken */
	r = model_next(g, VMBUS_GPADL_CREATED);
	assert_int_not_equal(r->status, 0);
	model_gpadl(g, 9, 53, 3, 1); /* no such channel */
	r = model_next(g, VMBUS_GPADL_CREATED);
	assert_int_not_equal(r->status, 0);
}

static void opens_that_cannot_be(void **state)
{
	struct vmbus_open m = { .header.type = VMBUS_OPEN, .relid = 1, .gpadl = 60, .downstream_page = 2 };
	static const struct { u32 relid, gpadl, vp, downstream; } wrong[] = {
		{ 2, 60, 0, 2 }, { 1, 61, 0, 2 }, { 1, 60, 2, 2 }, { 1, 60, 0, 1 }, { 1, 60, 0, 3 }, { 1, 60, 0, ~0u },
		{ 300, 60, 0, 2 },
	};

	assert_true(model_connect(g, VMBUS_VERSION_IRON));
	model_request_offers(g);
	g->read = g->count;
	model_gpadl(g, 1, 60, 16, 4);
	g->read = g->count;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		m.relid = wrong[i].relid;
		m.gpadl = wrong[i].gpadl;
		m.target_vp = wrong[i].vp;
		m.downstream_page = wrong[i].downstream;
		model_send(g, &m, sizeof(m));
		const struct vmbus_open_result *r = model_next(g, VMBUS_OPEN_RESULT);

		assert_non_null(r);
		assert_int_not_equal(r->status, 0);
	}
	assert_int_equal(echo.starts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(versions_are_negotiated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_offer_says_what_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(packets_go_round, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_close_waits_for_the_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_channel_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_revoked_channel_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_kernel_starts_afresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(messages_wait_for_the_slot, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gpadls_in_pieces_and_in_many_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(opens_that_cannot_be, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
