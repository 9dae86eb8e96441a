/* Instruction decoding, SDM volume 2 chapter 2. For vmm/emul only. */
#pragma once

#include "vmm/emul/emul.h"

struct insn {
	const u8 *bytes;
	size_t len, at;
	bool truncated;
	unsigned mode, operand, address; /* operand and address size in bytes */
	bool opsize, lock, rex;
	u8 rep;                          /* the last of F2 and F3, 0: none */
	u8 rex_bits;                     /* W 8, R 4, X 2, B 1 */
	int segment;                     /* override that counts, -1: none */
	u16 opcode;                      /* one byte; 0x1XX for 0F XX; 0x2XX for 0F 38 XX */
	u8 mod, reg, rm;                 /* reg and rm with their REX bits */
	bool stack_base;                 /* base is RSP or RBP: SS is the default segment */
	bool sp_base;                    /* base is RSP */
	u64 offset;                      /* effective address, without segment base */
	s64 imm;                         /* sign-extended */
};

/* prefixes and opcode; false: truncated */
bool decode_head(struct insn *i, const struct emul_state *s);
/* ModRM, SIB, displacement. imm_len: bytes that follow, since RIP-relative counts from the end */
void decode_modrm(struct insn *i, const struct emul_state *s, unsigned imm_len);
/* ModRM.reg before decode_modrm(): an immediate may depend on it */
u8 decode_peek_reg(const struct insn *i);
/* into i->imm; len may be 0 */
void decode_imm(struct insn *i, unsigned len);
void decode_moffs(struct insn *i);
u64 size_mask(unsigned size);
