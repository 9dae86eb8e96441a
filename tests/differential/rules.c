#include "tests/differential/cases.h"

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_OF BIT(11)

#define ANY_REG (-1)
#define R1(n, op, ...) { .name = n, .opcode = op, .reg = ANY_REG, __VA_ARGS__ }
#define RG(n, op, r, ...) { .name = n, .opcode = op, .reg = r, __VA_ARGS__ }
#define IMM(k) .imm = k
#define T(x) .touches = x
#define U(x) .undefined = x
#define TR(x) .traits = x

#define ALU(n, op, undef)                                                                                    \
	R1(n " m8,r8", op, T(MODIFIES), U(undef), TR(BYTE | LOCKABLE)),                         \
	R1(n " m,r", op + 1, T(MODIFIES), U(undef), TR(LOCKABLE)),                                                \
	R1(n " r8,m8", op + 2, T(READS), U(undef), TR(BYTE)), R1(n " r,m", op + 3, T(READS), U(undef), TR(0)),    \
	RG(n " m8,i8", 0x80, op / 8, T(MODIFIES), U(undef), IMM(IMM8), TR(BYTE | LOCKABLE)),                      \
	RG(n " m8,i8 (82)", 0x82, op / 8, T(MODIFIES), U(undef), IMM(IMM8), TR(BYTE | LOCKABLE | NOT_64)),        \
	RG(n " m,i", 0x81, op / 8, T(MODIFIES), U(undef), IMM(IMM_OPERAND), TR(LOCKABLE)),                        \
	RG(n " m,i8", 0x83, op / 8, T(MODIFIES), U(undef), IMM(IMM8), TR(LOCKABLE))

#define SHIFT(n, r, undef)                                                                                   \
	RG(n " m8,i8", 0xc0, r, T(MODIFIES), U(undef), IMM(IMM8), TR(BYTE)),                                      \
	RG(n " m,i8", 0xc1, r, T(MODIFIES), U(undef), IMM(IMM8), TR(0)),                                          \
	RG(n " m8,1", 0xd0, r, T(MODIFIES), U(undef), TR(BYTE | BY_ONE)),                                         \
	RG(n " m,1", 0xd1, r, T(MODIFIES), U(undef), TR(BY_ONE)),                                                 \
	RG(n " m8,cl", 0xd2, r, T(MODIFIES), U(undef), TR(BYTE | BY_CL)),                                         \
	RG(n " m,cl", 0xd3, r, T(MODIFIES), U(undef), TR(BY_CL))

#define STR(n, op, t, x) R1(n "b", op, T(t), .shape = STRING, TR(BYTE | x)), R1(n, op + 1, T(t), .shape = STRING, TR(x))

#define CC(n, k) R1("cmov" n, 0x140 + k, T(READS), TR(0)), R1("set" n, 0x190 + k, T(WRITES), TR(BYTE))

#define BIT_RULES(n, op, r, t, x)                                                                            \
	R1(n " m,r", op, T(t), U(U_BIT), TR(BIT_STRING | x)), RG(n " m,i8", 0x1ba, r, T(t), U(U_BIT), IMM(IMM8), TR(x))

#define S(n, op, p, t, x) R1(n, op, .prefix = p, T(t), TR(SSE | x))

