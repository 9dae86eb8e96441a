/* Instructions that compute, and their flags. What the SDM leaves undefined is what came easiest. */
#include "vmm/emul/run.h"

void set_result_flags(struct run *r, u64 result, unsigned size, u64 others)
{
	u64 flags = others;

	result &= size_mask(size);
	if (!result)
		flags |= ZF;
	if (result & sign_bit(size))
		flags |= SF;
	if (!(__builtin_popcount((unsigned)(result & 0xff)) & 1))
		flags |= PF;
	r->s.rflags = (r->s.rflags & ~ARITHMETIC) | flags;
}

u64 alu(struct run *r, enum alu op, u64 a, u64 b, unsigned size)
{
	u64 mask = size_mask(size), carry = r->s.rflags & CF, result, flags = 0;

	a &= mask;
	b &= mask;
	switch (op) {
	case ALU_OR:
		result = a | b;
		break;
	case ALU_AND:
		result = a & b;
		break;
	case ALU_XOR:
		result = a ^ b;
		break;
	case ALU_ADD:
	case ALU_ADC:
		carry = op == ALU_ADC ? carry : 0;
		result = (a + b + carry) & mask;
		flags = (result < a || (carry && result == a) ? CF : 0) | ((a ^ b ^ result) & AF) |
			(~(a ^ b) & (a ^ result) & sign_bit(size) ? OF : 0);
		break;
	default:
		carry = op == ALU_SBB ? carry : 0;
		result = (a - b - carry) & mask;
		flags = (a < b || (carry && a == b) ? CF : 0) | ((a ^ b ^ result) & AF) |
			((a ^ b) & (a ^ result) & sign_bit(size) ? OF : 0);
		break;
	}
	set_result_flags(r, result, size, flags);
	return result;
}

bool condition(const struct run *r, unsigned code)
{
	u64 f = r->s.rflags;
	bool less = !(f & SF) != !(f & OF), is;

	switch (code >> 1 & 7) {
	case 0: is = f & OF; break;
	case 1: is = f & CF; break;
	case 2: is = f & ZF; break;
	case 3: is = f & (CF | ZF); break;
	case 4: is = f & SF; break;
	case 5: is = f & PF; break;
	case 6: is = less; break;
	default: is = less || (f & ZF); break;
	}
	return is != (code & 1);
}

/* 00-3B: op r/m, r and op r, r/m */
bool run_alu(struct run *r)
{
	enum alu op = (enum alu)(r->i.opcode >> 3 & 7);
	u64 reg = get_reg(r, r->i.reg, r->size), value;

	if (!(r->i.opcode & 2) && op != ALU_CMP)
		return load_to_modify(r, &value, r->size) && store_back(r, alu(r, op, value, reg, r->size));
	if (!load(r, &value, r->size))
		return false;
	u64 result = r->i.opcode & 2 ? alu(r, op, reg, value, r->size) : alu(r, op, value, reg, r->size);

	if (op != ALU_CMP)
		set_reg(r, r->i.reg, r->size, result);
	return true;
}

/* 80-83: op r/m, imm */
bool run_alu_imm(struct run *r)
{
	enum alu op = (enum alu)(r->i.reg & 7);
	u64 value;

	if (r->i.opcode == 0x82 && r->i.mode == 64)
		return fault(r, EMUL_UD);
	if (op != ALU_CMP)
		return load_to_modify(r, &value, r->size) && store_back(r, alu(r, op, value, (u64)r->i.imm, r->size));
	if (!load(r, &value, r->size))
		return false;
	alu(r, op, value, (u64)r->i.imm, r->size);
	return true;
}

bool run_test(struct run *r)
{
	u64 value;

	if (!load(r, &value, r->size))
		return false;
	alu(r, ALU_AND, value, get_reg(r, r->i.reg, r->size), r->size);
	return true;
}

/* CF and OF: the upper half is more than an extension of the lower one */
static void set_product_flags(struct run *r, u64 low, bool more)
{
	set_result_flags(r, low, r->size, more ? CF | OF : 0);
}

