/* The VMBus server held, saved, and put back: into itself, and into the next one */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/model_echo.h"
#include "tests/lib/model_guest.h"

/* an echo that keeps its count, and has sub-channels */
struct echo {
	struct model_echo model;
	struct echo *subs[4];
};

static struct model_guest *g;
static struct echo *echo;

static struct echo *of(struct vmbus_channel *c) { return container_of(c, struct echo, model.channel); }

static void gone(struct vmbus_channel *c)
{
	struct echo *e = of(c);

	for (size_t i = 0; i < ARRAY_SIZE(echo->subs); i++)
		if (echo->subs[i] == e)
			echo->subs[i] = NULL;
	model_echo_gone(c);
	if (c->sub_index)
		free(e);
}

static void save(struct vmbus_channel *c, struct saver *s)
{
	saver_u32(s, of(c)->model.packets);
}

static int restore(struct vmbus_channel *c, struct bytes b)
{
	return bytes_u32(&b, &of(c)->model.packets) ? 0 : -EPROTO;
}

static struct vmbus_channel *create_sub(struct vmbus_channel *c, u16 sub_index);

static const struct vmbus_channel_ops ops = { MODEL_ECHO_OPS, .gone = gone, .save = save, .restore = restore,
					      .create_sub = create_sub };

static struct echo *create(u32 instance, u16 sub_index)
{
	struct echo *e = calloc(1, sizeof(*e));

	e->model.channel = (struct vmbus_channel){ .ops = &ops, .name = "echo", .interface.data1 = 7, .instance.data1 = instance,
						   .sub_index = sub_index };
	return e;
}

static struct vmbus_channel *create_sub(struct vmbus_channel *c, u16 sub_index)
{
	if (sub_index > ARRAY_SIZE(of(c)->subs) || of(c)->subs[sub_index - 1])
		return NULL;
	of(c)->subs[sub_index - 1] = create(8, sub_index);
	return &of(c)->subs[sub_index - 1]->model.channel;
}

static int set_up(void **state)
{
	g = model_create(3);
	echo = create(8, 0);
	return vmbus_offer(g->bus, &echo->model.channel);
}

static int tear_down(void **state)
{
	echo->model.slow = false;
	g->busy = 0;
	model_run(g);
	assert_int_equal(echo->model.lost, 0);
	model_send(g, &(struct vmbus_header){ VMBUS_UNLOAD, 0 }, 8);
	for (size_t i = 0; i < ARRAY_SIZE(echo->subs); i++)
		free(echo->subs[i]);
	free(echo);
	model_destroy(g);
	return 0;
}

static struct model_channel connect_and_open(u32 vp)
{
	struct model_channel c;

	assert_true(model_connect_and_open(g, &c, vp));
	return c;
}

static void echoes(struct model_channel *c, u64 transaction)
{
	u8 out[64], in[64];
	struct ring_received got;
	bool signal;

	memset(out, (int)transaction, sizeof(out));
	assert_int_equal(ring_write(&c->out, VMBUS_PACKET_IN_BAND, 1, transaction, out, sizeof(out), NULL, 0, &signal), RING_OK);
	assert_int_equal(model_signal(g, c->relid), HV_STATUS_SUCCESS);
	assert_int_equal(ring_read(&c->in, in, sizeof(in), &got, &signal), RING_OK);
	assert_int_equal(got.transaction_id, transaction);
	assert_memory_equal(in, out, sizeof(in));
}

static bool is_held;

static void held(struct op *op, int ignored)
{
	is_held = true;
}

static struct op hold_op;

static void hold(void)
{
	is_held = false;
	vmbus_hold(g->bus, &hold_op, held);
	model_run(g);
	assert_true(is_held);
}

static void take(struct saver *s)
{
	saver_init(s);
	vmbus_save(g->bus, s);
	assert_int_equal(saver_finish(s), 0);
}

/* without the head of it all, which has a checksum */
static int put_back_changed(const u8 *data, size_t len)
{
	return vmbus_restore(g->bus, (struct loader){ bytes_of(data + 16, len - 16) });
}

static int put_back(const struct saver *s)
{
	struct loader l;
	int r = loader_init(&l, s->data, s->len);

	return r ? r : vmbus_restore(g->bus, l);
}

