/* Instruction decoding, SDM volume 2 chapter 2. For vmm/emul only. */
#pragma once

#include "vmm/emul/emul.h"

struct insn {
	const u8 *bytes;
	size_t len, at;
	bool truncated;
	unsigned mode, operand, address; /* operand and address size in bytes */
	bool rep, repne, opsize, rex;
	u8 rex_bits;                     /* W 8, R 4, X 2, B 1 */
	int segment;                     /* override, -1: none */
	u16 opcode;                      /* 0x0fXX for two-byte ones */
	bool has_modrm;
	u8 mod, reg, rm;                 /* reg and rm with their REX bits */
	bool stack_base;                 /* base is RSP or RBP: SS is the default segment */
	u64 offset;                      /* effective address, without segment base */
	u64 imm;
};

/* prefixes and opcode; false: truncated or not an instruction of ours */
bool decode_head(struct insn *i, const struct emul_state *s);
/* ModRM, SIB, displacement. imm_len: bytes that follow, since RIP-relative counts from the end */
void decode_modrm(struct insn *i, const struct emul_state *s, unsigned imm_len);
/* sign-extended */
s64 decode_imm(struct insn *i, unsigned len);
u64 decode_moffs(struct insn *i);
bool decode_prefix(struct insn *i, u8 byte);
u64 size_mask(unsigned size);
