/* The controller as a driver meets it. */
#include "tests/lib/nvme_driver.h"

static void bring_up_and_identify(void **state)
{
	struct nvme_identify_controller *c;
	struct nvme_identify_namespace *ns;
	struct nvme_command identify = { .opcode = NVME_ADMIN_IDENTIFY, .prp1 = DATA, .cdw10 = NVME_CNS_CONTROLLER };

	set_up("ram:1M");
	assert_int_equal(get(NVME_CAP) & 0xffff, 1023);
	start();
	assert_int_equal(run(0, identify), 0);
	c = (void *)(memory + DATA);
	assert_memory_equal(c->sn, "UNIT                ", 20);
	assert_int_equal(c->nn, 1);
	assert_int_equal(c->sqes, 0x66);
	identify.cdw10 = NVME_CNS_NAMESPACE;
	assert_int_equal(run(0, identify), NVME_SC_INVALID_NAMESPACE);
	identify.nsid = 1;
	identify.prp1 = DATA + 0x800; /* across a page */
	identify.prp2 = DATA + 0x3000;
	assert_int_equal(run(0, identify), 0);
	ns = (void *)(memory + DATA + 0x800);
	assert_int_equal(ns->nsze, 2048);
	identify.cdw10 = NVME_CNS_ACTIVE_NAMESPACES;
	identify.nsid = 0;
	identify.prp1 = DATA;
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(memory[DATA], 1);
	identify.cdw10 = NVME_CNS_DESCRIPTORS;
	identify.nsid = 1;
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(memory[DATA], NVME_DESCRIPTOR_NGUID);
	identify.cdw10 = 0x55;
	assert_int_equal(run(0, identify), NVME_SC_INVALID_FIELD);
	identify.cdw10 = NVME_CNS_CONTROLLER;
	identify.prp1 = 1ull << 40;
	assert_int_equal(run(0, identify), NVME_SC_DATA_TRANSFER_ERROR);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = 0x77 }), NVME_SC_INVALID_OPCODE);
	assert_true(__atomic_load_n(&interrupts, __ATOMIC_SEQ_CST) >= 8);
	put(NVME_CC, 0);
	wait_csts(NVME_CSTS_RDY, 0);
	start(); /* and again */
	assert_int_equal(run(0, identify), NVME_SC_DATA_TRANSFER_ERROR);
	tear_down();
}

