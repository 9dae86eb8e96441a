/* A driver that writes what it likes into registers, queues, PRP lists and SGLs; and the text of --nvme. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/nvme/nvme.h"
#include "spec/nvme.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define MEMORY 0x10000u
#define BAR 0x10000000ull
static u8 memory[MEMORY] __attribute__((aligned(4096)));

static void *map(void *ctx, u64 address, u64 len)
{
	return range_within(address, len, 0, MEMORY) ? memory + address : NULL;
}

static void put(struct pci_function *f, u32 offset, u32 value)
{
	pci_mmio(f, BAR + offset, &value, 4, true);
}

/* an I/O queue pair by the first two admin commands; its commands' addresses are made such that some are in memory */
static void make_queue(void)
{
	struct nvme_command cq = { .opcode = NVME_ADMIN_CREATE_CQ, .prp1 = 0x4000, .cdw10 = 31 << 16 | 1, .cdw11 = 1 << 16 | 3 };
	struct nvme_command sq = { .opcode = NVME_ADMIN_CREATE_SQ, .prp1 = 0x3000, .cdw10 = 31 << 16 | 1, .cdw11 = 1 << 16 | 1 };

	memcpy(memory + 0x1000, &cq, sizeof(cq));
	memcpy(memory + 0x1000 + sizeof(cq), &sq, sizeof(sq));
	for (u32 i = 0; i < 31; i++) {
		struct nvme_command c;

		memcpy(&c, memory + 0x3000 + i * sizeof(c), sizeof(c));
		c.opcode %= 12;
		c.nsid = c.nsid & 0xf0 ? 1 : c.nsid;
		c.prp1 &= c.cid & 1 ? 0xffff : ~0ull;
		c.cdw10 &= 0x3f;
		c.cdw11 &= c.cid & 2 ? 4 : 0;
		c.cdw12 &= 0xf000003f;
		memcpy(memory + 0x3000 + i * sizeof(c), &c, sizeof(c));
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct nvme_target_config config = { .path = "ram", .ram_size = 0x8000, .block_size = 512, .io_queues = 2,
		.serial = "F" };
	struct nvme_memory m = { map, NULL };
	char text[256], why[320];
	struct nvme_target *n;

	memcpy(text, data, MIN(size, sizeof(text) - 1));
	text[MIN(size, sizeof(text) - 1)] = 0;
	if (!nvme_target_parse(text, &config, why, sizeof(why)))
		config.ram_size = 0x8000;
	config = (struct nvme_target_config){ .path = "ram", .ram_size = 0x8000, .block_size = 512, .io_queues = 2,
		.serial = "F" };
	memset(memory, 0, sizeof(memory));
	/* admin queue at 0x1000, an I/O queue at 0x3000, lists and data behind; all from the input, small as it may be */
	for (u32 at = 0x1000; at < MEMORY; at += 0x1000)
		memcpy(memory + at, data, MIN(size, (size_t)MEMORY - at));
	make_queue();
	if (nvme_target_create("fuzz", &config, &m, &n))
		return 0;
	struct pci_function *f = nvme_target_function(n);

	pci_config_write(f, PCI_BAR0, 4, (u32)BAR);
	pci_config_write(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	put(f, NVME_AQA, 15 | 15 << 16);
	put(f, NVME_ASQ, 0x1000);
	put(f, NVME_ACQ, 0x2000);
	put(f, NVME_CC, 1 | 6 << 16 | 4 << 20);
	put(f, NVME_DOORBELLS, (u32)MIN(2 + size / 64, 15u));
	usleep(60); /* for the controller's thread: what is not fetched is not tried */
	put(f, NVME_DOORBELLS + 8, 31);
	usleep(60);
	for (size_t i = 0; i + 6 <= MIN(size, 96u); i += 6) {
		u32 value;

		memcpy(&value, data + i, 4);
		put(f, (data[i + 4] | (u32)data[i + 5] << 8) & 0x3ffc, value & (data[i] & 1 ? 0x1f : ~0u));
	}
	put(f, NVME_CC, 0);
	pci_function_reset(f);
	nvme_target_destroy(n);
	return 0;
}
