/* The TPM over a guest-state file that loses power: what it said yes to, it remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/model_vmgs_device.h"
#include "vmm/device_worker/sandbox.h"
#include "vmm/tpm/engine.h"

#define CAPACITY (512 * KiB)

static struct model_device device;
static struct vmgs store;
static u8 response[TPM_COMMAND_MAX];
static size_t response_len;

/* ---- commands as part 3 of the TPM 2.0 library has them */
#define OWNER 0x40, 0, 0, 1
#define PASSWORD 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0 /* an empty one */
#define COUNTER_INDEX 1, 0x80, 0, 1
static const u8 startup[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0 };
static const u8 get_random[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16 };
/* a counter: OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD, NO_DA */
static const u8 define_counter[] = { 0x80, 2, 0, 0, 0, 45, 0, 0, 1, 0x2a, OWNER, PASSWORD, 0, 0, 0, 14, COUNTER_INDEX, 0, 0x0b,
				     2, 6, 0, 0x16, 0, 0, 0, 8 };
static const u8 increment[] = { 0x80, 2, 0, 0, 0, 31, 0, 0, 1, 0x34, OWNER, COUNTER_INDEX, PASSWORD };
static const u8 read_counter[] = { 0x80, 2, 0, 0, 0, 35, 0, 0, 1, 0x4e, OWNER, COUNTER_INDEX, PASSWORD, 0, 8, 0, 0 };
/* PCR 16 may be extended and reset by anybody: SHA-256 of something */
static const u8 extend[65] = { 0x80, 2, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, 16, PASSWORD, 0, 0, 0, 1, 0, 0x0b, 1, 2, 3 };
static const u8 read_pcr[] = { 0x80, 1, 0, 0, 0, 20, 0, 0, 1, 0x7e, 0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 1 };

static int load(void *context, u8 **ret_data, size_t *ret_len)
{
	return vmgs_read(&store, &device.device, VMGS_TPM_NVRAM, TPM_STATE_MAX, ret_data, ret_len);
}

static int keep(void *context, const void *data, size_t len)
{
	return vmgs_write(&store, &device.device, VMGS_TPM_NVRAM, data, len);
}

static const struct tpm_engine_store on_device = { load, keep, NULL };

/* the response code; 0xffffffff: none */
static u32 run(const u8 *command, size_t len)
{
	if (tpm_engine_command(bytes_of(command, len), 0, response, &response_len))
		return 0xffffffff;
	assert_true(response_len >= 10);
	return (u32)response[6] << 24 | (u32)response[7] << 16 | (u32)response[8] << 8 | response[9];
}
#define RUN(command) run(command, sizeof(command))

static u64 counter(void)
{
	u64 value = 0;

	assert_int_equal(RUN(read_counter), 0);
	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | response[16 + i];
	return value;
}

static int fresh(void **state)
{
	model_init(&device, CAPACITY, 512, 1);
	return vmgs_format(&store, &device.device);
}

static int over(void **state)
{
	tpm_engine_stop();
	model_fini(&device);
	return 0;
}

static int start(void)
{
	return tpm_engine_start(&on_device, bytes_of(NULL, 0));
}

static void it_answers(void **state)
{
	u8 first[16];

	assert_int_equal(RUN(startup), 0xffffffff);
	assert_int_equal(start(), 0);
	assert_int_equal(start(), -EALREADY);
	assert_int_equal(RUN(get_random), 0x100); /* TPM_RC_INITIALIZE */
	assert_int_equal(RUN(startup), 0);
	assert_int_equal(RUN(get_random), 0);
	assert_int_equal(response_len, 28);
	memcpy(first, response + 12, 16);
	assert_int_equal(RUN(get_random), 0);
	assert_memory_not_equal(first, response + 12, 16);
	/* what is no command gets a response, too */
	assert_int_not_equal(run(get_random, 9), 0);
	assert_int_not_equal(run(startup, 0), 0);
	static const u8 too_long[TPM_COMMAND_MAX + 1];

	assert_int_equal(tpm_engine_command(bytes_of(too_long, sizeof(too_long)), 0, response, &response_len), -EMSGSIZE);
	assert_int_equal(RUN(get_random), 0);
}

static void it_remembers(void **state)
{
	u64 before;

	assert_int_equal(start(), 0);
	assert_int_equal(RUN(startup), 0);
	assert_int_equal(RUN(define_counter), 0);
	assert_int_equal(RUN(increment), 0);
	before = counter();
	for (unsigned life = 1; life <= 3; life++) {
		tpm_engine_stop();
		model_power_cut(&device);
		assert_int_equal(vmgs_open(&store, &device.device), 0);
		assert_int_equal(start(), 0);
		assert_int_equal(RUN(startup), 0);
		assert_int_equal(counter(), before + life - 1);
		assert_int_equal(RUN(increment), 0);
	}
}