const struct rule rules[] = {
	ALU("add", 0x00, U_NONE), ALU("or", 0x08, U_LOGIC), ALU("adc", 0x10, U_NONE), ALU("sbb", 0x18, U_NONE),
	ALU("and", 0x20, U_LOGIC), ALU("sub", 0x28, U_NONE), ALU("xor", 0x30, U_LOGIC),
	R1("cmp m8,r8", 0x38, T(READS), TR(BYTE)), R1("cmp m,r", 0x39, T(READS), TR(0)), R1("cmp r8,m8", 0x3a, T(READS),
	TR(BYTE)),
	R1("cmp r,m", 0x3b, T(READS), TR(0)), RG("cmp m8,i8", 0x80, 7, T(READS), IMM(IMM8), TR(BYTE)),
	RG("cmp m8,i8 (82)", 0x82, 7, T(READS), IMM(IMM8), TR(BYTE | NOT_64)),
	RG("cmp m,i", 0x81, 7, T(READS), IMM(IMM_OPERAND), TR(0)), RG("cmp m,i8", 0x83, 7, T(READS), IMM(IMM8), TR(0)),

	R1("movsxd", 0x63, T(READS), TR(ONLY_64)),
	R1("imul r,m,i", 0x69, T(READS), U(U_PRODUCT), IMM(IMM_OPERAND), TR(0)),
	R1("imul r,m,i8", 0x6b, T(READS), U(U_PRODUCT), IMM(IMM8), TR(0)), R1("imul r,m", 0x1af, T(READS), U(U_PRODUCT), TR(0)),
	R1("test m8,r8", 0x84, T(READS), U(U_LOGIC), TR(BYTE)), R1("test m,r", 0x85, T(READS), U(U_LOGIC), TR(0)),
	R1("xchg m8,r8", 0x86, T(MODIFIES), TR(BYTE | LOCKABLE)), R1("xchg m,r", 0x87, T(MODIFIES), TR(LOCKABLE)),
	R1("mov m8,r8", 0x88, T(WRITES), TR(BYTE)), R1("mov m,r", 0x89, T(WRITES), TR(0)),
	R1("mov r8,m8", 0x8a, T(READS), TR(BYTE)), R1("mov r,m", 0x8b, T(READS), TR(0)),
	R1("mov m,sreg", 0x8c, T(WRITES), TR(0)), RG("pop m", 0x8f, 0, T(WRITES), TR(STACK)),
	R1("mov al,moffs", 0xa0, T(READS), .shape = MOFFS, TR(BYTE)), R1("mov rax,moffs", 0xa1, T(READS),
	.shape = MOFFS, TR(0)),
	R1("mov moffs,al", 0xa2, T(WRITES), .shape = MOFFS, TR(BYTE)), R1("mov moffs,rax", 0xa3, T(WRITES),
	.shape = MOFFS, TR(0)),
	STR("movs", 0xa4, MODIFIES, 0), STR("cmps", 0xa6, READS, COMPARES), STR("stos", 0xaa, WRITES, 0),
	STR("lods", 0xac, READS, 0),
	STR("scas", 0xae, READS, COMPARES),
	RG("mov m8,i8", 0xc6, 0, T(WRITES), IMM(IMM8), TR(BYTE)), RG("mov m,i", 0xc7, 0, T(WRITES), IMM(IMM_OPERAND), TR(0)),
	R1("xlat", 0xd7, T(READS), .shape = XLAT, TR(BYTE)),
	RG("test m8,i8", 0xf6, 0, T(READS), U(U_LOGIC), IMM(IMM8), TR(BYTE)),
	RG("test m,i", 0xf7, 0, T(READS), U(U_LOGIC), IMM(IMM_OPERAND), TR(0)),
	RG("not m8", 0xf6, 2, T(MODIFIES), TR(BYTE | LOCKABLE)), RG("not m", 0xf7, 2, T(MODIFIES), TR(LOCKABLE)),
	RG("neg m8", 0xf6, 3, T(MODIFIES), TR(BYTE | LOCKABLE)), RG("neg m", 0xf7, 3, T(MODIFIES), TR(LOCKABLE)),
	RG("mul m8", 0xf6, 4, T(READS), U(U_PRODUCT), TR(BYTE)), RG("mul m", 0xf7, 4, T(READS), U(U_PRODUCT), TR(0)),
	RG("imul m8", 0xf6, 5, T(READS), U(U_PRODUCT), TR(BYTE)), RG("imul m", 0xf7, 5, T(READS), U(U_PRODUCT), TR(0)),
	RG("inc m8", 0xfe, 0, T(MODIFIES), TR(BYTE | LOCKABLE)), RG("inc m", 0xff, 0, T(MODIFIES), TR(LOCKABLE)),
	RG("dec m8", 0xfe, 1, T(MODIFIES), TR(BYTE | LOCKABLE)), RG("dec m", 0xff, 1, T(MODIFIES), TR(LOCKABLE)),
	RG("call m", 0xff, 2, T(READS), TR(STACK | BRANCH)), RG("jmp m", 0xff, 4, T(READS), TR(BRANCH)),
	RG("push m", 0xff, 6, T(READS), TR(STACK)),
	SHIFT("rol", 0, U_ROTATE), SHIFT("ror", 1, U_ROTATE), SHIFT("rcl", 2, U_ROTATE), SHIFT("rcr", 3, U_ROTATE),
	SHIFT("shl", 4, U_SHIFT), SHIFT("shr", 5, U_SHIFT), SHIFT("sal", 6, U_SHIFT), SHIFT("sar", 7, U_SHIFT),
	R1("shld m,r,i8", 0x1a4, T(MODIFIES), U(U_DOUBLE), IMM(IMM8), TR(0)), R1("shld m,r,cl", 0x1a5, T(MODIFIES), U(U_DOUBLE),
	TR(BY_CL)),
	R1("shrd m,r,i8", 0x1ac, T(MODIFIES), U(U_DOUBLE), IMM(IMM8), TR(0)), R1("shrd m,r,cl", 0x1ad, T(MODIFIES), U(U_DOUBLE),
	TR(BY_CL)),

	CC("o", 0), CC("no", 1), CC("b", 2), CC("nb", 3), CC("z", 4), CC("nz", 5), CC("be", 6), CC("a", 7), CC("s", 8),
	CC("ns", 9),
	CC("p", 10), CC("np", 11), CC("l", 12), CC("ge", 13), CC("le", 14), CC("g", 15),
	BIT_RULES("bt", 0x1a3, 4, READS, 0), BIT_RULES("bts", 0x1ab, 5, MODIFIES, LOCKABLE),
	BIT_RULES("btr", 0x1b3, 6, MODIFIES, LOCKABLE), BIT_RULES("btc", 0x1bb, 7, MODIFIES, LOCKABLE),
	R1("cmpxchg m8,r8", 0x1b0, T(MODIFIES), TR(BYTE | LOCKABLE)), R1("cmpxchg m,r", 0x1b1, T(MODIFIES), TR(LOCKABLE)),
	R1("movzx r,m8", 0x1b6, T(READS), TR(BYTE)), R1("movzx r,m16", 0x1b7, T(READS), TR(0)),
	R1("movsx r,m8", 0x1be, T(READS), TR(BYTE)), R1("movsx r,m16", 0x1bf, T(READS), TR(0)),
	R1("xadd m8,r8", 0x1c0, T(MODIFIES), TR(BYTE | LOCKABLE)), R1("xadd m,r", 0x1c1, T(MODIFIES), TR(LOCKABLE)),
	R1("movnti", 0x1c3, T(WRITES), TR(0)), RG("cmpxchg8b/16b", 0x1c7, 1, T(MODIFIES), TR(LOCKABLE | PAIR)),
	R1("movbe r,m", 0x2f0, T(READS), TR(0)), R1("movbe m,r", 0x2f1, T(WRITES), TR(0)),

	S("movups x,m", 0x110, 0, READS, 0), S("movupd x,m", 0x110, 0x66, READS, 0), S("movss x,m", 0x110, 0xf3, READS, 0),
	S("movsd x,m", 0x110, 0xf2, READS, 0), S("movups m,x", 0x111, 0, WRITES, 0), S("movupd m,x", 0x111, 0x66, WRITES, 0),
	S("movss m,x", 0x111, 0xf3, WRITES, 0), S("movsd m,x", 0x111, 0xf2, WRITES, 0), S("movlps x,m", 0x112, 0, READS, 0),
	S("movlpd x,m", 0x112, 0x66, READS, 0), S("movsldup", 0x112, 0xf3, READS, ALIGNED16),
	S("movddup", 0x112, 0xf2, READS, 0),
	S("movlps m,x", 0x113, 0, WRITES, 0), S("movlpd m,x", 0x113, 0x66, WRITES, 0), S("movhps x,m", 0x116, 0, READS, 0),
	S("movhpd x,m", 0x116, 0x66, READS, 0), S("movshdup", 0x116, 0xf3, READS, ALIGNED16),
	S("movhps m,x", 0x117, 0, WRITES, 0),
	S("movhpd m,x", 0x117, 0x66, WRITES, 0), S("movaps x,m", 0x128, 0, READS, ALIGNED16),
	S("movapd x,m", 0x128, 0x66, READS, ALIGNED16),
	S("movaps m,x", 0x129, 0, WRITES, ALIGNED16), S("movapd m,x", 0x129, 0x66, WRITES, ALIGNED16),
	S("movntps", 0x12b, 0, WRITES, ALIGNED16), S("movntpd", 0x12b, 0x66, WRITES, ALIGNED16),
	S("movd x,m", 0x16e, 0x66, READS, 0),
	S("movdqa x,m", 0x16f, 0x66, READS, ALIGNED16), S("movdqu x,m", 0x16f, 0xf3, READS, 0),
	S("movd m,x", 0x17e, 0x66, WRITES, 0),
	S("movq x,m", 0x17e, 0xf3, READS, 0), S("movdqa m,x", 0x17f, 0x66, WRITES, ALIGNED16),
	S("movdqu m,x", 0x17f, 0xf3, WRITES, 0),
	S("movq m,x", 0x1d6, 0x66, WRITES, 0), S("movntdq", 0x1e7, 0x66, WRITES, ALIGNED16), S("lddqu", 0x1f0, 0xf2, READS, 0),
	S("movntdqa", 0x22a, 0x66, READS, ALIGNED16),
};
const unsigned rule_count = sizeof(rules) / sizeof(rules[0]);

