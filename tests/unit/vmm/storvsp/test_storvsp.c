#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spec/storvsp.h"
#include "tests/lib/model_guest.h"
#include "vmm/storvsp/storvsp.h"

#define DATA_PAGE 64u /* of the guest's memory; rings lie below */

static const struct guid id = { 1, 2, 3, { 4 } };
static struct model_guest *g;
static struct storvsp *s;
static struct model_channel primary;

static int set_up(void **state)
{
	g = model_create(11);
	s = storvsp_create(g->bus, g->guest, g->home, &id, 3);
	return !s || storvsp_add(s, 0, disk_stats(disk_ram(4 * MiB, 512, &id)), NULL);
}

static int tear_down(void **state)
{
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	storvsp_destroy(s);
	model_destroy(g);
	return 0;
}

static u8 *page(u32 n)
{
	struct iovec iov;

	assert_int_equal(guest_iovec(g->guest, (u64)n << PAGE_SHIFT, PAGE_SIZE, &iov), 0);
	return iov.iov_base;
}

static void put(struct model_channel *c, u64 transaction, const struct vstor_packet *packet, u32 offset, u32 len)
{
	model_put(c, transaction, packet, sizeof(*packet), DATA_PAGE, offset, len);
}

static bool get(struct model_channel *c, struct ring_received *got, struct vstor_packet *ret)
{
	bool signal;

	return ring_read(&c->in, ret, sizeof(*ret), got, &signal) == RING_OK;
}

/* sends, and takes its completion */
static struct vstor_packet talk(struct model_channel *c, struct vstor_packet packet, u32 offset, u32 len)
{
	struct ring_received got = { 0 };
	struct vstor_packet reply;

	put(c, 1234, &packet, offset, len);
	model_signal(g, c->relid);
	assert_true(get(c, &got, &reply));
	assert_int_equal(got.type, VMBUS_PACKET_COMPLETION);
	assert_int_equal(got.transaction_id, 1234);
	assert_int_equal(reply.header.operation, VSTOR_COMPLETE_IO);
	return reply;
}

static u32 operation(u32 op, u16 word)
{
	struct vstor_packet m = { .header.operation = op, .version.version = word };

	return talk(&primary, m, 0, 0).header.status;
}

