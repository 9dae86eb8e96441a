/* What goes wrong on purpose, each kind. */
#include "tests/lib/nvme_driver.h"

static void faults(void **state)
{
	struct nvme_fault fault = { .kind = NVME_FAULT_STATUS, .argument = NVME_SC_UNRECOVERED_READ, .every = 2 };
	struct nvme_command read = rw(NVME_IO_READ, 0, 1, DATA, 0);
	struct nvme_completion c;

	set_up("ram:1M");
	start();
	make_queue();
	nvme_target_set_faults(nvme, &fault, 1);
	u16 one = run(1, read), two = run(1, read);

	assert_int_equal(one + two, NVME_SC_UNRECOVERED_READ); /* each second one */
	fault = (struct nvme_fault){ .kind = NVME_FAULT_DELAY, .argument = 30, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	assert_int_equal(run(1, read), 0);
	fault = (struct nvme_fault){ .kind = NVME_FAULT_DROP, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	read.cid = 11;
	submit(1, read);
	usleep(50000);
	assert_false(reap(1, &c));
	submit(0, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT, .cid = 9, .cdw10 = 11u << 16 | 1 });
	assert_int_equal(await(0).dw0, 0);
	assert_int_equal(await(1).status >> 1, NVME_SC_ABORT_REQUESTED);
	fault = (struct nvme_fault){ .kind = NVME_FAULT_STALL, .argument = 1, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	submit(1, read);
	usleep(50000);
	assert_false(reap(1, &c));
	nvme_target_set_faults(nvme, NULL, 0);
	assert_int_equal(await(1).status >> 1, 0);
	fault = (struct nvme_fault){ .kind = NVME_FAULT_FATAL, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	submit(1, read);
	wait_csts(NVME_CSTS_CFS, NVME_CSTS_CFS);
	put(NVME_CC, 0);
	wait_csts(NVME_CSTS_CFS | NVME_CSTS_RDY, 0);
	/* how often each struck is told */
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	nvme_target_print(nvme, out);
	fclose(out);
	assert_non_null(strstr(text, "fault status met 1\n"));
	assert_non_null(strstr(text, "fault stall met 1\n"));
	assert_non_null(strstr(text, "fault fatal met 1\n"));
	assert_null(strstr(text, "fault flip"));
	free(text);
	tear_down();
}

static u16 with_fault(const char *text, struct nvme_command c)
{
	struct nvme_fault fault;
	char why[320];

	assert_int_equal(nvme_fault_parse(text, &fault, why, sizeof(why)), 0);
	nvme_target_set_faults(nvme, &fault, 1);
	return run(1, c);
}

static void faults_of_the_medium(void **state)
{
	struct nvme_command flush = { .opcode = NVME_IO_FLUSH, .nsid = 1 };
	struct nvme_completion c;

	set_up("ram:1M,queues=4");
	start();
	make_queue();
	assert_int_equal(with_fault("media:10+2", rw(NVME_IO_READ, 9, 1, DATA, 0)), 0);
	assert_int_equal(with_fault("media:10+2", rw(NVME_IO_READ, 9, 2, DATA, 0)), NVME_SC_UNRECOVERED_READ);
	assert_int_equal(with_fault("media:10+2", rw(NVME_IO_WRITE, 11, 4, DATA, 0)), NVME_SC_WRITE_FAULT);
	assert_int_equal(with_fault("media:10+2", rw(NVME_IO_READ, 12, 4, DATA, 0)), 0);
	assert_int_equal(with_fault("media:10+2", flush), 0);
	assert_int_equal(with_fault("flushfail", flush), NVME_SC_INTERNAL_ERROR);
	assert_int_equal(with_fault("flushfail", rw(NVME_IO_READ, 10, 1, DATA, 0)), 0);
	assert_int_equal(with_fault("loseflush", flush), 0);
	/* lies */
	memset(memory + DATA, 0x77, PAGE_SIZE);
	assert_int_equal(with_fault("losewrite", rw(NVME_IO_WRITE, 0, 1, DATA, 0)), 0);
	assert_int_equal(with_fault("misdirect", rw(NVME_IO_WRITE, 16, 1, DATA, 0)), 0);
	assert_int_equal(with_fault("flip/2", rw(NVME_IO_READ, 0, 1, DATA + 0x1000, 0)), 0);
	assert_int_equal(memory[DATA + 0x1000], 0);
	assert_int_equal(with_fault("flip/2", rw(NVME_IO_READ, 16, 1, DATA + 0x1000, 0)), 0);
	assert_int_equal(memory[DATA + 0x1000], 0);
	assert_int_equal(with_fault("flip/2", rw(NVME_IO_READ, 24, 1, DATA + 0x1000, 0)), 0);
	assert_int_equal(memory[DATA + 0x1000], 0x77);
	assert_int_equal(with_fault("flip", rw(NVME_IO_READ, 24, 1, DATA + 0x1000, 0)), 0);
	assert_memory_not_equal(memory + DATA + 0x1000, memory + DATA, 512);
	/* completions */
	assert_int_equal(with_fault("duplicate", flush), 0);
	assert_int_equal(await(1).cid, 7);
	assert_false(reap(1, &c));
	nvme_target_set_faults(nvme, NULL, 0);
	u32 before = __atomic_load_n(&interrupts, __ATOMIC_SEQ_CST);

	assert_int_equal(with_fault("silent", flush), 0);
	assert_int_equal(__atomic_load_n(&interrupts, __ATOMIC_SEQ_CST), before);
	tear_down();
}

static void faults_that_are_states(void **state)
{
	struct nvme_command identify = { .opcode = NVME_ADMIN_IDENTIFY, .nsid = 1, .prp1 = DATA, .cdw10 = NVME_CNS_NAMESPACE };
	struct nvme_command log = { .opcode = NVME_ADMIN_GET_LOG_PAGE, .prp1 = DATA,
				    .cdw10 = 1023u << 16 | NVME_LOG_CHANGED_NAMESPACES };
	struct nvme_fault fault = { .kind = NVME_FAULT_CAPACITY, .argument = 100, .every = 1 };
	struct nvme_identify_namespace *ns;

	set_up("ram:1M");
	ns = (void *)(memory + DATA);
	start();
	make_queue();
	/* nobody asked for events: none comes, but the log tells */
	nvme_target_set_faults(nvme, &fault, 1);
	assert_int_equal(run(0, log), 0);
	assert_int_equal(memory[DATA], 1);
	assert_int_equal(run(0, log), 0);
	assert_int_equal(memory[DATA], 0);
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(ns->nsze, 100);
	assert_int_equal(run(1, rw(NVME_IO_READ, 99, 2, DATA, 0)), NVME_SC_LBA_OUT_OF_RANGE);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_ASYNC_EVENTS,
						       .cdw11 = NVME_ASYNC_NAMESPACE }), 0);
	submit(0, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT, .cid = 33 });
	nvme_target_set_faults(nvme, NULL, 0);
	struct nvme_completion c = await(0);

	assert_int_equal(c.cid, 33);
	assert_int_equal(c.dw0, NVME_EVENT(2, 0, NVME_LOG_CHANGED_NAMESPACES));
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(ns->nsze, 2048);
	fault = (struct nvme_fault){ .kind = NVME_FAULT_PROTECT, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(ns->nsattr, 1);
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 0, 1, DATA, 0)), NVME_SC_WRITE_PROTECTED);
	fault = (struct nvme_fault){ .kind = NVME_FAULT_NOTREADY, .every = 1 };
	nvme_target_set_faults(nvme, &fault, 1);
	put(NVME_CC, 0);
	wait_csts(NVME_CSTS_RDY, 0);
	put(NVME_CC, NVME_CC_EN | 6u << 16 | 4u << 20);
	usleep(20000);
	assert_int_equal(get(NVME_CSTS), 0);
	nvme_target_set_faults(nvme, NULL, 0);
	put(NVME_CC, 0);
	start();
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults), cmocka_unit_test(faults_of_the_medium), cmocka_unit_test(faults_that_are_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
