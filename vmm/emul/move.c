/* Instructions that move data, and those that exchange it */
#include <string.h>

#include "vmm/emul/run.h"

/* 88-8B */
bool run_mov(struct run *r)
{
	u64 value;

	if (!(r->i.opcode & 2))
		return store(r, get_reg(r, r->i.reg, r->size), r->size);
	if (!load(r, &value, r->size))
		return false;
	set_reg(r, r->i.reg, r->size, value);
	return true;
}

/* C6, C7; other values of ModRM.reg are no instructions */
bool run_mov_imm(struct run *r)
{
	return r->i.reg & 7 ? fault(r, EMUL_UD) : store(r, (u64)r->i.imm, r->size);
}

/* A0-A3: the offset lies in the instruction */
bool run_moffs(struct run *r)
{
	u64 value;

	if (r->i.opcode & 2)
		return store(r, r->s.gpr[0], r->size);
	if (!load(r, &value, r->size))
		return false;
	set_reg(r, 0, r->size, value);
	return true;
}

/* 8C: 16 bits in memory whatever the operand size is */
bool run_mov_from_segment(struct run *r)
{
	unsigned which = r->i.reg & 7;

	return which >= EMUL_SEGMENTS ? fault(r, EMUL_UD) : store(r, r->s.segment[which].selector, 2);
}

/* 0F B6/B7/BE/BF and 63 (MOVSXD; ARPL outside of 64-bit mode) */
bool run_extend(struct run *r)
{
	bool movsxd = r->i.opcode == 0x63, sign = movsxd || (r->i.opcode & 8);
	unsigned from = movsxd ? MIN(r->size, 4u) : r->i.opcode & 1 ? 2 : 1;
	u64 value;

	if (movsxd && r->i.mode != 64)
		return unsupported(r);
	if (!load(r, &value, from))
		return false;
	set_reg(r, r->i.reg, r->size, sign ? sign_extend(value, from) : value);
	return true;
}

/* 0F C3: no prefix may be there that chooses another instruction */
bool run_movnti(struct run *r)
{
	if (r->i.rep || r->i.opsize)
		return fault(r, EMUL_UD);
	return store(r, get_reg(r, r->i.reg, r->i.rex_bits & 8 ? 8 : 4), r->i.rex_bits & 8 ? 8 : 4);
}

static u64 swap(u64 value, unsigned size)
{
	return __builtin_bswap64(value) >> (64 - size * 8);
}

/* 0F 38 F0, F1; with F2 these are CRC32 */
bool run_movbe(struct run *r)
{
	u64 value;

	if (r->i.rep)
		return unsupported(r);
	if (r->i.opcode & 1)
		return store(r, swap(get_reg(r, r->i.reg, r->size), r->size), r->size);
	if (!load(r, &value, r->size))
		return false;
	set_reg(r, r->i.reg, r->size, swap(value, r->size));
	return true;
}

/* D7: AL from [rBX + AL] */
bool run_xlat(struct run *r)
{
	u64 value;

	r->i.offset = (r->s.gpr[3] + (r->s.gpr[0] & 0xff)) & size_mask(r->i.address);
	if (!load(r, &value, 1))
		return false;
	set_reg(r, 0, 1, value);
	return true;
}

bool run_setcc(struct run *r)
{
	return store(r, condition(r, r->i.opcode), 1);
}

/* memory is read, and a 32-bit destination's upper half cleared, also when the condition is false */
bool run_cmovcc(struct run *r)
{
	u64 value;

	if (!load(r, &value, r->size))
		return false;
	set_reg(r, r->i.reg, r->size, condition(r, r->i.opcode) ? value : get_reg(r, r->i.reg, r->size));
	return true;
}

/* 86, 87: locked, with the prefix or without */
bool run_xchg(struct run *r)
{
	u64 value;

	r->locked = true;
	if (!load_to_modify(r, &value, r->size) || !store_back(r, get_reg(r, r->i.reg, r->size)))
		return false;
	set_reg(r, r->i.reg, r->size, value);
	return true;
}

bool run_xadd(struct run *r)
{
	u64 value;

	if (!load_to_modify(r, &value, r->size))
		return false;
	if (!store_back(r, alu(r, ALU_ADD, value, get_reg(r, r->i.reg, r->size), r->size)))
		return false;
	set_reg(r, r->i.reg, r->size, value);
	return true;
}

/* 0F B0, B1. Memory is written also when it differs: with what it held. */
bool run_cmpxchg(struct run *r)
{
	u64 value;

	if (!load_to_modify(r, &value, r->size))
		return false;
	alu(r, ALU_CMP, get_reg(r, 0, r->size), value, r->size);
	bool equal = r->s.rflags & ZF;

	if (!store_back(r, equal ? get_reg(r, r->i.reg, r->size) : value))
		return false;
	if (!equal)
		set_reg(r, 0, r->size, value);
	return true;
}

/* 0F C7 /1: rDX:rAX against 8 or 16 bytes */
bool run_cmpxchg_wide(struct run *r)
{
	unsigned half = r->i.rex_bits & 8 ? 8 : 4;
	u8 memory[OPERAND_MAX], expected[OPERAND_MAX], desired[OPERAND_MAX];

	if ((r->i.reg & 7) != 1)
		return unsupported(r);
	if (!find_operand(r, half * 2, EMUL_READ | EMUL_WRITE | (half == 8 ? ACCESS_ALIGNED : 0)) ||
	    !read_place(r, &r->operand, memory))
		return false;
	memcpy(expected, &r->s.gpr[0], half);
	memcpy(expected + half, &r->s.gpr[2], half);
	memcpy(desired, &r->s.gpr[3], half);
	memcpy(desired + half, &r->s.gpr[1], half);
	bool equal = !memcmp(memory, expected, half * 2);

	if (!write_place(r, &r->operand, equal ? desired : memory))
		return false;
	r->s.rflags = (r->s.rflags & ~ZF) | (equal ? ZF : 0);
	if (!equal) {
		u64 low = 0, high = 0;

		memcpy(&low, memory, half);
		memcpy(&high, memory + half, half);
		r->s.gpr[0] = low;
		r->s.gpr[2] = high;
	}
	return true;
}