struct head head_of(const u8 *b, unsigned len, unsigned mode)
{
	struct head h = { 0 };

	for (; h.at < len; h.at++) {
		u8 x = b[h.at];

		if (x == 0x66)
			h.opsize = true;
		else if (x == 0xf0)
			h.lock = true;
		else if (x == 0xf2 || x == 0xf3) {
			h.both_reps |= h.rep && h.rep != x;
			h.rep = x;
		} else if (x == 0x26 || x == 0x2e || x == 0x36 || x == 0x3e || x == 0x64 || x == 0x65) {
			h.overridden |= h.segment >= 0x64;
			h.segment = x;
		}
		else if (x != 0x67 && !(mode == 64 && (x & 0xf0) == 0x40))
			break;
	}
	for (unsigned i = 0; mode == 64 && i + 1 < h.at; i++)
		h.idle_rex |= (b[i] & 0xf0) == 0x40;
	if (h.at && mode == 64 && (b[h.at - 1] & 0xf0) == 0x40)
		h.rex = b[h.at - 1];
	return h;
}

unsigned operand_size(const struct rule *rule, const struct head *h, unsigned mode)
{
	return rule->traits & BYTE ? 1 : h->rex & 8 ? 8 : (mode == 16) != h->opsize ? 2 : 4;
}