static void bring_up(void)
{
	assert_true(model_connect(g, VMBUS_VERSION_IRON));
	model_request_offers(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	assert_non_null(model_next(g, VMBUS_ALL_OFFERS_DELIVERED));
	assert_true(model_open(g, &primary, 1, 0, 16));
	assert_int_equal(operation(VSTOR_BEGIN_INITIALIZATION, 0), 0);
	assert_int_equal(operation(VSTOR_QUERY_PROTOCOL_VERSION, 0x0602), VSTOR_STATUS_REVISION_MISMATCH);
	assert_int_equal(operation(VSTOR_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_BLUE), 0);
	assert_int_equal(operation(VSTOR_QUERY_PROPERTIES, 0), 0);
	assert_int_equal(operation(VSTOR_END_INITIALIZATION, 0), 0);
}

static struct vstor_packet srb(u8 lun, bool data_in, u32 len, u8 opcode, u8 lba, u8 count)
{
	struct vstor_packet m = { .header.operation = VSTOR_EXECUTE_SRB };

	m.srb.length = sizeof(m.srb);
	m.srb.lun = lun;
	m.srb.cdb_len = 10;
	m.srb.data_in = data_in;
	m.srb.data_len = len;
	m.srb.payload[0] = opcode;
	m.srb.payload[5] = lba;
	m.srb.payload[8] = count;
	return m;
}

static void it_begins_in_order(void **state)
{
	struct vstor_packet r;

	assert_true(model_connect(g, VMBUS_VERSION_IRON));
	model_request_offers(g);
	g->read = g->count;
	assert_true(model_open(g, &primary, 1, 0, 16));
	assert_int_equal(operation(VSTOR_QUERY_PROPERTIES, 0), VSTOR_STATUS_INVALID_DEVICE_STATE);
	r = talk(&primary, srb(0, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.header.status, VSTOR_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(operation(VSTOR_BEGIN_INITIALIZATION, 0), 0);
	assert_int_equal(operation(VSTOR_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_BLUE), 0);
	r = talk(&primary, (struct vstor_packet){ .header.operation = VSTOR_QUERY_PROPERTIES }, 0, 0);
	assert_int_equal(r.properties.max_sub_channels, 3);
	assert_int_equal(r.properties.max_transfer, SCSI_MAX_TRANSFER);
	assert_int_equal(operation(VSTOR_END_INITIALIZATION, 0), 0);
	assert_int_equal(operation(VSTOR_FC_HBA_DATA, 0), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(operation(99, 0), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(operation(VSTOR_RESET_BUS, 0), 0);
	r = talk(&primary, srb(0, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.srb_status, SRB_ERROR | SRB_AUTOSENSE_VALID);
	assert_int_equal(r.srb.payload[2], SENSE_UNIT_ATTENTION);
}

static void data_goes_both_ways(void **state)
{
	struct vstor_packet r;

	bring_up();
	memset(page(DATA_PAGE), 0x11, PAGE_SIZE);
	memset(page(DATA_PAGE + 1), 0x22, PAGE_SIZE);
	r = talk(&primary, srb(0, false, 4096, SCSI_WRITE_10, 8, 8), 2048, 4096);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	assert_int_equal(r.srb.data_len, 4096);
	memset(page(DATA_PAGE), 0, PAGE_SIZE);
	r = talk(&primary, srb(0, true, 4096, SCSI_READ_10, 8, 8), 0, 4096);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	assert_int_equal(page(DATA_PAGE)[0], 0x11);
	assert_int_equal(page(DATA_PAGE)[2047], 0x11);
	assert_int_equal(page(DATA_PAGE)[2048], 0x22);
	r = talk(&primary, srb(5, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.srb_status, SRB_INVALID_LUN);
	r = talk(&primary, srb(0, true, 8192, SCSI_READ_10, 8, 16), 0, 4096); /* says more than its ranges hold */
	assert_int_equal(r.srb.srb_status, SRB_INVALID_REQUEST);
}

static void many_at_once_are_all_answered(void **state)
{
	struct ring_received got;
	struct vstor_packet m = srb(0, true, 512, SCSI_READ_10, 0, 1), r;
	bool seen[70] = { false };
	unsigned answers = 0;

	bring_up();
	for (u64 i = 0; i < 70; i++)
		put(&primary, 100 + i, &m, 0, 512);
	model_signal(g, 1);
	while (get(&primary, &got, &r)) {
		assert_false(seen[got.transaction_id - 100]);
		seen[got.transaction_id - 100] = true;
		answers++;
	}
	assert_int_equal(answers, 70);
}

/* the guest does not read its ring: answers wait, nothing is lost, and nothing more is taken on */
static void a_full_ring_is_waited_for(void **state)
{
	struct ring_received got;
	struct vstor_packet m = srb(0, true, 0, SCSI_TEST_UNIT_READY, 0, 0), r;
	unsigned answers = 0;

	bring_up();
	for (u64 round = 0; round < 3; round++) {
		for (u64 i = 0; i < 100; i++)
			put(&primary, 1000 * round + i, &m, 0, 0);
		model_signal(g, 1);
	}
	assert_int_not_equal(((struct vmbus_ring_control *)primary.pages[MODEL_RING_PAGES])->pending_send_size, 0);
	for (int i = 0; i < 10; i++) {
		while (get(&primary, &got, &r)) {
			answers++;
			assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
		}
		model_signal(g, 1);
	}
	assert_int_equal(answers, 300);
}

static void sub_channels_come_and_go(void **state)
{
	struct model_channel sub;
	const struct vmbus_offer *o;
	struct vstor_packet r;

	bring_up();
	assert_int_equal(operation(VSTOR_CREATE_SUB_CHANNELS, 9), VSTOR_STATUS_INVALID_PARAMETER);
	assert_int_equal(operation(VSTOR_CREATE_SUB_CHANNELS, 2), 0);
	o = model_next(g, VMBUS_OFFER);
	assert_non_null(o);
	assert_int_equal(o->sub_channel_index, 1);
	assert_int_equal(o->relid, 2);
	assert_true(guid_equal(&o->instance, &id));
	assert_non_null(model_next(g, VMBUS_OFFER));
	assert_true(model_open(g, &sub, 2, 1, 32));
	r = talk(&sub, srb(0, true, 512, SCSI_READ_10, 0, 1), 0, 512);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	assert_int_equal(g->last_vp, 1);
	model_close(g, 1);
	assert_non_null(model_next(g, VMBUS_RESCIND)); /* of sub-channel 2, which was not open */
}

static void units_come_and_go(void **state)
{
	struct ring_received got;
	struct vstor_packet r;

	bring_up();
	assert_int_equal(storvsp_add(s, 3, disk_ram(MiB, 512, &id), NULL), 0);
	assert_int_equal(storvsp_add(s, 3, disk_ram(MiB, 512, &id), NULL), -EEXIST);
	model_run(g);
	assert_true(get(&primary, &got, &r));
	assert_int_equal(got.type, VMBUS_PACKET_IN_BAND);
	assert_int_equal(got.transaction_id, 0);
	assert_int_equal(r.header.operation, VSTOR_ENUMERATE_BUS);
	r = talk(&primary, srb(3, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	assert_int_equal(storvsp_remove(s, 3), 0);
	assert_int_equal(storvsp_remove(s, 3), -ENOENT);
	model_run(g);
	assert_true(get(&primary, &got, &r));
	assert_int_equal(r.header.operation, VSTOR_ENUMERATE_BUS);
	r = talk(&primary, srb(3, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.srb_status, SRB_INVALID_LUN);
}

static u64 capacity;

static u64 capacity_now(struct disk *disk)
{
	return capacity;
}

static void capacity_destroy(struct disk *disk)
{
}

/* the guest is told to look, hears why, and finds it */
static void a_unit_of_another_size(void **state)
{
	static const struct disk_ops ops = { .measure = capacity_now, .destroy = capacity_destroy };
	static struct disk disk = { .ops = &ops, .kind = "it", .sector_size = 512, .sectors = 100, .physical_size = 512 };
	struct ring_received got;
	struct vstor_packet r;

	bring_up();
	assert_int_equal(storvsp_add(s, 3, &disk, NULL), 0);
	model_run(g);
	assert_true(get(&primary, &got, &r));
	assert_int_equal(storvsp_measure(s, 0), 0);
	assert_int_equal(storvsp_measure(s, 4), 0);
	assert_int_equal(storvsp_measure(s, SCSI_LUNS_MAX), 0);
	capacity = 100;
	assert_int_equal(storvsp_measure(s, 3), 0);
	model_run(g);
	assert_false(get(&primary, &got, &r));
	capacity = 5000;
	assert_int_equal(storvsp_measure(s, 3), 5000);
	model_run(g);
	assert_true(get(&primary, &got, &r));
	assert_int_equal(r.header.operation, VSTOR_ENUMERATE_BUS);
	r = talk(&primary, srb(3, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.scsi_status, SCSI_CHECK_CONDITION);
	assert_int_equal(r.srb.payload[2], SENSE_UNIT_ATTENTION);
	assert_int_equal(r.srb.payload[12] << 8 | r.srb.payload[13], ASC_CAPACITY_CHANGED);
	r = talk(&primary, srb(3, true, 0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	r = talk(&primary, srb(3, true, 8, SCSI_READ_CAPACITY_10, 0, 0), 0, 8);
	assert_int_equal(page(DATA_PAGE)[2] << 8 | page(DATA_PAGE)[3], 4999);
}

/* work under way holds up a move, a close and a removal until it is done; its answer is not lost by a move */
static void work_under_way_is_waited_for(void **state)
{
	struct vmbus_modify_channel m = { { VMBUS_MODIFY_CHANNEL, 0 }, 1, 1 };
	struct vmbus_relid close = { { VMBUS_CLOSE, 0 }, 1 };
	struct vmbus_gpadl_teardown teardown = { { VMBUS_GPADL_TEARDOWN, 0 }, 1, 1 };
	struct vstor_packet slow = srb(2, true, 512, SCSI_READ_10, 0, 1), r;
	struct ring_received got;

	bring_up();
	assert_int_equal(storvsp_add(s, 2, disk_delay(disk_ram(MiB, 512, &id), 5000000000ull), NULL), 0);
	model_run(g);
	assert_true(get(&primary, &got, &r)); /* ENUMERATE_BUS */
	put(&primary, 55, &slow, 0, 512);
	model_signal(g, 1);
	model_send(g, &m, sizeof(m));
	assert_null(model_next(g, VMBUS_MODIFY_CHANNEL_RESPONSE));
	sim_run(g->sim, sim_now_ns(g->sim) + 6000000000ull);
	assert_non_null(model_next(g, VMBUS_MODIFY_CHANNEL_RESPONSE));
	assert_true(get(&primary, &got, &r));
	assert_int_equal(got.transaction_id, 55);
	assert_int_equal(r.srb.srb_status, SRB_SUCCESS);
	put(&primary, 56, &slow, 0, 512);
	model_signal(g, 1);
	assert_int_equal(storvsp_remove(s, 2), 0);
	model_send(g, &close, sizeof(close));
	model_send(g, &teardown, sizeof(teardown));
	assert_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	sim_run(g->sim, sim_now_ns(g->sim) + 6000000000ull);
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
}

static void a_broken_ring_stops_the_channel(void **state)
{
	struct vmbus_ring_control *control;

	bring_up();
	control = (struct vmbus_ring_control *)primary.pages[0];
	control->write_index = 0x7fffff;
	model_signal(g, 1);
	control->write_index = 0;
	struct vstor_packet m = srb(0, true, 0, SCSI_TEST_UNIT_READY, 0, 0), r;
	struct ring_received got;

	put(&primary, 1, &m, 0, 0);
	model_signal(g, 1);
	assert_false(get(&primary, &got, &r));
	model_close(g, 1);
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	bring_up(); /* opened again it works */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_begins_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(data_goes_both_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_at_once_are_all_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_ring_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sub_channels_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(units_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unit_of_another_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(work_under_way_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_broken_ring_stops_the_channel, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
