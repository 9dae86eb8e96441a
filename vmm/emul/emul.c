#include "vmm/emul/emul.h"

#include "vmm/emul/decode.h"

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)
#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

#define INSTRUCTION_MAX 15u /* SDM volume 2, 2.3.11: longer ones are #GP */

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* one instruction under way: registers change only when it is complete */
struct run {
	struct emul_state s;
	struct insn i;
	const struct emul_memory *memory;
	enum emul_result result;
};

static u64 sign_bit(unsigned size)
{
	return 1ull << (size * 8 - 1);
}

static u64 sign_extend(u64 value, unsigned size)
{
	u64 sign = sign_bit(size);

	value &= size_mask(size);
	return (value ^ sign) - sign;
}

/* AH, CH, DH, BH without REX */
static bool high_byte(const struct insn *i, u8 reg, unsigned size)
{
	return size == 1 && !i->rex && reg >= 4 && reg < 8;
}

static u64 get_reg(const struct run *r, u8 reg, unsigned size)
{
	if (high_byte(&r->i, reg, size))
		return r->s.gpr[reg - 4] >> 8 & 0xff;
	return r->s.gpr[reg] & size_mask(size);
}

static void set_reg(struct run *r, u8 reg, unsigned size, u64 value)
{
	u64 *gpr = &r->s.gpr[reg];

	value &= size_mask(size);
	if (high_byte(&r->i, reg, size)) {
		gpr = &r->s.gpr[reg - 4];
		*gpr = (*gpr & ~0xff00ull) | value << 8;
	} else if (size >= 4) {
		*gpr = value; /* 32-bit results clear the upper half */
	} else {
		*gpr = (*gpr & ~size_mask(size)) | value;
	}
}

static u64 linear(const struct run *r, enum emul_segment fallback, u64 offset)
{
	enum emul_segment segment = r->i.segment < 0 ? fallback : (enum emul_segment)r->i.segment;

	if (r->s.mode == 64)
		return offset + (segment >= EMUL_FS ? r->s.base[segment] : 0);
	return (r->s.base[segment] + offset) & 0xffffffffu;
}

static bool access(struct run *r, u64 address, u64 *value, unsigned size, bool write)
{
	if (write)
		*value &= size_mask(size);
	enum emul_access a = r->memory->access(r->memory->context, address, value, size, write);

	if (!write)
		*value &= size_mask(size);
	if (a == EMUL_ACCESS_OK)
		return true;
	r->result = a == EMUL_ACCESS_AGAIN ? EMUL_AGAIN : EMUL_FAULT;
	return false;
}

static u64 operand_address(const struct run *r)
{
	return linear(r, r->i.stack_base ? EMUL_SS : EMUL_DS, r->i.offset);
}

static bool load(struct run *r, u64 *value, unsigned size)
{
	return access(r, operand_address(r), value, size, false);
}

static bool store(struct run *r, u64 value, unsigned size)
{
	return access(r, operand_address(r), &value, size, true);
}

static bool unsupported(struct run *r)
{
	r->result = EMUL_UNSUPPORTED;
	return false;
}

/* ModRM with a memory operand; everything else is not for us */
static bool memory_operand(struct run *r, unsigned imm_len)
{
	decode_modrm(&r->i, &r->s, imm_len);
	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	return r->i.mod == 3 ? unsupported(r) : true;
}

static void set_result_flags(struct run *r, u64 result, unsigned size, u64 carry_overflow_adjust)
{
	u64 flags = carry_overflow_adjust;

	result &= size_mask(size);
	if (!result)
		flags |= ZF;
	if (result & sign_bit(size))
		flags |= SF;
	if (!(__builtin_popcount((unsigned)(result & 0xff)) & 1))
		flags |= PF;
	r->s.rflags = (r->s.rflags & ~ARITHMETIC) | flags;
}

static u64 alu(struct run *r, enum alu op, u64 a, u64 b, unsigned size)
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

static unsigned size_of(const struct run *r)
{
	return r->i.opcode & 1 ? r->i.operand : 1;
}