unsigned shift_count(const struct rule *rule, const u8 *bytes, unsigned length, const struct emul_state *before)
{
	return rule->traits & BY_ONE ? 1 : rule->traits & BY_CL ? (u8)before->gpr[1] : bytes[length - 1];
}

static u64 undefined_by_count(const struct rule *rule, unsigned bits, unsigned count, bool *ret_all)
{
	u64 undefined = count == 1 ? 0 : FLAG_OF;

	count &= bits == 64 ? 63 : 31;
	if (!count)
		return 0;
	if (rule->undefined == U_ROTATE)
		return undefined;
	*ret_all = rule->undefined == U_DOUBLE && count > bits;
	/* SHL and SHR; SAR goes on copying the sign */
	return undefined | FLAG_AF | (count >= bits && rule->reg != 7 ? FLAG_CF : 0);
}

u64 undefined_flags(const struct rule *rule, unsigned size, unsigned count, bool *ret_all)
{
	*ret_all = false;
	switch ((enum undefined)rule->undefined) {
	case U_NONE: break;
	case U_LOGIC: return FLAG_AF;
	case U_PRODUCT: return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
	case U_BIT: return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	case U_SHIFT: case U_ROTATE: case U_DOUBLE: return undefined_by_count(rule, size * 8, count, ret_all);
	}
	return 0;
}

const struct rule *rule_of(const u8 *b, unsigned len, unsigned mode)
{
	struct head h = head_of(b, len, mode);
	u8 prefix = h.rep ? h.rep : h.opsize ? 0x66 : 0;
	unsigned at = h.at, opcode;

	if (at + 3 >= len)
		return NULL;
	opcode = b[at++];
	if (opcode == 0x0f)
		opcode = 0x100 | b[at++];
	if (opcode == 0x138)
		opcode = 0x200 | b[at++];
	for (unsigned i = 0; i < rule_count; i++) {
		const struct rule *r = &rules[i];

		if (r->opcode == opcode && (r->reg < 0 || (r->shape == MODRM && (b[at] >> 3 & 7) == r->reg)) &&
		    (!(r->traits & SSE) || r->prefix == prefix))
			return r;
	}
	return NULL;
}