static void read_write(void **state)
{
	u64 *list = NULL;

	set_up("ram:1M");
	start();
	make_queue();
	for (u32 i = 0; i < 5 * PAGE_SIZE; i++)
		memory[DATA + i] = (u8)(i * 7 + i / 251);
	list = (u64 *)(memory + LIST);
	for (u32 i = 0; i < 4; i++)
		list[i] = DATA + (i + 1) * PAGE_SIZE;
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 8, 40, DATA, LIST)), 0);
	for (u32 i = 0; i < 4; i++)
		list[i] = DATA + 0x20000 + (3 - i) * PAGE_SIZE; /* backwards, from the middle of a page */
	assert_int_equal(run(1, rw(NVME_IO_READ, 8, 34, DATA + 0x18e00, LIST)), 0);
	assert_memory_equal(memory + DATA + 0x18e00, memory + DATA, 0x200);
	assert_memory_equal(memory + DATA + 0x23000, memory + DATA + 0x200, PAGE_SIZE);
	assert_memory_equal(memory + DATA + 0x20000, memory + DATA + 0x3200, PAGE_SIZE);
	assert_int_equal(run(1, rw(NVME_IO_COMPARE, 8, 1, DATA, 0)), 0);
	assert_int_equal(run(1, rw(NVME_IO_COMPARE, 9, 1, DATA, 0)), NVME_SC_COMPARE_FAILURE);
	assert_int_equal(run(1, rw(NVME_IO_WRITE_ZEROES, 8, 1, 0, 0)), 0);
	assert_int_equal(run(1, rw(NVME_IO_READ, 8, 1, DATA + 0x30000, 0)), 0);
	assert_int_equal(memory[DATA + 0x30001], 0);
	struct nvme_dsm_range range = { .lba = 8, .blocks = 16 };

	memcpy(memory + DATA + 0x40000, &range, sizeof(range));
	assert_int_equal(run(1, (struct nvme_command){ .opcode = NVME_IO_DSM, .nsid = 1, .prp1 = DATA + 0x40000,
						       .cdw11 = NVME_DSM_DEALLOCATE }), 0);
	assert_int_equal(run(1, rw(NVME_IO_READ, 9, 1, DATA + 0x30000, 0)), 0);
	assert_int_equal(memory[DATA + 0x30001], 0);
	assert_int_equal(run(1, (struct nvme_command){ .opcode = NVME_IO_FLUSH, .nsid = NVME_NSID_ALL }), 0);
	/* mistakes */
	assert_int_equal(run(1, rw(NVME_IO_READ, 2047, 2, DATA, 0)), NVME_SC_LBA_OUT_OF_RANGE);
	assert_int_equal(run(1, rw(NVME_IO_READ, ~0ull, 2, DATA, 0)), NVME_SC_LBA_OUT_OF_RANGE);
	assert_int_equal(run(1, rw(NVME_IO_READ, 0, 2, DATA + 2, 0)), NVME_SC_INVALID_PRP_OFFSET);
	assert_int_equal(run(1, rw(NVME_IO_READ, 0, 16, DATA, DATA + 8)), NVME_SC_INVALID_PRP_OFFSET);
	list[0] = 1ull << 50;
	assert_int_equal(run(1, rw(NVME_IO_READ, 0, 24, DATA, LIST)), NVME_SC_DATA_TRANSFER_ERROR);
	struct nvme_command bad = rw(NVME_IO_READ, 0, 1, DATA, 0);

	bad.nsid = 2;
	assert_int_equal(run(1, bad), NVME_SC_INVALID_NAMESPACE);
	range.lba = ~0ull;
	memcpy(memory + DATA + 0x40000, &range, sizeof(range));
	assert_int_equal(run(1, (struct nvme_command){ .opcode = NVME_IO_DSM, .nsid = 1, .prp1 = DATA + 0x40000,
						       .cdw11 = NVME_DSM_DEALLOCATE }), NVME_SC_LBA_OUT_OF_RANGE);
	tear_down();
}

static void a_file_keeps_its_bytes(void **state)
{
	char path[] = "/tmp/paravane-nvme-XXXXXX", text[64];
	int fd = mkstemp(path);
	u8 back[512];

	assert_true(fd >= 0 && !ftruncate(fd, 1 << 20));
	snprintf(text, sizeof(text), "%s", path);
	set_up(text);
	start();
	make_queue();
	memset(memory + DATA, 0x5a, PAGE_SIZE);
	struct nvme_command w = rw(NVME_IO_WRITE, 3, 1, DATA + 4, 0); /* not aligned for O_DIRECT */

	w.cdw12 |= NVME_RW_FUA;
	assert_int_equal(run(1, w), 0);
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 16, 8, DATA, 0)), 0);
	assert_int_equal(run(1, rw(NVME_IO_READ, 16, 8, DATA + 0x1000, 0)), 0);
	assert_int_equal(memory[DATA + 0x1000], 0x5a);
	put(NVME_CC, NVME_CC_EN | 6u << 16 | 4u << 20 | 1u << 14);
	wait_csts(NVME_CSTS_SHST, 2u << 2);
	tear_down();
	assert_int_equal(pread(fd, back, 512, 3 * 512), 512);
	assert_int_equal(back[0], 0x5a);
	assert_int_equal(pread(fd, back, 512, 4 * 512), 512);
	assert_int_equal(back[0], 0);
	snprintf(text, sizeof(text), "%s,readonly=on", path);
	set_up(text);
	start();
	make_queue();
	assert_int_equal(run(1, rw(NVME_IO_READ, 3, 1, DATA, 0)), 0);
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 3, 1, DATA, 0)), NVME_SC_WRITE_PROTECTED);
	assert_int_equal(run(1, rw(NVME_IO_WRITE_ZEROES, 3, 1, 0, 0)), NVME_SC_WRITE_PROTECTED);
	tear_down();
	close(fd);
	unlink(path);
}