static void into_itself(void **state)
{
	struct model_channel c = connect_and_open(1);
	struct vmbus_gpadl_header half = { .header.type = VMBUS_GPADL_HEADER, .relid = 1, .gpadl = 50, .range_len = 8 + 8 * 30,
					   .range_count = 1, .byte_count = 30 * PAGE_SIZE };
	struct vmbus_gpadl_body rest = { .header.type = VMBUS_GPADL_BODY, .gpadl = 50 };
	const struct vmbus_gpadl_created *created;
	struct saver s;
	bool signal;
	u8 data[64] = { 0 };

	echoes(&c, 7);
	model_send(g, &half, 28 + 26 * 8); /* the rest comes later */
	g->busy = ~0u;
	model_gpadl(g, 1, 51, 40, 2); /* its answer waits */
	hold();
	assert_int_equal(ring_write(&c.out, VMBUS_PACKET_IN_BAND, 1, 8, data, sizeof(data), NULL, 0, &signal), RING_OK);
	g->busy = 0;
	take(&s);
	echo->model.packets = 1000;
	assert_int_equal(put_back(&s), 0);
	model_run(g);
	assert_int_equal(g->read, g->count); /* nothing is said before it goes on */
	assert_int_equal(echo->model.packets, 1);
	vmbus_go_on(g->bus);
	model_run(g);
	created = model_next(g, VMBUS_GPADL_CREATED);
	assert_non_null(created);
	assert_int_equal(created->gpadl, 51);
	assert_int_equal(echo->model.packets, 2); /* what was in the ring */
	assert_int_equal(echo->model.starts, 2);
	assert_int_equal(echo->model.fresh, 1);
	model_send(g, &rest, 16 + 4 * 8);
	created = model_next(g, VMBUS_GPADL_CREATED);
	assert_non_null(created);
	assert_int_equal(created->gpadl, 50);
	assert_int_equal(created->status, 0);
	assert_int_equal(g->last_vp, 1);
	model_close(g, 1);
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	assert_true(model_open(g, &c, 1, 0, 16));
	saver_fini(&s);
}

/* what servicing does: the guest's memory and the record are all that the next server has */
static void into_the_next_one(void **state)
{
	const struct vmbus_io io = { model_post, model_want, model_signalled, model_exec, g, MODEL_VPS };
	struct model_channel c = connect_and_open(1), sub;
	struct vmbus_channel *second = create_sub(&echo->model.channel, 2);
	struct saver s;

	echoes(&c, 1);
	assert_int_equal(vmbus_offer(g->bus, second), 0);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	assert_true(model_open(g, &sub, 2, 0, 64));
	echoes(&sub, 2);
	hold();
	take(&s);

	struct vmbus *old = g->bus;
	struct echo *old_echo = echo;

	free(echo->model.channel.pages);
	free(second->pages);
	free(of(second));
	echo = create(8, 0);
	g->bus = vmbus_server_create(&io, g->guest, g->home);
	struct echo *first = create(6, 0); /* the same places need not be free */

	assert_int_equal(vmbus_offer(g->bus, &first->model.channel), 0);
	assert_int_equal(vmbus_offer(g->bus, &echo->model.channel), 0);
	hold();
	assert_int_equal(put_back(&s), 0);
	vmbus_go_on(g->bus);
	model_run(g);
	const struct vmbus_offer *o = model_next(g, VMBUS_OFFER); /* the one that was not there before */

	assert_non_null(o);
	assert_int_equal(o->instance.data1, 6);
	assert_int_equal(o->relid, 3);
	assert_int_equal(echo->model.fresh, 0);
	assert_int_equal(echo->model.packets, 1);
	assert_non_null(echo->subs[1]);
	assert_int_equal(echo->subs[1]->model.packets, 1);
	echoes(&c, 3);
	echoes(&sub, 4);
	assert_int_equal(g->last_vp, 0);
	vmbus_server_destroy(old);
	free(old_echo);
	model_close(g, 2);
	model_close(g, 1);
	vmbus_revoke(&first->model.channel);
	model_run(g);
	model_send(g, &(struct vmbus_relid){ { VMBUS_RELID_RELEASED, 0 }, 3 }, sizeof(struct vmbus_relid));
	assert_int_equal(first->model.gone, 1);
	free(first);
	saver_fini(&s);
}

