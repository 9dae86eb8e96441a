#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(goes_round_many_times), cmocka_unit_test(nonsense_is_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
