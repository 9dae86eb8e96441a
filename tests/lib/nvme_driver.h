/* host/nvme as a driver meets it: through its BAR and memory. Written for tests. */
#pragma once

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
