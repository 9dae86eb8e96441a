#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/task/exec_sim.h"
#include "vmm/get/get.h"

struct fixture {
	struct sim *sim;
	struct get *get;
	u8 sent[64][1024];
	size_t sent_len[64];
	unsigned sent_count, notified;
	bool full;
	int ready, ready_count;
};

static int fake_send(void *context, const void *data, size_t len)
{
	struct fixture *f = context;

	if (f->full)
		return -EAGAIN;
	memcpy(f->sent[f->sent_count], data, len);
	f->sent_len[f->sent_count++] = len;
	return 0;
}

static void ready(void *context, int error)
{
	struct fixture *f = context;

	f->ready = error;
	f->ready_count++;
}

static void notified(void *context, u16 id, struct bytes body)
{
	((struct fixture *)context)->notified += id;
}

static void start(struct fixture *f)
{
	static const struct get_port port = { .send = fake_send };
	static const struct get_events events = { ready, notified };

	memset(f, 0, sizeof(*f));
	f->sim = sim_create(3);
	f->get = get_create(sim_exec(f->sim, "get"), &port, f, &events, f);
	get_start(f->get);
}

static void end(struct fixture *f)
{
	get_destroy(f->get);
	sim_destroy(f->sim);
}

/* bytes as get_protocol's structures lay them out */
static const u8 version_nickel[] = { 1, 2, 1, 0, 0x02, 0, 0x04, 0 };
static const u8 accepted[] = { 1, 3, 1, 0, 1, 0 }, refused[] = { 1, 3, 1, 0, 0, 0 };
static const u8 ask_settings[] = { 1, 2, 18, 0 };
static const u8 first[] = { 1, 3, 27, 0, 2, 0, 0, 0, 1, 0, 0, 0, '{', '"' };
static const u8 last[] = { 1, 3, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, '"', ':', '}' };

static void boot_asks_version_and_settings(void **state)
{
	struct fixture f;

	start(&f);
	assert_int_equal(f.sent_count, 1);
	assert_memory_equal(f.sent[0], version_nickel, sizeof(version_nickel));
	get_received(f.get, refused, sizeof(refused));
	assert_int_equal(f.sent[1][6], 3); /* 0x30000 */
	get_received(f.get, accepted, sizeof(accepted));
	assert_memory_equal(f.sent[2], ask_settings, sizeof(ask_settings));
	get_received(f.get, first, sizeof(first));
	assert_int_equal(f.ready_count, 0);
	get_received(f.get, last, sizeof(last));
	assert_int_equal(f.ready_count, 1);
	assert_int_equal(f.ready, 0);
	assert_string_equal(get_settings(f.get), "{\"\":}");
	assert_int_equal(get_version(f.get), GET_VERSION_IRON);
	end(&f);
}

static void a_silent_host_is_given_up(void **state)
{
	struct fixture f;

	start(&f);
	sim_run(f.sim, sim_now_ns(f.sim) + 6000000000ull);
	assert_int_equal(f.ready_count, 1);
	assert_int_equal(f.ready, -ETIMEDOUT);
	end(&f);
}

static void nonsense_is_dropped(void **state)
{
	const u8 bad_size[] = { 1, 3, 27, 0, 9, 0, 0, 0, 0, 0, 0, 0, 'x' }, type9[] = { 1, 9, 1, 0 }, old[] = { 2, 3, 1, 0 };
	const u8 note[] = { 1, 4, 7, 0 };
	struct fixture f;

	start(&f);
	get_received(f.get, type9, sizeof(type9));
	get_received(f.get, old, sizeof(old));
	get_received(f.get, note, sizeof(note));
	get_received(f.get, note, 3);
	get_received(f.get, last, sizeof(last));
	assert_int_equal(f.notified, 7);
	assert_int_equal(f.ready_count, 0);
	get_received(f.get, accepted, sizeof(accepted));
	get_received(f.get, bad_size, sizeof(bad_size));
	assert_int_equal(f.ready, -EPROTO);
	assert_string_equal(get_settings(f.get), "");
	end(&f);
}

static void notifications_wait_for_room(void **state)
{
	const u8 off[] = { 1, 1, 1, 0, 0, 0 }, started[] = { 1, 1, 7, 0, 1, 0, 0, 0, 2, 0, 0, 0, 'n', 'o' };
	struct fixture f;

	start(&f);
	f.full = true;
	get_notify_power_off(f.get);
	get_notify_started(f.get, -1, "no");
	for (int i = 0; i < 40; i++)
		get_notify_reset(f.get);
	assert_int_equal(f.sent_count, 1);
	f.full = false;
	get_writable(f.get);
	assert_int_equal(f.sent_count, 33);
	assert_memory_equal(f.sent[1], off, sizeof(off));
	assert_int_equal(f.sent_len[2], sizeof(started));
	assert_memory_equal(f.sent[2], started, sizeof(started));
	end(&f);
}

static void a_lost_channel_ends_requests(void **state)
{
	struct fixture f;

	start(&f);
	get_closed(f.get, -EPIPE);
	assert_int_equal(f.ready, -EPIPE);
	get_notify_reset(f.get);
	assert_int_equal(f.sent_count, 1);
	end(&f);
	assert_int_equal(f.ready_count, 1);
}

static void ends_of_the_guest_are_told(void **state)
{
	const struct get_register registers[] = { { 0x20010, { 0x1234 } }, { 0x60001, { 0, 0x10 } } };
	struct get_triple_fault fault;
	struct get_register r;
	struct get_vtl_crash crash;
	struct fixture f;

	start(&f);
	unsigned before = f.sent_count;

	get_notify_triple_fault(f.get, 1, registers, 2);
	get_notify_crash(f.get, 1, 0, 3ull << 62, (const u64[5]){ 1, 2, 3, 4, 5 });
	assert_int_equal(f.sent_count, before + 2);
	assert_int_equal(f.sent_len[before], sizeof(fault) + 2 * 20);
	memcpy(&fault, f.sent[before], sizeof(fault));
	assert_int_equal(fault.fault_type, 1);
	assert_int_equal(fault.register_count, 2);
	memcpy(&r, f.sent[before] + sizeof(fault) + 20, sizeof(r));
	assert_int_equal(r.name, 0x60001);
	assert_int_equal(r.value[1], 0x10);
	memcpy(&crash, f.sent[before + 1], sizeof(crash));
	assert_int_equal(crash.control, 3ull << 62);
	assert_int_equal(crash.parameters[4], 5);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_asks_version_and_settings),
		cmocka_unit_test(a_silent_host_is_given_up),
		cmocka_unit_test(nonsense_is_dropped),
		cmocka_unit_test(notifications_wait_for_room),
		cmocka_unit_test(a_lost_channel_ends_requests),
		cmocka_unit_test(ends_of_the_guest_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
