/* steps_unicorn CODE COUNT [EACH]: the bare guest in Unicorn, an instruction at a time; a digest for each 100 or EACH steps */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "tests/lib/steps.h"

static void must(uc_err e, const char *what)
{
	if (!e)
		return;
	fprintf(stderr, "unicorn: %s: %s\n", what, uc_strerror(e));
	exit(2);
}

static void set(uc_engine *uc, int reg, u64 value)
{
	must(uc_reg_write(uc, reg, &value), "register");
}

static u64 get(uc_engine *uc, int reg)
{
	u64 value = 0;

	must(uc_reg_read(uc, reg, &value), "register");
	return value;
}

static void load(uc_engine *uc, const char *path)
{
	static u8 code[65536];
	const u64 gdt[] = { 0, 0, STEPS_GDT_CODE, STEPS_GDT_DATA };
	uc_x86_mmr table = { .base = STEPS_GDT, .limit = 31 };
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		exit(2);
	}
	size_t len = fread(code, 1, sizeof(code), f);

	fclose(f);
	must(uc_mem_map(uc, 0, STEPS_MEMORY, UC_PROT_ALL), "memory");
	must(uc_mem_write(uc, STEPS_CODE, code, len), "code");
	must(uc_mem_write(uc, STEPS_GDT, gdt, sizeof(gdt)), "GDT");
	must(uc_reg_write(uc, UC_X86_REG_GDTR, &table), "GDTR");
}

int main(int argc, char **argv)
{
	static const int names[] = {
		UC_X86_REG_RAX, UC_X86_REG_RBX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_RBP,
		UC_X86_REG_RSP, UC_X86_REG_R8, UC_X86_REG_R9, UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12, UC_X86_REG_R13,
		UC_X86_REG_R14, UC_X86_REG_R15,
	};
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, each = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
	u64 digest = STEPS_DIGEST_BEGIN, words[STEPS_WORDS];
	uc_engine *uc;

	if (!count || !each)
		return 2;
	must(uc_open(UC_ARCH_X86, UC_MODE_64, &uc), "engine");
	load(uc, argv[1]);
	set(uc, UC_X86_REG_SS, 0x18);
	set(uc, UC_X86_REG_CS, 0x10);
	set(uc, UC_X86_REG_RSP, STEPS_STACK);
	set(uc, UC_X86_REG_RFLAGS, 2);
	set(uc, UC_X86_REG_RIP, STEPS_CODE);
	for (unsigned long i = 1; i <= count; i++) {
		must(uc_emu_start(uc, get(uc, UC_X86_REG_RIP), ~0ull, 0, 1), "step");
		words[0] = get(uc, UC_X86_REG_RIP);
		words[1] = get(uc, UC_X86_REG_RFLAGS) & STEPS_FLAGS;
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			words[2 + k] = get(uc, names[k]);
		must(uc_reg_read(uc, UC_X86_REG_XMM0, words + 18), "XMM0");
		must(uc_reg_read(uc, UC_X86_REG_XMM1, words + 20), "XMM1");
		digest = steps_digest(digest, words);
		if (i % each == 0)
			printf("steps %lu %016llx\n", i, (unsigned long long)digest);
	}
	uc_close(uc);
	return 0;
}