static void admin_refusals(void **state)
{
	struct nvme_command c = { .opcode = NVME_ADMIN_CREATE_SQ, .prp1 = SQ, .cdw10 = 7 << 16 | 1, .cdw11 = 1 << 16 | 1 };

	set_up("ram:1M,queues=2");
	start();
	assert_int_equal(run(0, c), NVME_SC_INVALID_CQ);
	make_queue();
	assert_int_equal(run(0, c), NVME_SC_INVALID_QID);
	c.cdw10 = 7 << 16 | 3;
	assert_int_equal(run(0, c), NVME_SC_INVALID_QID);
	c.cdw10 = 0xffffu << 16 | 2;
	assert_int_equal(run(0, c), NVME_SC_INVALID_QUEUE_SIZE);
	c.opcode = NVME_ADMIN_CREATE_CQ;
	c.cdw10 = 7 << 16 | 2;
	c.cdw11 = 99 << 16 | 3;
	assert_int_equal(run(0, c), NVME_SC_INVALID_VECTOR);
	c.prp1 = 8;
	assert_int_equal(run(0, c), NVME_SC_INVALID_PRP_OFFSET);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 1 }),
		NVME_SC_INVALID_QUEUE_DELETION);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 0 }), NVME_SC_INVALID_QID);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1 }), 0);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_DELETE_CQ, .cdw10 = 1 }), 0);
	submit(0, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cid = 3, .cdw10 = NVME_FEATURE_QUEUES, .cdw11 = 0 });
	assert_int_equal(await(0).dw0, 0x10001);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = 0x30 }),
		NVME_SC_INVALID_FIELD);
	/* logs */
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE, .prp1 = DATA,
						       .cdw10 = 127u << 16 | NVME_LOG_SMART }), 0);
	assert_int_equal(((struct nvme_smart *)(memory + DATA))->temperature, 300);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE, .prp1 = DATA,
						       .cdw10 = 15u << 16 | NVME_LOG_ERROR }), 0);
	assert_true(((struct nvme_error_entry *)(memory + DATA))->count > 5);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE, .prp1 = DATA, .cdw10 = 0x7f }),
			 NVME_SC_INVALID_LOG_PAGE);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE, .prp1 = DATA, .cdw12 = 8192,
						       .cdw10 = NVME_LOG_SMART }), NVME_SC_INVALID_FIELD);
	tear_down();
}

static void events_and_aborts(void **state)
{
	struct nvme_command aer = { .opcode = NVME_ADMIN_ASYNC_EVENT };

	set_up("ram:1M");
	start();
	for (u16 i = 0; i < 4; i++) {
		aer.cid = (u16)(100 + i);
		submit(0, aer);
	}
	aer.cid = 104;
	assert_int_equal(run(0, aer), NVME_SC_AER_LIMIT);
	put(NVME_DOORBELLS + 8 * 5, 1); /* no such queue */
	struct nvme_completion c = await(0);

	assert_int_equal(c.cid, 100);
	assert_int_equal(c.dw0, NVME_EVENT(0, 0, NVME_LOG_ERROR));
	put(NVME_DOORBELLS + 8 * 5, 1); /* masked until the log was read */
	submit(0, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT, .cid = 9, .cdw10 = 102u << 16 });
	u32 seen = 0;

	for (u32 i = 0; i < 2; i++) {
		c = await(0);
		seen |= c.cid == 9 && !(c.dw0 & 1) ? 1 : c.cid == 102 && c.status >> 1 == NVME_SC_ABORT_REQUESTED ? 2 : 4;
	}
	assert_int_equal(seen, 3);
	submit(0, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT, .cid = 9, .cdw10 = 55u << 16 });
	assert_int_equal(await(0).dw0, 1);
	tear_down();
}

/* what nvme-cli showed: the default is not the current value, and queues are counted before there are any */
static void features(void **state)
{
	struct nvme_command get_feature = { .opcode = NVME_ADMIN_GET_FEATURES, .cid = 5, .cdw10 = NVME_FEATURE_TEMPERATURE };

	set_up("ram:1M");
	start();
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_TEMPERATURE,
						       .cdw11 = 350 }), 0);
	submit(0, get_feature);
	assert_int_equal(await(0).dw0, 350);
	for (u32 select = 1; select <= 2; select++) {
		get_feature.cdw10 = NVME_FEATURE_TEMPERATURE | select << 8;
		submit(0, get_feature);
		assert_int_equal(await(0).dw0, 343);
	}
	get_feature.cdw10 = NVME_FEATURE_TEMPERATURE | 4 << 8;
	assert_int_equal(run(0, get_feature), NVME_SC_INVALID_FIELD);
	struct nvme_command queues = { .opcode = NVME_ADMIN_SET_FEATURES, .cdw10 = NVME_FEATURE_QUEUES };

	assert_int_equal(run(0, queues), 0);
	make_queue();
	assert_int_equal(run(0, queues), NVME_SC_COMMAND_SEQUENCE);
	tear_down();
}