static unsigned imm_len(unsigned size)
{
	return size == 8 ? 4 : size;
}

/* 00-3B: op r/m, r and op r, r/m */
static bool run_alu(struct run *r)
{
	unsigned size = size_of(r);
	enum alu op = (enum alu)(r->i.opcode >> 3 & 7);
	bool to_register = r->i.opcode & 2;
	u64 value;

	if (!memory_operand(r, 0) || !load(r, &value, size))
		return false;
	if (to_register) {
		u64 result = alu(r, op, get_reg(r, r->i.reg, size), value, size);

		if (op != ALU_CMP)
			set_reg(r, r->i.reg, size, result);
		return true;
	}
	u64 result = alu(r, op, value, get_reg(r, r->i.reg, size), size);

	return op == ALU_CMP || store(r, result, size);
}

/* 80, 81, 83: op r/m, imm */
static bool run_group1(struct run *r)
{
	unsigned size = size_of(r), imm = r->i.opcode == 0x81 ? imm_len(size) : 1;
	u64 value;

	if (!memory_operand(r, imm))
		return false;
	enum alu op = (enum alu)(r->i.reg & 7);
	u64 operand = (u64)decode_imm(&r->i, imm);

	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	if (!load(r, &value, size))
		return false;
	u64 result = alu(r, op, value, operand, size);

	return op == ALU_CMP || store(r, result, size);
}

static bool run_mov(struct run *r)
{
	unsigned size = r->i.opcode == 0x0fc3 ? r->i.operand : size_of(r); /* 0F C3 is MOVNTI */
	u64 value;

	if (!memory_operand(r, 0))
		return false;
	if (!(r->i.opcode & 2) || r->i.opcode == 0x0fc3)
		return store(r, get_reg(r, r->i.reg, size), size);
	if (!load(r, &value, size))
		return false;
	set_reg(r, r->i.reg, size, value);
	return true;
}

static bool run_mov_imm(struct run *r)
{
	unsigned size = size_of(r);

	if (!memory_operand(r, imm_len(size)))
		return false;
	u64 value = (u64)decode_imm(&r->i, imm_len(size));

	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	return (r->i.reg & 7) == 0 ? store(r, value, size) : unsupported(r);
}

static bool run_moffs(struct run *r)
{
	unsigned size = size_of(r);
	u64 value = r->s.gpr[0];

	r->i.offset = decode_moffs(&r->i);
	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	if (r->i.opcode & 2)
		return store(r, value, size);
	if (!load(r, &value, size))
		return false;
	set_reg(r, 0, size, value);
	return true;
}

/* 0F B6/B7/BE/BF and 63 (MOVSXD) */
static bool run_extend(struct run *r)
{
	bool sign = r->i.opcode == 0x63 || (r->i.opcode & 8);
	unsigned from = r->i.opcode == 0x63 ? 4 : r->i.opcode & 1 ? 2 : 1;
	u64 value;

	if (r->i.opcode == 0x63 && r->i.mode != 64)
		return unsupported(r);
	if (!memory_operand(r, 0) || !load(r, &value, from))
		return false;
	set_reg(r, r->i.reg, r->i.operand, sign ? sign_extend(value, from) : value);
	return true;
}

static bool run_test(struct run *r)
{
	unsigned size = size_of(r);
	u64 value;

	if (!memory_operand(r, 0) || !load(r, &value, size))
		return false;
	alu(r, ALU_AND, value, get_reg(r, r->i.reg, size), size);
	return true;
}

/* F6/F7: TEST imm, NOT, NEG */
static bool run_group3(struct run *r)
{
	unsigned size = size_of(r), at = (unsigned)r->i.at;
	bool test = at < r->i.len && (r->i.bytes[at] >> 3 & 7) < 2;
	u64 value, operand = 0;

	if (!memory_operand(r, test ? imm_len(size) : 0))
		return false;
	if (test)
		operand = (u64)decode_imm(&r->i, imm_len(size));
	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	if ((r->i.reg & 7) > 3)
		return unsupported(r);
	if (!load(r, &value, size))
		return false;
	if (test) {
		alu(r, ALU_AND, value, operand, size);
		return true;
	}
	return store(r, (r->i.reg & 7) == 2 ? ~value : alu(r, ALU_SUB, 0, value, size), size);
}