static void it_goes_on_where_it_was(void **state)
{
	struct loader saved;
	struct saver s;
	u8 pcr[32];

	assert_int_equal(start(), 0);
	assert_int_equal(RUN(startup), 0);
	assert_int_equal(RUN(extend), 0);
	assert_int_equal(RUN(read_pcr), 0);
	memcpy(pcr, response + response_len - 32, 32);
	saver_init(&s);
	tpm_engine_save(&s);
	assert_int_equal(saver_finish(&s), 0);
	assert_int_equal(loader_init(&saved, s.data, s.len), 0);
	tpm_engine_stop();
	/* not switched off: no TPM2_Startup, and what was measured is still there */
	assert_int_equal(tpm_engine_start(&on_device, saved.left), 0);
	assert_int_equal(RUN(read_pcr), 0);
	assert_memory_equal(pcr, response + response_len - 32, 32);
	tpm_engine_stop();
	s.data[s.len / 2] ^= 1;
	assert_int_equal(tpm_engine_start(&on_device, saved.left), -EBADMSG);
	saver_fini(&s);
}

static void a_damaged_memory_is_refused(void **state)
{
	assert_int_equal(keep(NULL, "not a TPM's", 11), 0);
	assert_int_equal(start(), -EBADMSG);
	device.fail_call = device.calls + 1;
	assert_int_equal(start(), -EIO);
	/* and left as it is */
	u8 *data;
	size_t len;

	assert_int_equal(load(NULL, &data, &len), 0);
	assert_memory_equal(data, "not a TPM's", 11);
	free(data);
}

/* no yes without memory: after a write that failed nothing is done any more */
static void what_cannot_be_kept_is_not_done(void **state)
{
	assert_int_equal(start(), 0);
	assert_int_equal(RUN(startup), 0);
	assert_int_equal(RUN(define_counter), 0);
	assert_int_equal(RUN(increment), 0);
	device.fail_call = device.calls + 1;
	assert_int_equal(RUN(increment), 0x101); /* TPM_RC_FAILURE */
	assert_int_equal(RUN(increment), 0x101);
}

/* power goes at each sector and each flush of two increments */
static void counters_never_go_back(void **state)
{
	unsigned cuts = 0;

	assert_int_equal(start(), 0);
	assert_int_equal(RUN(startup), 0);
	assert_int_equal(RUN(define_counter), 0);
	assert_int_equal(RUN(increment), 0);
	u64 promised = counter(), tried = promised;

	for (int power = 0; power < 200; power++) {
		device.power = power;
		for (unsigned i = 0; i < 2 && device.power; i++) {
			tried = MAX(tried, promised + 1);
			if (RUN(increment))
				break;
			promised++;
		}
		cuts += !device.power;
		tpm_engine_stop();
		model_power_cut(&device);
		assert_int_equal(vmgs_open(&store, &device.device), 0);
		assert_int_equal(start(), 0);
		assert_int_equal(RUN(startup), 0);
		u64 now = counter();

		assert_in_range(now, promised, tried);
		promised = tried = now;
	}
	print_message("%u power cuts\n", cuts);
	assert_true(cuts > 20);
}

/* storage keys under the owner: ECC P-256 and RSA 2048 */
#define CREATE_PRIMARY 0x80, 2, 0, 0, 0, 67, 0, 0, 1, 0x31, OWNER, PASSWORD, 0, 4, 0, 0, 0, 0, 0, 26
#define STORAGE_KEY 0, 0x0b, 0, 3, 0, 0x72, 0, 0, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10
static const u8 create_ecc[] = { CREATE_PRIMARY, 0, 0x23, STORAGE_KEY, 0, 3, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
static const u8 create_rsa[] = { CREATE_PRIMARY, 0, 1, STORAGE_KEY, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

static int live_in_a_sandbox(void)
{
	/* what libcrypto opens, it opens before */
	if (start())
		return 1;
	if (device_sandbox_enter(&(struct device_sandbox){ .uid = 65534 }))
		return 2;
	if (RUN(startup) || RUN(get_random) || RUN(define_counter) || RUN(increment) || RUN(extend))
		return 3;
	return RUN(create_ecc) ? 4 : RUN(create_rsa) ? 5 : 0;
}

/* with its memory where it needs no system call, no more of them are needed than sandbox.c allows */
static void it_needs_little(void **state)
{
	pid_t pid = fork();
	int status;

	/* by the call itself: before _exit() the sanitizer makes one of its own */
	if (!pid)
		syscall(SYS_exit_group, live_in_a_sandbox());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %#x", status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, over)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_answers), TEST(it_remembers), TEST(it_goes_on_where_it_was), TEST(a_damaged_memory_is_refused),
		TEST(what_cannot_be_kept_is_not_done), TEST(it_needs_little),
		TEST(counters_never_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
