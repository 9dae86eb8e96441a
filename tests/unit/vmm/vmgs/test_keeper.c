/* A device's process and its keeper on the real executor, without a store: what was kept is there for the next life, no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "spec/vmgs.h"
#include "vmm/vmgs/keeper.h"

static struct {
	struct exec *exec;
	struct keeper *keeper;
	struct op turn;
	unsigned readies, nonsense;
	int fd;             /* the process's */
	atomic_bool over;
	int result;
} bed;

static void ready(void *context)
{
	bed.readies++;
}

static void nonsense(void *context, int error)
{
	assert_int_equal(error, -EPROTO);
	bed.nonsense++;
}

static void no_more(struct op *op, int result)
{
	exec_stop(bed.exec);
}

static void turn(void)
{
	exec_post(bed.exec, &bed.turn, no_more, 0);
	assert_int_equal(exec_run(bed.exec), 0);
}

static int set_up(void **state)
{
	static const u32 files[] = { VMGS_TPM_PPI, VMGS_TPM_NVRAM };
	struct keeper_config config = { .name = "it", .files = files, .file_count = 2, .ready = ready, .nonsense = nonsense };

	memset(&bed, 0, sizeof(bed));
	signal(SIGPIPE, SIG_IGN);
	bed.exec = config.exec = exec_create("control", -1);
	bed.keeper = keeper_create(&config);
	return !bed.keeper;
}

static int tear_down(void **state)
{
	keeper_destroy(bed.keeper);
	exec_destroy(bed.exec);
	return 0;
}

/* a life: its thread does what the process would, and this one the keeper's work meanwhile */
static void *process(void *work)
{
	bed.result = ((int (*)(void))(uintptr_t)work)();
	close(bed.fd);
	atomic_store(&bed.over, true);
	return NULL;
}

static int live(int (*work)(void))
{
	pthread_t thread;
	int pair[2];

	atomic_store(&bed.over, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	bed.fd = pair[1];
	assert_int_equal(keeper_attach(bed.keeper, pair[0]), 0);
	assert_int_equal(pthread_create(&thread, NULL, process, (void *)(uintptr_t)work), 0);
	while (!atomic_load(&bed.over) || !keeper_idle(bed.keeper)) {
		turn();
		usleep(100);
	}
	pthread_join(thread, NULL);
	return bed.result;
}

static u8 large[KEEP_LEN_MAX + 1];

static int first_life(void)
{
	u32 starts = 9;
	u8 *data;
	size_t len;

	memset(large, 0x5a, sizeof(large));
	if (keep_hello(bed.fd, &starts) || starts)
		return 1;
	if (keep_load(bed.fd, VMGS_TPM_NVRAM, &data, &len) != -ENOENT)
		return 2;
	if (keep_store(bed.fd, VMGS_TPM_NVRAM, large, KEEP_LEN_MAX) || keep_store(bed.fd, VMGS_TPM_PPI, "", 0))
		return 3;
	return keep_store(bed.fd, VMGS_TPM_PPI, large, sizeof(large)) != -EFBIG ? 4 : keep_ready(bed.fd) ? 5 : 0;
}

static int second_life(void)
{
	u32 starts = 9;
	u8 *data = NULL;
	size_t len = 0;

	if (keep_hello(bed.fd, &starts) || starts != 1)
		return 1;
	if (keep_load(bed.fd, VMGS_TPM_NVRAM, &data, &len) || len != KEEP_LEN_MAX || memcmp(data, large, len))
		return 2;
	free(data);
	if (keep_load(bed.fd, VMGS_TPM_PPI, &data, &len) || len)
		return 3;
	free(data);
	return keep_store(bed.fd, VMGS_TPM_NVRAM, "x", 1) ? 4 : 0;
}

static int others_files(void)
{
	u8 *data;
	size_t len;

	/* not an answer: the end */
	return keep_load(bed.fd, VMGS_BIOS_NVRAM, &data, &len) == -EPIPE ? 0 : 1;
}

static int too_much(void)
{
	const struct keep_request r = { KEEP_STORE, VMGS_TPM_PPI, KEEP_LEN_MAX + 1 };
	u8 answer;

	return send(bed.fd, &r, sizeof(r), 0) == sizeof(r) && recv(bed.fd, &answer, 1, 0) == 0 ? 0 : 1;
}

static int dies_in_the_middle(void)
{
	const struct keep_request r = { KEEP_STORE, VMGS_TPM_NVRAM, 1000 };

	return send(bed.fd, &r, sizeof(r), 0) == sizeof(r) && send(bed.fd, large, 500, 0) == 500 ? 0 : 1;
}

static int third_life(void)
{
	u8 *data = NULL;
	size_t len = 0;

	if (keep_load(bed.fd, VMGS_TPM_NVRAM, &data, &len) || len != 1 || data[0] != 'x')
		return 1;
	free(data);
	return 0;
}

static void it_keeps(void **state)
{
	assert_int_equal(live(first_life), 0);
	assert_int_equal(bed.readies, 1);
	assert_int_equal(live(second_life), 0);
	assert_int_equal(bed.nonsense, 0);
	assert_int_equal(live(dies_in_the_middle), 0);
	assert_int_equal(live(others_files), 0);
	assert_int_equal(bed.nonsense, 1);
	assert_int_equal(live(too_much), 0);
	assert_int_equal(bed.nonsense, 2);
	assert_int_equal(live(third_life), 0);
	assert_int_equal(bed.readies, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(it_keeps, set_up, tear_down) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