/* FE/FF: INC, DEC; they leave CF alone */
static bool run_group4(struct run *r)
{
	unsigned size = size_of(r);
	u64 value, carry = r->s.rflags & CF;

	if (!memory_operand(r, 0))
		return false;
	if ((r->i.reg & 7) > 1)
		return unsupported(r);
	if (!load(r, &value, size))
		return false;
	value = alu(r, (r->i.reg & 7) ? ALU_SUB : ALU_ADD, value, 1, size);
	r->s.rflags = (r->s.rflags & ~CF) | carry;
	return store(r, value, size);
}

static bool run_xchg(struct run *r)
{
	unsigned size = size_of(r);
	u64 value;

	if (!memory_operand(r, 0) || !load(r, &value, size) || !store(r, get_reg(r, r->i.reg, size), size))
		return false;
	set_reg(r, r->i.reg, size, value);
	return true;
}

static bool run_xadd(struct run *r)
{
	unsigned size = size_of(r);
	u64 value;

	if (!memory_operand(r, 0) || !load(r, &value, size))
		return false;
	u64 sum = alu(r, ALU_ADD, value, get_reg(r, r->i.reg, size), size);

	if (!store(r, sum, size))
		return false;
	set_reg(r, r->i.reg, size, value);
	return true;
}

static bool run_cmpxchg(struct run *r)
{
	unsigned size = size_of(r);
	u64 value;

	if (!memory_operand(r, 0) || !load(r, &value, size))
		return false;
	alu(r, ALU_CMP, get_reg(r, 0, size), value, size);
	if (r->s.rflags & ZF)
		return store(r, get_reg(r, r->i.reg, size), size);
	r->s.gpr[0] = size >= 4 ? value : (r->s.gpr[0] & ~size_mask(size)) | value;
	return true;
}

