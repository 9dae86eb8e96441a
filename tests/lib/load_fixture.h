/*
 * A machine of a few ranges of malloc'd memory, an ELF made by hand, and an image built from it: for
 * tests of loading.
 */
#pragma once

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "host/load/igvm_load.h"
#include "igvmgen/build.h"
#include "lib/core/crc32.h"

#define FIXTURE_VTL0_SIZE (32 * MiB)
#define FIXTURE_VTL2_SIZE (16 * MiB)
#define FIXTURE_REGISTER_MAX 64u

struct fixture {
	u8 *vtl0, *vtl2;
	struct load_range ram[2];
	struct load_cpu cpus[3];
	struct load_request request;
	struct load_register regs[FIXTURE_REGISTER_MAX];
	u32 reg_count;
	char err[256];
};

static inline void *fixture_at(void *ctx, u64 gpa, u64 len)
{
	struct fixture *f = ctx;

	if (range_within(gpa, len, f->ram[0].base, f->ram[0].size))
		return f->vtl0 + (gpa - f->ram[0].base);
	if (range_within(gpa, len, f->ram[1].base, f->ram[1].size))
		return f->vtl2 + (gpa - f->ram[1].base);
	return NULL;
}

static inline void fixture_init(struct fixture *f, u64 vtl2_base)
{
	static const u8 entropy[] = "0123456789abcdef";

	*f = (struct fixture){ .cpus = { { 0, 0 }, { 2, 0 }, { 5, 1 } } };
	/* dirty memory: what the image wants zero, it must zero */
	f->vtl0 = malloc(FIXTURE_VTL0_SIZE);
	f->vtl2 = malloc(FIXTURE_VTL2_SIZE);
	memset(f->vtl0, 0xAA, FIXTURE_VTL0_SIZE);
	memset(f->vtl2, 0xBB, FIXTURE_VTL2_SIZE);
	f->ram[0] = (struct load_range){ 0, FIXTURE_VTL0_SIZE, IGVM_MEMORY_TYPE_MEMORY, 0 };
	f->ram[1] = (struct load_range){ vtl2_base, FIXTURE_VTL2_SIZE, IGVM_MEMORY_TYPE_VTL2_PROTECTABLE, 0 };
	f->request = (struct load_request){
		.memory = { fixture_at, f },
		.cpus = f->cpus,
		.cpu_count = 3,
		.ram = f->ram,
		.ram_count = 2,
		.vtl2 = f->ram[1],
		.vtl0_mmio = { { .base = 0xF8000000, .size = 0x1000000 }, { .base = 0x2000000000, .size = 0x40000000 } },
		.vtl2_mmio = { { .base = 0xFA000000, .size = 0x1000000 }, { .base = 0x3000000000, .size = 0x40000000 } },
		.vtl0_connection_id = 1,
		.vtl2_connection_id = 0x800074,
		.bootargs = "from_host=1",
		.com3 = true,
		.entropy = entropy,
		.entropy_len = 16,
	};
}

static inline void fixture_fini(struct fixture *f)
{
	free(f->vtl0);
	free(f->vtl2);
}

static inline int fixture_load(struct fixture *f, const struct igvm_file *file)
{
	return igvm_load(file, &f->request, f->regs, FIXTURE_REGISTER_MAX, &f->reg_count, f->err, sizeof(f->err));
}

static inline u64 fixture_register(const struct fixture *f, u32 name, int half)
{
	for (u32 i = 0; i < f->reg_count; i++)
		if (f->regs[i].name == name)
			return f->regs[i].value[half];
	return ~0ull;
}

/* follows the tables as an MMU would; ~0 when va is not mapped */
static inline u64 fixture_translate(struct fixture *f, u64 cr3, u64 va)
{
	u64 table = cr3;

	for (int level = 3; level >= 0; level--) {
		u64 *page = fixture_at(f, table, PAGE_SIZE), entry;

		if (!page)
			return ~0ull;
		entry = page[(va >> (12 + 9 * level)) % 512];
		if (!(entry & 1))
			return ~0ull;
		table = entry & 0x000FFFFFFFFFF000ull;
		if (!level || (level < 3 && entry & 0x80))
			return table + (va & ((1ull << (12 + 9 * level)) - 1));
	}
	return ~0ull;
}

/* an ELF with one segment: file_size bytes of fill at address, entered at its start + entry */
static inline struct blob fixture_elf(u64 address, u64 file_size, u64 memory_size, u64 entry, u8 fill)
{
	Elf64_Ehdr eh = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1, .e_entry = address + entry,
			  .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1 };
	Elf64_Phdr ph = { .p_type = PT_LOAD, .p_flags = 7, .p_offset = 4096, .p_paddr = address, .p_vaddr = address,
			  .p_filesz = file_size, .p_memsz = memory_size };
	struct blob b = { calloc(1, 4096 + file_size), 4096 + file_size };

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(b.bytes, &eh, sizeof(eh));
	memcpy(b.bytes + sizeof(eh), &ph, sizeof(ph));
	memset(b.bytes + 4096, fill, file_size);
	return b;
}

/* an image of 16 MiB: shim 0x11, kernel 0x22 at 16 MiB as linked, initrd 0x33 of 5000 bytes */
static inline int fixture_image(u8 **ret, size_t *ret_len, char *err, size_t err_len)
{
	struct build_inputs in = {
		.shim = fixture_elf(0, 0x1800, 0x3000, 0x10, 0x11),
		.kernel = fixture_elf(16 * MiB, 0x123456, 0x200000, 0x5000, 0x22),
		.initrd = { malloc(5000), 5000 },
		.cmdline = "quiet image=1",
		.vtl2_memory = FIXTURE_VTL2_SIZE,
	};
	int r;

	memset(in.initrd.bytes, 0x33, 5000);
	r = image_build(&in, ret, ret_len, err, err_len);
	free(in.shim.bytes);
	free(in.kernel.bytes);
	free(in.initrd.bytes);
	return r;
}

/* a size and a checksum that fit: without them nothing behind the fixed header of a changed file would be looked at */
static inline void fixture_seal(u8 *data, size_t len)
{
	struct igvm_fixed_header h;

	if (len < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	if (!range_within(h.variable_header_offset, h.variable_header_size, 0, len))
		return;
	h.total_file_size = (u32)len;
	h.checksum = 0;
	h.checksum = crc32_update(crc32_update(0, &h, sizeof(h)), data + h.variable_header_offset, h.variable_header_size);
	memcpy(data, &h, sizeof(h));
}
