#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spec/vmgs.h"
#include "tests/lib/model_get_vmgs.h"
#include "vmm/vmgs/boot_status.h"

#define CAPACITY (256 * KiB)

static struct model_host host;
static struct store *store;
static struct boot_status status;
static unsigned done_times;
static u8 file[70000];
static size_t file_len;

static void done(void *context)
{
	assert_ptr_equal(context, &done_times);
	done_times++;
}

static void open_as(enum store_lifetime lifetime)
{
	store_destroy(store);
	store = store_create(host.get, lifetime, NULL, NULL);
	store_start(store);
	model_host_run(&host);
}

static int set_up(void **state)
{
	model_host_init(&host, CAPACITY, 512);
	open_as(STORE_DEFAULT);
	return 0;
}

static int tear_down(void **state)
{
	store_destroy(store);
	store = NULL;
	model_host_fini(&host);
	return 0;
}

/* the next life of the firmware asks */
static bool take(void)
{
	done_times = 0;
	boot_status_take(&status, store, done, &done_times);
	model_host_run(&host);
	assert_int_equal(done_times, 1);
	return status.watchdog;
}

static void keep(void)
{
	done_times = 0;
	boot_status_keep(&status, store, done, &done_times);
	model_host_run(&host);
	assert_int_equal(done_times, 1);
}

static void came(struct store_request *r, int error, struct bytes data)
{
	done_times++;
	file_len = error ? 0 : data.left;
	if (file_len)
		memcpy(file, data.at, file_len);
}

static void transfer(bool write, const u8 *data, size_t len)
{
	static struct store_request r;

	r = (struct store_request){ .id = VMGS_GUEST_WATCHDOG, .write = write, .data = data, .len = len, .done = came };
	done_times = 0;
	store_submit(store, &r);
	model_host_run(&host);
	assert_int_equal(done_times, 1);
}

static void a_reset_by_the_watchdog_is_told_once(void **state)
{
	assert_false(take()); /* a machine that is new */
	keep();
	transfer(false, NULL, sizeof(file));
	assert_int_equal(file_len, 1); /* as OpenVMM writes it */
	assert_int_equal(file[0], 1);
	open_as(STORE_DEFAULT);
	assert_true(take());
	transfer(false, NULL, sizeof(file));
	assert_int_equal(file_len, 1);
	assert_int_equal(file[0], 0);
	open_as(STORE_DEFAULT);
	assert_false(take());
}

static void what_it_does_not_know_is_no(void **state)
{
	static const u8 wrong[] = { 2, 1, 1 };

	transfer(true, wrong, 1);
	assert_false(take());
	transfer(true, wrong + 1, 2);
	assert_false(take());
	transfer(true, wrong, 0);
	assert_false(take());
	transfer(false, NULL, sizeof(file)); /* left as it was */
	assert_int_equal(file_len, 0);
	keep();
	assert_true(take());
}

static void without_a_place_nobody_waits(void **state)
{
	open_as(STORE_EPHEMERAL);
	keep();
	assert_false(take());
	store_destroy(store);
	store = NULL;
	keep();
	assert_false(take());
}

/* what cannot be written, cannot be cleared, or a host that answers no more: the guest is reset and started all the same */
static void a_host_that_fails_holds_nothing_up(void **state)
{
	assert_false(take());
	host.status = 1;
	keep();
	host.status = 0;
	open_as(STORE_DEFAULT);
	assert_false(take());
	keep();
	open_as(STORE_DEFAULT);
	host.silent = true;
	done_times = 0;
	boot_status_take(&status, store, done, &done_times);
	sim_run(host.sim, 3600000000000ull);
	assert_int_equal(done_times, 1);
	assert_false(status.watchdog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_reset_by_the_watchdog_is_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_it_does_not_know_is_no, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_place_nobody_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_host_that_fails_holds_nothing_up, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("vmm/vmgs/boot_status", tests, NULL, NULL);
}
