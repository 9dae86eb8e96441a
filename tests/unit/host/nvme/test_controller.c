/* The controller as a driver meets it: through its BAR and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/nvme/nvme.h"
#include "spec/nvme.h"

#define BAR 0x10000000ull
#define MEMORY (2 * MiB)
#define ASQ 0x1000u
#define ACQ 0x2000u
#define SQ 0x3000u
#define CQ 0x4000u
#define LIST 0x5000u
#define DATA 0x10000u
#define ENTRIES 8u

static u8 *memory;
static struct nvme_target *nvme;
static struct pci_function *f;
static u32 interrupts, tails[2], heads[2];
static u8 phases[2];

static void *map(void *ctx, u64 address, u64 len)
{
	return range_within(address, len, 0, MEMORY) ? memory + address : NULL;
}

static void deliver(void *ctx, u64 address, u32 data)
{
	__atomic_fetch_add(&interrupts, 1, __ATOMIC_SEQ_CST);
}

static u32 get(u32 offset)
{
	u32 value = 0;

	assert_true(pci_mmio(f, BAR + offset, &value, 4, false));
	return value;
}

static void put(u32 offset, u32 value)
{
	assert_true(pci_mmio(f, BAR + offset, &value, 4, true));
}

static void wait_csts(u32 mask, u32 value)
{
	for (u32 i = 0; i < 5000; i++, usleep(1000))
		if ((get(NVME_CSTS) & mask) == value)
			return;
	fail_msg("CSTS %#x does not become %#x", get(NVME_CSTS), value);
}

static void set_up(const char *text)
{
	struct nvme_target_config config;
	struct nvme_memory m = { map, NULL };
	char why[320];
	u32 word = 0, address = 0x20000000;

	memory = calloc(1, MEMORY);
	assert_int_equal(nvme_target_parse(text, &config, why, sizeof(why)), 0);
	snprintf(config.serial, sizeof(config.serial), "UNIT");
	assert_int_equal(nvme_target_create("nvme0", &config, &m, &nvme), 0);
	f = nvme_target_function(nvme);
	f->deliver = deliver;
	pci_config_write(f, PCI_BAR0, 4, (u32)BAR);
	pci_config_write(f, PCI_BAR0 + 8, 4, address);
	pci_config_write(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_config_write(f, 0x42, 2, PCI_MSIX_CONTROL_ENABLE);
	for (u32 v = 0; v < 2; v++)
		assert_true(pci_mmio(f, address + 16 * v + 12, &word, 4, true));
	interrupts = 0;
}

static void start(void)
{
	memset(tails, 0, sizeof(tails));
	memset(heads, 0, sizeof(heads));
	phases[0] = phases[1] = 1;
	memset(memory + ACQ, 0, PAGE_SIZE);
	memset(memory + CQ, 0, PAGE_SIZE);
	put(NVME_AQA, (ENTRIES - 1) | (ENTRIES - 1) << 16);
	put(NVME_ASQ, ASQ);
	put(NVME_ACQ, ACQ);
	put(NVME_CC, NVME_CC_EN | 6u << 16 | 4u << 20);
	wait_csts(NVME_CSTS_RDY, NVME_CSTS_RDY);
}

static void tear_down(void)
{
	nvme_target_destroy(nvme);
	free(memory);
}

static void submit(u32 queue, struct nvme_command c)
{
	memcpy(memory + (queue ? SQ : ASQ) + tails[queue] * sizeof(c), &c, sizeof(c));
	tails[queue] = (tails[queue] + 1) % ENTRIES;
	put(NVME_DOORBELLS + 8 * queue, tails[queue]);
}

static bool reap(u32 queue, struct nvme_completion *ret)
{
	struct nvme_completion *at = (void *)(memory + (queue ? CQ : ACQ) + heads[queue] * sizeof(*at));

	if ((__atomic_load_n(&at->status, __ATOMIC_ACQUIRE) & 1) != phases[queue])
		return false;
	*ret = *at;
	if (++heads[queue] == ENTRIES) {
		heads[queue] = 0;
		phases[queue] ^= 1;
	}
	put(NVME_DOORBELLS + 8 * queue + 4, heads[queue]);
	return true;
}

static struct nvme_completion await(u32 queue)
{
	struct nvme_completion c = { 0 };

	for (u32 i = 0; i < 50000; i++, usleep(100))
		if (reap(queue, &c))
			return c;
	fail_msg("no completion in 5 s");
	return c;
}

static u16 run(u32 queue, struct nvme_command c)
{
	c.cid = (u16)(c.cid ? c.cid : 7);
	submit(queue, c);
	struct nvme_completion done = await(queue);

	assert_int_equal(done.cid, c.cid);
	assert_int_equal(done.sq_id, queue);
	return done.status >> 1 & NVME_STATUS_MASK;
}

static void make_queue(void)
{
	u32 size = (ENTRIES - 1) << 16 | 1;

	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_CREATE_CQ, .prp1 = CQ, .cdw10 = size,
						       .cdw11 = 1 << 16 | NVME_CQ_INTERRUPTS | 1 }), 0);
	assert_int_equal(run(0, (struct nvme_command){ .opcode = NVME_ADMIN_CREATE_SQ, .prp1 = SQ, .cdw10 = size,
						       .cdw11 = 1 << 16 | 1 }), 0);
}

static struct nvme_command rw(u8 opcode, u64 lba, u32 blocks, u64 prp1, u64 prp2)
{
	return (struct nvme_command){ .opcode = opcode, .nsid = 1, .prp1 = prp1, .prp2 = prp2, .cdw10 = (u32)lba,
				      .cdw11 = (u32)(lba >> 32), .cdw12 = blocks - 1 };
}

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
		cmocka_unit_test(admin_refusals), cmocka_unit_test(events_and_aborts), cmocka_unit_test(faults),
		cmocka_unit_test(faults_of_the_medium), cmocka_unit_test(faults_that_are_states), cmocka_unit_test(features),
		cmocka_unit_test(scatter_gather), cmocka_unit_test(blocks_of_4096), cmocka_unit_test(hostile_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
