/* Opcode → form: how long it is, what runs it, and with which ModRM.reg it may have LOCK (SDM volume 2, appendix A and LOCK) */
#include "vmm/emul/run.h"

#define ALL 0xff

/* 00-3B by eights: r/m, r (lockable, but for CMP), then r, r/m */
#define ALU(base, lockable)								\
	[(base) + 0] = { .run = run_alu, .size = SIZE_BIT0, .lock = (lockable) }, \
	[(base) + 1] = { .run = run_alu, .size = SIZE_BIT0, .lock = (lockable) }, \
	[(base) + 2] = { .run = run_alu, .size = SIZE_BIT0 }, \
	[(base) + 3] = { .run = run_alu, .size = SIZE_BIT0 }

static const struct form forms[EMUL_OPCODES] = {
	ALU(0x00, ALL), ALU(0x08, ALL), ALU(0x10, ALL), ALU(0x18, ALL), ALU(0x20, ALL), ALU(0x28, ALL), ALU(0x30, ALL),
	ALU(0x38, 0),
	[0x63] = { .run = run_extend },
	[0x69] = { .run = run_imul, .imm = IMM_FULL },
	[0x6b] = { .run = run_imul, .imm = IMM_BYTE },
	[0x80] = { .run = run_alu_imm, .size = SIZE_BYTE, .imm = IMM_BYTE, .lock = 0x7f },
	[0x81] = { .run = run_alu_imm, .imm = IMM_FULL, .lock = 0x7f },
	[0x82] = { .run = run_alu_imm, .size = SIZE_BYTE, .imm = IMM_BYTE, .lock = 0x7f },
	[0x83] = { .run = run_alu_imm, .imm = IMM_BYTE, .lock = 0x7f },
	[0x84 ... 0x85] = { .run = run_test, .size = SIZE_BIT0 },
	[0x86 ... 0x87] = { .run = run_xchg, .size = SIZE_BIT0, .lock = ALL },
	[0x88 ... 0x8b] = { .run = run_mov, .size = SIZE_BIT0 },
	[0x8c] = { .run = run_mov_from_segment },
	[0x8f] = { .run = run_pop, .size = SIZE_STACK },
	[0xa0 ... 0xa3] = { .run = run_moffs, .size = SIZE_BIT0, .flags = FORM_NO_MODRM | FORM_MOFFS },
	[0xa4 ... 0xa7] = { .run = run_string, .size = SIZE_BIT0, .flags = FORM_NO_MODRM },
	[0xaa ... 0xaf] = { .run = run_string, .size = SIZE_BIT0, .flags = FORM_NO_MODRM },
	[0xc0 ... 0xc1] = { .run = run_shift, .size = SIZE_BIT0, .imm = IMM_BYTE },
	[0xc6 ... 0xc7] = { .run = run_mov_imm, .size = SIZE_BIT0, .imm = IMM_FULL },
	[0xd0 ... 0xd3] = { .run = run_shift, .size = SIZE_BIT0 },
	[0xd7] = { .run = run_xlat, .size = SIZE_BYTE, .flags = FORM_NO_MODRM },
	[0xf6 ... 0xf7] = { .run = run_group3, .size = SIZE_BIT0, .imm = IMM_TEST, .lock = BIT(2) | BIT(3) },
	[0xfe] = { .run = run_inc_dec, .size = SIZE_BYTE, .lock = BIT(0) | BIT(1) },
	[0xff] = { .run = run_group5, .lock = BIT(0) | BIT(1) },

	[0x110 ... 0x113] = { .run = run_sse },
	[0x116 ... 0x117] = { .run = run_sse },
	[0x128 ... 0x129] = { .run = run_sse },
	[0x12b] = { .run = run_sse },
	[0x140 ... 0x14f] = { .run = run_cmovcc },
	[0x16e ... 0x16f] = { .run = run_sse },
	[0x17e ... 0x17f] = { .run = run_sse },
	[0x190 ... 0x19f] = { .run = run_setcc, .size = SIZE_BYTE },
	[0x1a3] = { .run = run_bit },
	[0x1a4] = { .run = run_double_shift, .imm = IMM_BYTE },
	[0x1a5] = { .run = run_double_shift },
	[0x1ab] = { .run = run_bit, .lock = ALL },
	[0x1ac] = { .run = run_double_shift, .imm = IMM_BYTE },
	[0x1ad] = { .run = run_double_shift },
	[0x1af] = { .run = run_imul },
	[0x1b0 ... 0x1b1] = { .run = run_cmpxchg, .size = SIZE_BIT0, .lock = ALL },
	[0x1b3] = { .run = run_bit, .lock = ALL },
	[0x1b6 ... 0x1b7] = { .run = run_extend },
	[0x1ba] = { .run = run_bit, .imm = IMM_BYTE, .lock = BIT(5) | BIT(6) | BIT(7) },
	[0x1bb] = { .run = run_bit, .lock = ALL },
	[0x1be ... 0x1bf] = { .run = run_extend },
	[0x1c0 ... 0x1c1] = { .run = run_xadd, .size = SIZE_BIT0, .lock = ALL },
	[0x1c3] = { .run = run_movnti },
	[0x1c7] = { .run = run_cmpxchg_wide, .lock = BIT(1) },
	[0x1d6] = { .run = run_sse },
	[0x1e7] = { .run = run_sse },
	[0x1f0] = { .run = run_sse },

	[0x22a] = { .run = run_sse },
	[0x2f0 ... 0x2f1] = { .run = run_movbe },
};

const struct form *form_find(u16 opcode)
{
	return opcode < EMUL_OPCODES && forms[opcode].run ? &forms[opcode] : NULL;
}

bool emul_knows(unsigned opcode)
{
	return opcode < EMUL_OPCODES && forms[opcode].run;
}
