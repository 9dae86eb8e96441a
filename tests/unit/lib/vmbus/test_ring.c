#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/vmbus/ring.h"

#define PAGES 3

static u8 memory[PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static u8 *pages[PAGES] = { memory[0], memory[1], memory[2] };

static struct vmbus_ring_control *control(void)
{
	return (struct vmbus_ring_control *)memory[0];
}

static void fresh(struct ring *writer, struct ring *reader)
{
	memset(memory, 0, sizeof(memory));
	assert_int_equal(ring_init(writer, pages, PAGES, false), 0);
	assert_int_equal(ring_init(reader, pages, PAGES, true), 0);
}

static void packets_go_round(void **state)
{
	struct ring w, r;
	u8 in[1500], out[2000];
	bool signal;
	struct ring_received got;

	fresh(&w, &r);
	for (int i = 0; i < 200; i++) {
		u32 len = (u32)(i * 37 % 1400) + 1;

		memset(in, i, sizeof(in));
		assert_int_equal(ring_write(&w, VMBUS_PACKET_IN_BAND, 1, (u64)i, "ab", 2, in, len, &signal), RING_OK);
		assert_true(signal); /* it was empty each time */
		assert_int_equal(ring_read(&r, out, sizeof(out), &got, &signal), RING_OK);
		assert_int_equal(got.transaction_id, i);
		assert_int_equal(got.len, ALIGN_UP(len + 2, 8u));
		assert_memory_equal(out, "ab", 2);
		assert_memory_equal(out + 2, in, len);
	}
	assert_int_equal(ring_read(&r, out, sizeof(out), &got, &signal), RING_EMPTY);
}

static void masks_and_room(void **state)
{
	struct ring w, r;
	u8 data[2048] = { 0 };
	bool signal;
	struct ring_received got;

	fresh(&w, &r);
	ring_mask(&r, true);
	assert_int_equal(ring_write(&w, 6, 0, 0, data, 2048, NULL, 0, &signal), RING_OK);
	assert_false(signal);
	assert_int_equal(ring_write(&w, 6, 0, 0, data, 2048, NULL, 0, &signal), RING_OK);
	assert_int_equal(ring_write(&w, 6, 0, 0, data, 2048, NULL, 0, &signal), RING_OK);
	assert_int_equal(ring_write(&w, 6, 0, 0, data, 2048, NULL, 0, &signal), RING_FULL);
	ring_want_room(&w, 3000);
	assert_int_equal(ring_read(&r, data, sizeof(data), &got, &signal), RING_OK);
	assert_true(signal); /* the writer waited, and now there is more than it asked for */
	assert_int_equal(ring_read(&r, data, sizeof(data), &got, &signal), RING_OK);
	assert_false(signal);
}

static void rubbish_is_refused(void **state)
{
	static const u32 indices[] = { 1, 7, 8192, 8200, 0xfffffff8, 0x80000000 };
	struct ring w, r;
	u8 out[4096];
	bool signal;
	struct ring_received got;

	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		fresh(&w, &r);
		control()->write_index = indices[i];
		assert_int_equal(ring_read(&r, out, sizeof(out), &got, &signal), RING_CORRUPT);
		control()->read_index = indices[i];
		assert_int_equal(ring_write(&w, 6, 0, 0, out, 8, NULL, 0, &signal), RING_CORRUPT);
		assert_int_equal(ring_room(&w), 0);
	}
	/* any packet header over any state: answers, stays within memory (ASan) */
	srand(1);
	for (int i = 0; i < 200000; i++) {
		fresh(&w, &r);
		control()->write_index = (u32)(rand() % 1025) * 8;
		for (int k = 0; k < 16; k++)
			memory[1][k] = (u8)rand();
		if (i & 1) {
			memory[1][2] = 2;
			memory[1][3] = 0;
			memory[1][5] = 0;
		}
		enum ring_status s = ring_read(&r, out, 64, &got, &signal);

		assert_true(s == RING_CORRUPT || s == RING_EMPTY || (s == RING_OK && got.len <= 64));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_go_round),
		cmocka_unit_test(masks_and_room),
		cmocka_unit_test(rubbish_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