/* 0F A3/AB/B3/BB (bit from a register, which may reach past the operand) and 0F BA /4-/7 (immediate) */
static bool run_bit(struct run *r)
{
	unsigned size = r->i.operand, bits = size * 8, op;
	bool immediate = r->i.opcode == 0x0fba;
	u64 value;
	s64 bit;

	if (!memory_operand(r, immediate ? 1 : 0))
		return false;
	op = immediate ? r->i.reg & 7 : (r->i.opcode >> 3 & 7);
	bit = immediate ? decode_imm(&r->i, 1) & (bits - 1) : (s64)sign_extend(get_reg(r, r->i.reg, size), size);
	if (r->i.truncated) {
		r->result = EMUL_TRUNCATED;
		return false;
	}
	if (op < 4)
		return unsupported(r);
	r->i.offset = (r->i.offset + (u64)((bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * (s64)size)) & size_mask(r->i.address);
	u64 mask = 1ull << ((u64)bit & (bits - 1));

	if (!load(r, &value, size))
		return false;
	r->s.rflags = (r->s.rflags & ~CF) | (value & mask ? CF : 0);
	if (op == 4)
		return true;
	return store(r, op == 5 ? value | mask : op == 6 ? value & ~mask : value ^ mask, size);
}

static void advance(struct run *r, u8 reg, unsigned size)
{
	u64 mask = size_mask(r->i.address), step = r->s.rflags & DF ? (u64)-(s64)size : size;
	u64 moved = (r->s.gpr[reg] + step) & mask;

	r->s.gpr[reg] = r->i.address == 2 ? (r->s.gpr[reg] & ~mask) | moved : moved;
}

static bool string_once(struct run *r, unsigned size)
{
	u64 mask = size_mask(r->i.address), value = r->s.gpr[0];
	u64 to = linear(&(struct run){ .s = r->s, .i = { .segment = -1 } }, EMUL_ES, r->s.gpr[7] & mask);
	bool stos = (r->i.opcode & 0xfe) == 0xaa, lods = (r->i.opcode & 0xfe) == 0xac;

	if (!stos && !access(r, linear(r, EMUL_DS, r->s.gpr[6] & mask), &value, size, false))
		return false;
	if (lods)
		set_reg(r, 0, size, value);
	else if (!access(r, to, &value, size, true))
		return false;
	if (!stos)
		advance(r, 6, size);
	if (!lods)
		advance(r, 7, size);
	return true;
}

/* A4/A5 MOVS, AA/AB STOS, AC/AD LODS. Each finished iteration stands even if the next one faults (SDM, REP). */
static bool run_string(struct run *r)
{
	unsigned size = size_of(r), left = EMUL_REP_BATCH;
	u64 mask = size_mask(r->i.address);
	size_t end = r->i.at;

	if (!r->i.rep && !r->i.repne)
		return string_once(r, size);
	while (r->s.gpr[1] & mask) {
		struct run before = *r;

		if (!left--) {
			r->i.at = 0; /* RIP stays: the instruction is entered again */
			return true;
		}
		if (!string_once(r, size)) {
			enum emul_result result = r->result;

			*r = before;
			r->result = result;
			return false;
		}
		u64 count = (r->s.gpr[1] - 1) & mask;

		r->s.gpr[1] = r->i.address == 2 ? (r->s.gpr[1] & ~mask) | count : count;
	}
	r->i.at = end;
	return true;
}

typedef bool (*handler)(struct run *);

static handler find_one_byte(u8 op)
{
	if (op < 0x40 && (op & 7) < 4)
		return run_alu;
	switch (op) {
	case 0x63: return run_extend;
	case 0x80: case 0x81: case 0x83: return run_group1;
	case 0x84: case 0x85: return run_test;
	case 0x86: case 0x87: return run_xchg;
	case 0x88: case 0x89: case 0x8a: case 0x8b: return run_mov;
	case 0xa0: case 0xa1: case 0xa2: case 0xa3: return run_moffs;
	case 0xa4: case 0xa5: case 0xaa: case 0xab: case 0xac: case 0xad: return run_string;
	case 0xc6: case 0xc7: return run_mov_imm;
	case 0xf6: case 0xf7: return run_group3;
	case 0xfe: case 0xff: return run_group4;
	}
	return NULL;
}

static handler find_two_byte(u8 op)
{
	switch (op) {
	case 0xa3: case 0xab: case 0xb3: case 0xbb: case 0xba: return run_bit;
	case 0xb0: case 0xb1: return run_cmpxchg;
	case 0xb6: case 0xb7: case 0xbe: case 0xbf: return run_extend;
	case 0xc0: case 0xc1: return run_xadd;
	case 0xc3: return run_mov;
	}
	return NULL;
}

static u64 next_rip(const struct emul_state *s, size_t len)
{
	return s->mode == 64 ? s->rip + len : (s->rip + len) & 0xffffffffu;
}

enum emul_result emul_run(struct emul_state *state, const u8 *bytes, size_t len, const struct emul_memory *memory)
{
	bool long_enough = len >= INSTRUCTION_MAX, string;
	enum emul_result short_of = long_enough ? EMUL_UNSUPPORTED : EMUL_TRUNCATED;
	struct run r = { .s = *state, .i = { .bytes = bytes, .len = MIN(len, INSTRUCTION_MAX) }, .memory = memory };

	if (!decode_head(&r.i, &r.s))
		return r.i.truncated ? short_of : EMUL_UNSUPPORTED;
	handler run = r.i.opcode >= 0x0f00 ? find_two_byte((u8)r.i.opcode) : find_one_byte((u8)r.i.opcode);

	if (!run)
		return EMUL_UNSUPPORTED;
	string = run == run_string;
	if (!run(&r)) {
		if (r.result == EMUL_TRUNCATED)
			return short_of;
		if (string) /* progress stands, RIP does not move */
			*state = r.s;
		return r.result;
	}
	r.s.rip = next_rip(&r.s, r.i.at);
	*state = r.s;
	return EMUL_DONE;
}
