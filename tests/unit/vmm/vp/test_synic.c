/* Messages and event flags between VTL0 and its VMBus server, with the hypervisor's SynIC */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_vp.h"

static struct hv_post_message last_post;
static u64 last_signal;

static u16 take_post(struct machine *m, const struct hv_post_message *message)
{
	last_post = *message;
	return HV_STATUS_SUCCESS;
}

static u16 take_signal(struct machine *m, u32 connection, u16 flag)
{
	last_signal = (u64)flag << 32 | connection;
	return HV_STATUS_SUCCESS;
}

static u16 last_sints;
static void take_sints(struct machine *m, unsigned vp, u16 sints)
{
	last_sints = sints;
}

static u64 hypercall(u64 control, u64 rdx)
{
	struct hv_hypercall_intercept *m = model_exit(HVMSG_HYPERCALL_INTERCEPT);

	m->rcx = control;
	m->rdx = rdx;
	model_play();
	return bed->fake.run.context.rax;
}

static void posts_and_signals_reach_the_machine(void **state)
{
	const struct hv_post_message message = { .connection_id = 4, .message_type = 1, .payload_size = 8, .payload = "payload" };
	struct hv_post_message too_long = { .payload_size = 241 };

	bed->machine.post_message = take_post;
	bed->machine.signal_event = take_signal;
	bed->machine.sint_deliverable = take_sints;
	assert_int_equal(guest_write(bed->machine.guest, 0x3000, &message, sizeof(message)), 0);
	assert_int_equal(guest_write(bed->machine.guest, 0x4000, &too_long, sizeof(too_long)), 0);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3000), 0);
	assert_memory_equal(&last_post, &message, sizeof(message));
	assert_int_equal(hypercall(HVCALL_SIGNAL_EVENT | HV_HYPERCALL_FAST, 0x700002001), 0);
	assert_int_equal(last_signal, 0x700002001);
	/* wrong in turn: a length, alignment, a page crossed, no memory, fast input */
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3004), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, 0x3f08), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE, GiB), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(hypercall(HVCALL_POST_MESSAGE | HV_HYPERCALL_FAST, 0x3000), HV_STATUS_INVALID_HYPERCALL_INPUT);
}

static void free_slots_are_asked_for_and_told(void **state)
{
	struct hv_sint_deliverable *m = model_exit(HVMSG_SYNIC_SINT_DELIVERABLE);
	const struct hv_message message = { .type = HVMSG_VMBUS, .payload_size = 8 };
	struct hv_post_message_direct in;

	bed->machine.sint_deliverable = take_sints;
	vp_want_sint(&bed->vp, 2);
	m->sints = 4;
	model_play();
	assert_int_equal(hcl_fake_register(&bed->fake, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 4ull << 48);
	assert_int_equal(last_sints, 4);
	assert_int_equal(vp_post_message(&bed->machine, 3, 2, &message), 0);
	memcpy(&in, hcl_fake_last(&bed->fake, HVCALL_POST_MESSAGE_DIRECT)->in, sizeof(in));
	assert_int_equal(in.vp_index, 3);
	assert_int_equal(in.sint, 2);
	assert_memory_equal(in.message, &message, sizeof(message));
	bed->fake.status = HV_STATUS_OBJECT_IN_USE;
	assert_int_equal(vp_post_message(&bed->machine, 3, 2, &message), HV_STATUS_OBJECT_IN_USE);
	bed->fake.status = 0;
	vp_signal_event(&bed->machine, 1, 2, 77);
	assert_int_equal(((struct hv_signal_event_direct *)hcl_fake_last(&bed->fake, HVCALL_SIGNAL_EVENT_DIRECT)->in)->flag, 77);
}

/* on a running VP's thread a signal waits for the next entry; a VP that stops sends what waits */
static void signals_go_with_the_return(void **state)
{
	const struct hv_vtl_return_signal_event *first = (const void *)bed->fake.run.vtl_ret_actions;

	bed->fake.registers[bed->fake.register_count].name = HV_REGISTER_VSM_CAPABILITIES;
	bed->fake.registers[bed->fake.register_count++].value.u64[0] = HV_VSM_CAP_RETURN_ACTION;
	assert_int_equal(vp_open(&bed->vp), 0);
	vp_signal_event(&bed->machine, 3, 2, 7);
	assert_int_equal(bed->fake.call_count, 1); /* VTL0 does not run yet */
	vp_start(&bed->vp);
	vp_signal_event(&bed->machine, 3, 2, 7);
	vp_signal_event(&bed->machine, 3, 2, 7);
	vp_signal_event(&bed->machine, 1, 2, 9);
	assert_int_equal(bed->fake.call_count, 1);
	assert_int_equal(bed->fake.run.vtl_ret_action_size, 32);
	assert_int_equal(first[0].action_type, HV_VTL_RETURN_SIGNAL_EVENT);
	assert_int_equal(first[0].vp_index, 3);
	assert_int_equal(first[0].sint, 2);
	assert_int_equal(first[0].flag, 7);
	assert_int_equal(first[1].vp_index, 1);
	vp_stop(&bed->vp);
	assert_int_equal(bed->fake.run.vtl_ret_action_size, 0);
	assert_int_equal(bed->fake.call_count, 3);
	vp_start(&bed->vp);
	for (u16 i = 0; i < 20; i++)
		vp_signal_event(&bed->machine, 0, 2, i);
	assert_int_equal(bed->fake.call_count, 3 + 4); /* there is room for 16 */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, model_vp_create, model_vp_destroy)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(posts_and_signals_reach_the_machine), TEST(free_slots_are_asked_for_and_told),
		TEST(signals_go_with_the_return),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