static unsigned __int128 product(struct run *r, bool sign, u64 a, u64 b)
{
	unsigned size = r->size;

	if (sign) {
		__int128 p = (__int128)(s64)sign_extend(a, size) * (s64)sign_extend(b, size);

		set_product_flags(r, (u64)p, p != (s64)sign_extend((u64)p, size));
		return (unsigned __int128)p;
	}
	unsigned __int128 p = (unsigned __int128)(a & size_mask(size)) * (b & size_mask(size));

	set_product_flags(r, (u64)p, p >> (size * 8) != 0);
	return p;
}

/* F6/F7: TEST imm, NOT, NEG, MUL, IMUL; DIV and IDIV are not there */
bool run_group3(struct run *r)
{
	unsigned op = r->i.reg & 7;
	u64 value;

	if (op == 2 || op == 3) {
		if (!load_to_modify(r, &value, r->size))
			return false;
		return store_back(r, op == 2 ? ~value : alu(r, ALU_SUB, 0, value, r->size));
	}
	if (op == 1 || op > 5)
		return unsupported(r);
	if (!load(r, &value, r->size))
		return false;
	if (op == 0) {
		alu(r, ALU_AND, value, (u64)r->i.imm, r->size);
		return true;
	}
	unsigned __int128 p = product(r, op == 5, get_reg(r, 0, r->size), value);

	if (r->size == 1) {
		set_reg(r, 0, 2, (u64)p);
		return true;
	}
	set_reg(r, 0, r->size, (u64)p);
	set_reg(r, 2, r->size, (u64)(p >> (r->size * 8)));
	return true;
}

/* 69, 6B: r, r/m, imm; 0F AF: r, r/m */
bool run_imul(struct run *r)
{
	u64 value;

	if (!load(r, &value, r->size))
		return false;
	set_reg(r, r->i.reg, r->size,
		(u64)product(r, true, value, r->i.opcode == 0x1af ? get_reg(r, r->i.reg, r->size) : (u64)r->i.imm));
	return true;
}

/* INC, DEC; they leave CF alone */
bool run_inc_dec(struct run *r)
{
	u64 value, carry = r->s.rflags & CF;

	if ((r->i.reg & 7) > 1)
		return unsupported(r);
	if (!load_to_modify(r, &value, r->size))
		return false;
	value = alu(r, (r->i.reg & 7) ? ALU_SUB : ALU_ADD, value, 1, r->size);
	r->s.rflags = (r->s.rflags & ~CF) | carry;
	return store_back(r, value);
}

static void set_cf_of(struct run *r, bool carry, bool overflow)
{
	r->s.rflags = (r->s.rflags & ~(CF | OF)) | (carry ? CF : 0) | (overflow ? OF : 0);
}

/* ROL and ROR by 1 to 63 */
static u64 rotate(struct run *r, bool right, u64 value, unsigned count)
{
	unsigned bits = r->size * 8, left = right ? (bits - count % bits) % bits : count % bits;
	u64 sign = sign_bit(r->size), result = left ? (value << left | value >> (bits - left)) & size_mask(r->size) : value;
	bool carry = right ? result & sign : result & 1;

	set_cf_of(r, carry, right ? !(result & sign) != !(result & sign >> 1) : !(result & sign) != !carry);
	return result;
}

/* RCL and RCR: CF is a bit of what turns. Bit by bit, since it is rare. */
static u64 rotate_carry(struct run *r, bool right, u64 value, unsigned count)
{
	u64 sign = sign_bit(r->size);
	bool carry = r->s.rflags & CF, overflow = r->s.rflags & OF;

	for (; count; count--) {
		bool out = right ? value & 1 : value & sign;

		value = right ? value >> 1 | (carry ? sign : 0) : (value << 1 | carry) & size_mask(r->size);
		carry = out;
		overflow = right ? !(value & sign) != !(value & sign >> 1) : !(value & sign) != !carry;
	}
	set_cf_of(r, carry, overflow);
	return value;
}

