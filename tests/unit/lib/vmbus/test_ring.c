#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/*
 * The writer fills the ring and goes to sleep while the reader copies a packet: between the reader's look at the indices and its
 * own index. The reader's first touch of the data is where that happens: its view of it is not there yet.
 */
static u8 *reader_view;
static struct ring busy_writer;

static void meanwhile(int signal_number)
{
	u8 data[3000] = { 0 };
	bool signal;

	if (mprotect(reader_view, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE) ||
	    ring_write(&busy_writer, 6, 0, 0, data, sizeof(data), NULL, 0, &signal) != RING_OK ||
	    ring_write(&busy_writer, 6, 0, 0, data, sizeof(data), NULL, 0, &signal) != RING_FULL)
		abort();
	ring_want_room(&busy_writer, sizeof(data) + 25);
}

static void a_writer_that_fell_asleep_meanwhile_is_woken(void **state)
{
	struct sigaction action = { .sa_handler = meanwhile }, before;
	int fd = memfd_create("ring", MFD_CLOEXEC);
	u8 *views[2], *w_pages[PAGES], *r_pages[PAGES], data[5000] = { 0 };
	struct ring_received got;
	struct ring r;
	bool signal;

	assert_int_equal(ftruncate(fd, PAGES * PAGE_SIZE), 0);
	for (int i = 0; i < 2; i++) {
		views[i] = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(views[i], MAP_FAILED);
	}
	for (u32 i = 0; i < PAGES; i++) {
		w_pages[i] = views[0] + i * PAGE_SIZE;
		r_pages[i] = views[1] + i * PAGE_SIZE;
	}
	assert_int_equal(ring_init(&busy_writer, w_pages, PAGES, false), 0);
	assert_int_equal(ring_init(&r, r_pages, PAGES, true), 0);
	assert_int_equal(ring_write(&busy_writer, 6, 0, 0, data, sizeof(data), NULL, 0, &signal), RING_OK);
	reader_view = views[1];
	assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
	assert_int_equal(mprotect(views[1] + PAGE_SIZE, (PAGES - 1) * PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(ring_read(&r, data, sizeof(data), &got, &signal), RING_OK);
	sigaction(SIGSEGV, &before, NULL);
	assert_true(signal);
	for (int i = 0; i < 2; i++)
		munmap(views[i], PAGES * PAGE_SIZE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_go_round),
		cmocka_unit_test(masks_and_room),
		cmocka_unit_test(rubbish_is_refused),
		cmocka_unit_test(a_writer_that_fell_asleep_meanwhile_is_woken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