static void put_sgl(u64 at, u64 address, u32 len, u8 type)
{
	struct nvme_sgl d = { .address = address, .len = len, .type = type };

	memcpy(memory + at, &d, sizeof(d));
}

static struct nvme_command sgl(u8 opcode, u32 blocks, u64 address, u32 len, u8 type)
{
	struct nvme_command c = rw(opcode, 0, blocks, 0, 0);
	struct nvme_sgl d = { .address = address, .len = len, .type = type };

	c.flags = NVME_PSDT_SGL << 6;
	memcpy(&c.prp1, &d, sizeof(d));
	return c;
}

static void scatter_gather(void **state)
{
	u64 segment = LIST, far = LIST + 0x800;

	set_up("ram:1M");
	start();
	make_queue();
	for (u32 i = 0; i < 4096; i++)
		memory[DATA + i] = (u8)(i * 13 + i / 256);
	assert_int_equal(run(1, sgl(NVME_IO_WRITE, 8, DATA, 4096, NVME_SGL_DATA)), 0);
	/* odd pieces, an empty one, two segments */
	put_sgl(segment, DATA + 0x20001, 1000, NVME_SGL_DATA);
	put_sgl(segment + 16, DATA, 0, NVME_SGL_DATA);
	put_sgl(segment + 32, DATA + 0x20001 + 1000, 3, NVME_SGL_DATA);
	put_sgl(segment + 48, far, 32, NVME_SGL_LAST_SEGMENT);
	put_sgl(far, DATA + 0x30000, 3000, NVME_SGL_DATA);
	put_sgl(far + 16, DATA + 0x40000, 93, NVME_SGL_DATA);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 64, NVME_SGL_SEGMENT)), 0);
	assert_memory_equal(memory + DATA + 0x20001, memory + DATA, 1003);
	assert_memory_equal(memory + DATA + 0x30000, memory + DATA + 1003, 3000);
	assert_memory_equal(memory + DATA + 0x40000, memory + DATA + 4003, 93);
	assert_int_equal(run(1, sgl(NVME_IO_COMPARE, 8, segment, 64, NVME_SGL_SEGMENT)), 0);
	/* mistakes */
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, DATA, 4095, NVME_SGL_DATA)), NVME_SC_INVALID_DATA_SGL_LENGTH);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, DATA, 8192, NVME_SGL_DATA)), NVME_SC_INVALID_DATA_SGL_LENGTH);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, DATA, 4096, NVME_SGL_BIT_BUCKET)), NVME_SC_INVALID_SGL_TYPE);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, DATA, 4096, 0x51)), NVME_SC_INVALID_SGL_TYPE);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 65, NVME_SGL_SEGMENT)), NVME_SC_INVALID_SGL_SEGMENT);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 0, NVME_SGL_SEGMENT)), NVME_SC_INVALID_SGL_SEGMENT);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 64, NVME_SGL_LAST_SEGMENT)), NVME_SC_INVALID_SGL_SEGMENT);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 32, NVME_SGL_SEGMENT)), NVME_SC_INVALID_DATA_SGL_LENGTH);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, 1ull << 45, 64, NVME_SGL_SEGMENT)), NVME_SC_DATA_TRANSFER_ERROR);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, 1ull << 45, 4096, NVME_SGL_DATA)), NVME_SC_DATA_TRANSFER_ERROR);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, LIST, 0x4010, NVME_SGL_SEGMENT)), NVME_SC_INVALID_SGL_COUNT);
	put_sgl(segment, segment, 16, NVME_SGL_SEGMENT); /* a list without end */
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, segment, 16, NVME_SGL_SEGMENT)), NVME_SC_INVALID_SGL_COUNT);
	for (u32 i = 0; i < 512; i++) /* more pieces than there are places for */
		put_sgl(DATA + 0x50000 + 16 * i, DATA + 0x60000 + 16 * i, 8, NVME_SGL_DATA);
	assert_int_equal(run(1, sgl(NVME_IO_READ, 8, DATA + 0x50000, 512 * 16, NVME_SGL_SEGMENT)), NVME_SC_INVALID_SGL_COUNT);
	struct nvme_command c = sgl(NVME_IO_READ, 8, DATA, 4096, NVME_SGL_DATA);

	c.flags = 2 << 6;
	assert_int_equal(run(1, c), NVME_SC_INVALID_FIELD);
	struct nvme_command identify = sgl(NVME_ADMIN_IDENTIFY, 1, DATA, 4096, NVME_SGL_DATA);

	identify.cdw10 = NVME_CNS_CONTROLLER;
	assert_int_equal(run(0, identify), NVME_SC_INVALID_FIELD);
	tear_down();
}