/* SHL, SHR and SAR by 1 to 63, which may be more than there are bits */
static u64 shift(struct run *r, unsigned op, u64 value, unsigned count)
{
	u64 sign = sign_bit(r->size), result;
	bool carry, overflow;

	if (op == 7) {
		s64 wide = (s64)sign_extend(value, r->size);

		result = (u64)(wide >> count) & size_mask(r->size);
		carry = wide >> (count - 1) & 1;
		overflow = false;
	} else if (op == 5) {
		result = value >> count;
		carry = value >> (count - 1) & 1;
		overflow = value & sign;
	} else {
		result = value << count & size_mask(r->size);
		carry = value << (count - 1) & sign;
		overflow = !(result & sign) != !carry;
	}
	set_result_flags(r, result, r->size, (carry ? CF : 0) | (overflow ? OF : 0));
	return result;
}

/* C0, C1: by imm8; D0, D1: by 1; D2, D3: by CL. /6 is an alias of SHL that processors have (SDM lists none, AMD's APM does). */
bool run_shift(struct run *r)
{
	unsigned op = r->i.reg & 7, mask = r->size == 8 ? 63 : 31, count;
	u64 value;

	count = (r->i.opcode < 0xd0 ? (unsigned)r->i.imm : r->i.opcode < 0xd2 ? 1 : (unsigned)r->s.gpr[1]) & mask;
	if (!load_to_modify(r, &value, r->size))
		return false;
	if (!count)
		return store_back(r, value);
	if (op < 2)
		value = rotate(r, op == 1, value, count);
	else if (op < 4)
		value = rotate_carry(r, op == 3, value, count);
	else
		value = shift(r, op, value, count);
	return store_back(r, value);
}

/* 0F A4, A5: SHLD; AC, AD: SHRD; odd ones by CL. A 16-bit operand by more than 16 is undefined. */
bool run_double_shift(struct run *r)
{
	unsigned bits = r->size * 8, mask = bits == 64 ? 63 : 31;
	unsigned count = (r->i.opcode & 1 ? (unsigned)r->s.gpr[1] : (unsigned)r->i.imm) & mask;
	bool right = r->i.opcode & 8, carry;
	u64 value, reg = get_reg(r, r->i.reg, r->size), result;

	if (!load_to_modify(r, &value, r->size))
		return false;
	if (!count)
		return store_back(r, value);
	if (right) {
		unsigned __int128 both = (unsigned __int128)reg << bits | value;

		result = (u64)(both >> count) & size_mask(r->size);
		carry = both >> (count - 1) & 1;
	} else {
		unsigned __int128 both = (unsigned __int128)value << bits | reg;

		result = (u64)(both << count >> bits) & size_mask(r->size);
		carry = both >> (2 * bits - count) & 1;
	}
	set_result_flags(r, result, r->size, (carry ? CF : 0) | ((value ^ result) & sign_bit(r->size) ? OF : 0));
	return store_back(r, result);
}

/* 0F A3/AB/B3/BB: bit from a register, which may reach past the operand in both directions; 0F BA /4-/7: immediate */
bool run_bit(struct run *r)
{
	unsigned size = r->size, bits = size * 8;
	bool immediate = r->i.opcode == 0x1ba;
	unsigned op = immediate ? r->i.reg & 7 : (r->i.opcode >> 3 & 7);
	u64 value, bit = immediate ? (u64)r->i.imm : sign_extend(get_reg(r, r->i.reg, size), size);

	if (op < 4)
		return fault(r, EMUL_UD);
	if (!immediate) {
		s64 operands = (s64)bit >> (size == 8 ? 6 : size == 4 ? 5 : 4);

		r->i.offset = (r->i.offset + (u64)operands * size) & size_mask(r->i.address);
	}
	u64 mask = 1ull << (bit & (bits - 1));

	if (op == 4 ? !load(r, &value, size) : !load_to_modify(r, &value, size))
		return false;
	r->s.rflags = (r->s.rflags & ~CF) | (value & mask ? CF : 0);
	if (op == 4)
		return true;
	return store_back(r, op == 5 ? value | mask : op == 6 ? value & ~mask : value ^ mask);
}
