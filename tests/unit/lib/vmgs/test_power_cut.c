/* Power goes at every write and every flush of a change, with what was not flushed lost in any combination. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/model_vmgs_device.h"

#define CAPACITY (64 * KiB)
#define DRAWS 40
#define CHANGES 6
#define FILES 4

/* what each file is: its length is a function of its fill; 0: there is none */
struct expectation {
	u8 fill[FILES + 1];
};

static size_t len_of(u8 fill)
{
	return (size_t)fill * 977 % 9000;
}

static bool same(struct model_device *m, struct vmgs *v, const struct expectation *e)
{
	struct vmgs_file f;

	for (u32 id = 1; id <= FILES; id++) {
		size_t len;
		u8 *data;

		if (vmgs_find(v, id, &f) != (e->fill[id] != 0))
			return false;
		if (!e->fill[id])
			continue;
		assert_int_equal(vmgs_read(v, &m->device, id, MiB, &data, &len), 0);
		bool right = len == len_of(e->fill[id]);

		for (size_t i = 0; right && i < len; i++)
			right = data[i] == e->fill[id];
		free(data);
		if (!right)
			return false;
	}
	return true;
}

static int change(struct model_device *m, struct vmgs *v, struct expectation *e, u64 *seed)
{
	u32 id = (u32)(model_random(seed) % FILES) + 1;
	u8 fill = (u8)(model_random(seed) % 255 + 1), data[9000];

	if (e->fill[id] && model_random(seed) % 4 == 0) {
		e->fill[id] = 0;
		return vmgs_remove(v, &m->device, id);
	}
	e->fill[id] = fill;
	memset(data, fill, sizeof(data));
	return vmgs_write(v, &m->device, id, data, len_of(fill));
}

/* changes one after the other, power gone after so many steps; true: it went on to the end */
static bool life(u64 seed, u64 draw, int power, u32 sector)
{
	struct expectation before = { 0 }, after = { 0 };
	struct vmgs v, again;
	struct model_device m;
	unsigned i = 0;
	int r = 0;

	model_init(&m, CAPACITY, sector, seed * 1000003 + draw * 31 + (u64)power + 1);
	assert_int_equal(vmgs_format(&v, &m.device), 0);
	m.power = power;
	for (; i < CHANGES && !r; i++) {
		before = after;
		r = change(&m, &v, &after, &seed);
	}
	assert_true(!r || r == -EIO);
	model_power_cut(&m);
	assert_int_equal(vmgs_open(&again, &m.device), 0);
	bool old = same(&m, &again, &before), new = same(&m, &again, &after);

	if (!(r ? old || new : new))
		fail_msg("draw %lu, power %d, change %u: neither", draw, power, i);
	/* and life goes on */
	struct expectation more = new ? after : before;

	assert_int_equal(change(&m, &again, &more, &seed), 0);
	model_power_cut(&m);
	assert_int_equal(vmgs_open(&v, &m.device), 0);
	assert_true(same(&m, &v, &more));
	model_fini(&m);
	return !r;
}

static void old_or_new_at_every_power_cut(void **state)
{
	unsigned cuts = 0;

	for (u64 seed = 1; seed <= 3; seed++)
		for (u64 draw = 0; draw < DRAWS; draw++)
			for (int power = 0; !life(seed * 7919, draw, power, seed == 3 ? 4096 : 512); power++)
				cuts++;
	print_message("%u power cuts\n", cuts);
	assert_true(cuts > 10000);
}