static void blocks_of_4096(void **state)
{
	struct nvme_command identify = { .opcode = NVME_ADMIN_IDENTIFY, .nsid = 1, .prp1 = DATA, .cdw10 = NVME_CNS_NAMESPACE };
	struct nvme_identify_namespace *ns;

	set_up("ram:1M,block=4096");
	ns = (void *)(memory + DATA);
	start();
	make_queue();
	assert_int_equal(run(0, identify), 0);
	assert_int_equal(ns->nsze, 256);
	assert_int_equal(ns->lbaf[0] >> 16, 12);
	for (u32 i = 0; i < 3 * PAGE_SIZE; i++)
		memory[DATA + i] = (u8)(i * 3 + i / 4096);
	((u64 *)(memory + LIST))[0] = DATA + PAGE_SIZE;
	((u64 *)(memory + LIST))[1] = DATA + 2 * PAGE_SIZE;
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 253, 3, DATA, LIST)), 0);
	assert_int_equal(run(1, rw(NVME_IO_WRITE, 254, 3, DATA, LIST)), NVME_SC_LBA_OUT_OF_RANGE);
	assert_int_equal(run(1, rw(NVME_IO_READ, 254, 1, DATA + 0x10000, 0)), 0);
	assert_memory_equal(memory + DATA + 0x10000, memory + DATA + PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(run(1, rw(NVME_IO_WRITE_ZEROES, 254, 1, 0, 0)), 0);
	assert_int_equal(run(1, rw(NVME_IO_READ, 254, 2, DATA + 0x10000, DATA + 0x20000)), 0);
	assert_int_equal(memory[DATA + 0x10000], 0);
	assert_memory_equal(memory + DATA + 0x20000, memory + DATA + 2 * PAGE_SIZE, PAGE_SIZE);
	tear_down();
}

static void hostile_registers(void **state)
{
	u64 wide = ~0ull;

	set_up("ram:1M");
	put(NVME_AQA, 0);
	put(NVME_CC, 1);
	wait_csts(NVME_CSTS_CFS, NVME_CSTS_CFS); /* queues of one entry */
	put(NVME_CC, 0);
	wait_csts(NVME_CSTS_CFS, 0);
	put(NVME_AQA, 7 | 7 << 16);
	put(NVME_ASQ, 0);
	put(NVME_ASQ + 4, 0x100); /* no memory there */
	put(NVME_ACQ, ACQ);
	put(NVME_CC, 1);
	wait_csts(NVME_CSTS_RDY, NVME_CSTS_RDY);
	put(NVME_DOORBELLS, 1);
	wait_csts(NVME_CSTS_CFS, NVME_CSTS_CFS);
	for (u32 offset = 0; offset < 0x3ff8; offset += 4) {
		pci_mmio(f, BAR + offset, &wide, 8, true);
		pci_mmio(f, BAR + offset, &wide, 1, true);
		get(offset);
	}
	pci_function_reset(f);
	assert_false(pci_mmio(f, BAR, &wide, 4, false));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bring_up_and_identify), cmocka_unit_test(read_write), cmocka_unit_test(a_file_keeps_its_bytes),
		cmocka_unit_test(admin_refusals), cmocka_unit_test(events_and_aborts), cmocka_unit_test(features),
		cmocka_unit_test(scatter_gather), cmocka_unit_test(blocks_of_4096), cmocka_unit_test(hostile_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