/* a sub-channel that is on its way out is so afterwards as well */
static void revoked_stays_revoked(void **state)
{
	struct vmbus_channel *sub = create_sub(&echo->model.channel, 1);
	struct vmbus_relid released = { { VMBUS_RELID_RELEASED, 0 }, 2 };
	struct saver s;

	connect_and_open(0);
	assert_int_equal(vmbus_offer(g->bus, sub), 0);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	vmbus_revoke(sub);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_RESCIND));
	hold();
	take(&s);
	assert_int_equal(put_back(&s), 0);
	vmbus_go_on(g->bus);
	model_run(g);
	assert_int_equal(g->read, g->count);
	assert_non_null(echo->subs[0]);
	model_send(g, &released, sizeof(released));
	assert_null(echo->subs[0]);
	saver_fini(&s);
}

static void what_cannot_be_is_refused(void **state)
{
	struct model_channel c = connect_and_open(0);
	struct vmbus_channel *sub = create_sub(&echo->model.channel, 3);
	struct saver s;

	assert_int_equal(vmbus_offer(g->bus, sub), 0);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	hold();
	take(&s);
	echo->model.channel.instance.data1 = 9; /* another device's now */
	assert_int_equal(put_back(&s), -ENODEV);
	echo->model.channel.instance.data1 = 8;
	for (size_t len = 16; len < s.len; len += 3)
		assert_int_not_equal(put_back_changed(s.data, len), 0);
	for (size_t bit = 16 * 8; bit < s.len * 8; bit++) {
		u8 *copy = malloc(s.len);

		memcpy(copy, s.data, s.len);
		copy[bit / 8] ^= (u8)(1u << bit % 8);
		if (put_back_changed(copy, s.len))
			assert_true(true); /* most are refused; some only mean another VP or number of packets */
		free(copy);
	}
	assert_int_equal(put_back(&s), 0);
	vmbus_go_on(g->bus);
	model_run(g);
	g->read = g->count;
	echoes(&c, 5);
	saver_fini(&s);
}

/* what is saved of the channel with that relid says that it is in another state */
static void say_state(struct saver *s, u32 relid, enum channel_state state)
{
	static const struct guid interface = { .data1 = 7 };
	const size_t at = 2 * sizeof(struct guid) + 2; /* state, two flags, relid */

	for (u8 *p = s->data; p + at + 7 <= s->data + s->len; p++)
		if (!memcmp(p, &interface, sizeof(interface)) && !memcmp(p + at + 3, &relid, sizeof(relid)))
			p[at] = (u8)state;
}

/* a controller without its guest's hold on it has no sub-channels; nobody would take them back (fuzz_vmbus_state) */
static void a_sub_channel_wants_its_controller(void **state)
{
	static const enum channel_state wrong[] = { CHANNEL_HIDDEN, CHANNEL_OFFERED, CHANNEL_REVOKED };
	static const int says[] = { -ENODEV, -ENODEV, -EPROTO };
	struct model_channel c = connect_and_open(0);
	struct saver s;

	assert_int_equal(vmbus_offer(g->bus, create_sub(&echo->model.channel, 1)), 0);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_OFFER));
	hold();
	take(&s);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		say_state(&s, 1, wrong[i]);
		assert_int_equal(put_back_changed(s.data, s.len), says[i]);
	}
	say_state(&s, 1, CHANNEL_HELD);
	assert_int_equal(put_back(&s), 0);
	vmbus_go_on(g->bus);
	model_run(g);
	echoes(&c, 7);
	saver_fini(&s);
}

static void a_device_that_does_not_stop(void **state)
{
	struct model_channel c = connect_and_open(0);

	echo->model.slow = true;
	is_held = false;
	vmbus_hold(g->bus, &hold_op, held);
	model_run(g);
	assert_false(is_held);
	assert_true(vmbus_hold_cancel(g->bus));
	assert_false(vmbus_hold_cancel(g->bus));
	echo->model.slow = false;
	vmbus_channel_stopped(&echo->model.channel);
	model_run(g);
	assert_false(is_held);
	echoes(&c, 6);
	/* and a close that comes while it is held ends it */
	hold();
	model_close(g, 1);
	vmbus_go_on(g->bus);
	model_run(g);
	assert_non_null(model_next(g, VMBUS_GPADL_TORNDOWN));
	assert_true(model_open(g, &c, 1, 0, 16));
	echoes(&c, 9);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(into_itself), TEST(into_the_next_one), TEST(revoked_stays_revoked), TEST(what_cannot_be_is_refused),
		TEST(a_sub_channel_wants_its_controller), TEST(a_device_that_does_not_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