/* the one who writes dies with a header's flush still to come; its successor's change meets the power cut */
static void a_successor_flushes_first(void **state)
{
	for (u64 draw = 0; draw < 200; draw++) {
		struct expectation one = { .fill = { 0, 1 } }, two = { .fill = { 0, 2 } }, three = { .fill = { 0, 3 } };
		struct vmgs_operation *op = malloc(sizeof(*op));
		struct vmgs v, successor;
		struct vmgs_step s = { 0 };
		struct model_device m;
		u8 data[9000];

		model_init(&m, CAPACITY, 512, draw + 1);
		assert_int_equal(vmgs_format(&v, &m.device), 0);
		memset(data, 1, sizeof(data));
		assert_int_equal(vmgs_write(&v, &m.device, 1, data, len_of(1)), 0);
		memset(data, 2, sizeof(data));
		assert_int_equal(vmgs_begin_write(op, &v, 1, data, len_of(2)), 0);
		while (vmgs_next(op, &s) && !(s.kind == VMGS_WRITE && s.offset < VMGS_BLOCK_SIZE))
			vmgs_stepped(op, s.kind == VMGS_FLUSH ? model_flush(&m) : model_write(&m, s.offset, s.data, s.len));
		assert_int_equal(model_write(&m, s.offset, s.data, s.len), 0);
		vmgs_end(op);
		assert_int_equal(v.state, VMGS_DOUBT);
		assert_int_equal(vmgs_write(&v, &m.device, 1, data, 1), -EIO);
		assert_int_equal(vmgs_open(&successor, &m.device), 0);
		assert_true(same(&m, &successor, &two));
		memset(data, 3, sizeof(data));
		m.power = (int)(draw % 12);
		bool written = !vmgs_write(&successor, &m.device, 1, data, len_of(3));

		model_power_cut(&m);
		assert_int_equal(vmgs_open(&v, &m.device), 0);
		assert_true(written ? same(&m, &v, &three) : same(&m, &v, &two) || same(&m, &v, &three));
		assert_false(same(&m, &v, &one));
		model_fini(&m);
		free(op);
	}
}

/* of a device that was in use: what was there, nothing yet, or an empty store; never a mixture */
static void formatting_is_all_or_nothing(void **state)
{
	for (u64 draw = 0; draw < 40; draw++)
		for (int power = 0;; power++) {
			struct expectation e = { 0 }, none = { 0 };
			struct model_device m;
			u64 seed = draw + 5;
			struct vmgs v;

			model_init(&m, CAPACITY, 512, draw * 1009 + (u64)power + 1);
			assert_int_equal(vmgs_format(&v, &m.device), 0);
			for (unsigned i = 0; i < 1 + draw % 3; i++)
				assert_int_equal(change(&m, &v, &e, &seed), 0);
			m.power = power;
			bool done = !vmgs_format(&v, &m.device);

			model_power_cut(&m);
			int r = vmgs_open(&v, &m.device);

			assert_true(r == -ENODATA ? !done : !r && (same(&m, &v, &none) || (!done && same(&m, &v, &e))));
			model_fini(&m);
			if (done)
				break;
		}
}

/* a device that fails at any one call: the change says so; opened again, old or new is there */
static void a_failing_device_loses_nothing(void **state)
{
	for (unsigned at = 1; at <= 5; at++) {
		struct expectation before = { .fill = { 0, 9 } }, after = { .fill = { 0, 8 } };
		struct model_device m;
		struct vmgs v;
		u8 data[9000];

		model_init(&m, CAPACITY, 512, 4);
		assert_int_equal(vmgs_format(&v, &m.device), 0);
		memset(data, 9, sizeof(data));
		assert_int_equal(vmgs_write(&v, &m.device, 1, data, len_of(9)), 0);
		m.fail_call = m.calls + at;
		memset(data, 8, sizeof(data));
		assert_int_equal(vmgs_write(&v, &m.device, 1, data, len_of(8)), -EIO);
		assert_non_null(strstr(v.problem, "the device"));
		if (at <= 3) { /* no header was touched: the store goes on */
			assert_int_equal(v.state, VMGS_OPEN);
			assert_true(same(&m, &v, &before));
			assert_int_equal(vmgs_write(&v, &m.device, 1, data, len_of(8)), 0);
			assert_true(same(&m, &v, &after));
		} else {
			assert_int_equal(v.state, VMGS_DOUBT);
			assert_int_equal(vmgs_open(&v, &m.device), 0);
			assert_true(same(&m, &v, &before) || same(&m, &v, &after));
		}
		model_fini(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_or_new_at_every_power_cut),
		cmocka_unit_test(a_successor_flushes_first),
		cmocka_unit_test(formatting_is_all_or_nothing),
		cmocka_unit_test(a_failing_device_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
