#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/vmbus/ring.h"
#include "vmm/uio/ring.h"

static u8 memory[8192] __attribute__((aligned(4096)));

static void goes_round_many_times(void **state)
{
	struct uio_ring r;
	u8 out[300], in[300];
	bool signal;

	memset(memory, 0, sizeof(memory));
	assert_true(uio_ring_init(&r, memory, sizeof(memory)));
	for (unsigned i = 0; i < 500; i++) {
		size_t len = 1 + i % 299;

		memset(out, (int)i, len);
		assert_int_equal(uio_ring_send(&r, out, len, &signal), 0);
		assert_true(signal);
		assert_int_equal(uio_ring_receive(&r, in, sizeof(in), &signal), (int)len);
		assert_memory_equal(in, out, len);
	}
	unsigned sent = 0;

	while (uio_ring_send(&r, out, 100, &signal) == 0)
		sent++;
	assert_in_range(sent, 25, 32);
	assert_true(r.control->pending_send_size != 0);
	assert_int_equal(uio_ring_receive(&r, in, sizeof(in), &signal), 100);
	assert_true(signal);
	assert_int_equal(uio_ring_send(&r, out, 5000, &signal), -EMSGSIZE);
}

static void nonsense_is_refused(void **state)
{
	struct uio_ring r;
	u8 in[64];
	bool signal;

	memset(memory, 0xff, sizeof(memory));
	assert_true(uio_ring_init(&r, memory, sizeof(memory)));
	assert_int_equal(uio_ring_receive(&r, in, sizeof(in), &signal), -EPROTO);
	assert_int_equal(uio_ring_send(&r, in, 4, &signal), -EPROTO);
	r.control->read_index = 0;
	r.control->write_index = 64;
	assert_int_equal(uio_ring_receive(&r, in, sizeof(in), &signal), -EPROTO);
	assert_false(uio_ring_init(&r, memory, 4096));
}

/* ---- both ends at once: a writer that waits for room is always told of it */

#define RACE_PAGES 17
#define RACE_MESSAGES 30000u
#define RACE_LEN 9000u

static struct race {
	u8 memory[RACE_PAGES * 4096] __attribute__((aligned(4096)));
	u8 *pages[RACE_PAGES];
	struct uio_ring ours;
	struct ring theirs;
	sem_t told;
	unsigned got, waits;
	bool lost;
} race;

static bool wait_told(void)
{
	struct timespec end;

	race.waits++;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 5;
	__atomic_store_n(&race.lost, sem_timedwait(&race.told, &end) != 0, __ATOMIC_RELAXED);
	return !race.lost;
}

static void *they_read(void *unused)
{
	static u8 data[RACE_LEN + 64];
	struct ring_received r;
	bool signal;

	while (race.got < RACE_MESSAGES && !__atomic_load_n(&race.lost, __ATOMIC_RELAXED)) {
		if (ring_read(&race.theirs, data, sizeof(data), &r, &signal) != RING_OK)
			continue;
		race.got++;
		if (signal)
			sem_post(&race.told);
	}
	return NULL;
}

static void *we_read(void *unused)
{
	static u8 data[RACE_LEN + 64];
	bool signal;

	while (race.got < RACE_MESSAGES && !__atomic_load_n(&race.lost, __ATOMIC_RELAXED)) {
		if (uio_ring_receive(&race.ours, data, sizeof(data), &signal) <= 0)
			continue;
		race.got++;
		if (signal)
			sem_post(&race.told);
	}
	return NULL;
}

static void race_start(bool ours_reads)
{
	memset(&race, 0, sizeof(race));
	for (unsigned i = 0; i < RACE_PAGES; i++)
		race.pages[i] = race.memory + i * 4096;
	sem_init(&race.told, 0, 0);
	assert_true(uio_ring_init(&race.ours, race.memory, sizeof(race.memory)));
	assert_int_equal(ring_init(&race.theirs, race.pages, RACE_PAGES, !ours_reads), 0);
	race.ours.control->features = 1;
}

static void they_tell_us_of_room(void **state)
{
	static u8 data[RACE_LEN];
	pthread_t reader;
	bool signal;
	int r = 0;

	race_start(false);
	pthread_create(&reader, NULL, they_read, NULL);
	for (unsigned i = 0; i < RACE_MESSAGES && !race.lost; i++)
		while ((r = uio_ring_send(&race.ours, data, sizeof(data), &signal)) == -EAGAIN && wait_told())
			;
	pthread_join(reader, NULL);
	assert_int_equal(r, 0);
	assert_false(race.lost);
	assert_int_equal(race.got, RACE_MESSAGES);
}

static void we_tell_them_of_room(void **state)
{
	static struct { struct vmbus_pipe_header head; u8 data[RACE_LEN]; } m = { .head = { VMBUS_PIPE_DATA, RACE_LEN } };
	pthread_t reader;
	bool signal;

	race_start(true);
	pthread_create(&reader, NULL, we_read, NULL);
	for (unsigned i = 0; i < RACE_MESSAGES && !race.lost; i++)
		while (ring_write(&race.theirs, VMBUS_PACKET_IN_BAND, 0, 0, &m, sizeof(m), NULL, 0, &signal) == RING_FULL) {
			ring_want_room(&race.theirs, sizeof(m) + 64);
			if (ring_room(&race.theirs) <= sizeof(m) + 64 && !wait_told())
				break;
			ring_want_room(&race.theirs, 0);
		}
	pthread_join(reader, NULL);
	assert_false(race.lost);
	assert_int_equal(race.got, RACE_MESSAGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_round_many_times),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(they_tell_us_of_room),
		cmocka_unit_test(we_tell_them_of_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
