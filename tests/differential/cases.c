#include "tests/differential/cases.h"

#include <string.h>

/* absent pages on both sides, so that operands reach over every kind of edge */
const u8 world_rights[WORLD_PAGES] = { PAGE_ABSENT, PAGE_ALL, PAGE_ALL, PAGE_READS, PAGE_READS, PAGE_ALL, PAGE_ALL, PAGE_ABSENT };

u64 draw(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool chance(u64 *s, unsigned percent)
{
	return draw(s) % 100 < percent;
}

/* values at which carries, signs and shifts change */
static u64 number(u64 *s)
{
	u64 v = draw(s);

	switch (draw(s) % 8) {
	case 0: return v & 0xff;
	case 1: return 1ull << v % 64;
	case 2: return (1ull << v % 64) - 1;
	case 3: return (u64)(s64)(s8)v;
	case 4: return (u64)(s64)(s32)v;
	default: return v;
	}
}

/* linear, with a preference for edges of pages */
static u64 aim(u64 *s)
{
	u64 page = WORLD_BASE + (1 + draw(s) % (WORLD_PAGES - 2)) * PAGE_SIZE;

	if (chance(s, 25))
		return page - draw(s) % 18;
	if (chance(s, 40))
		return page + (draw(s) % PAGE_SIZE & ~0xfull);
	return page + draw(s) % PAGE_SIZE;
}

/* bases from which 16 bits of offset reach the world */
void case_segments(unsigned mode, struct hv_segment segment[EMUL_SEGMENTS])
{
	for (unsigned i = 0; i < EMUL_SEGMENTS; i++) {
		u16 selector = mode == 16 ? (u16)(WORLD_BASE / 16 - 0x800 + 0x123 * i) : (u16)(8 * (i + 1));

		segment[i] = (struct hv_segment){ .limit = 0xffffffff, .attributes = i == EMUL_CS ? 0xc09b : 0xc093,
						  .base = WORLD_BASE - 0x8000 + 0x1230ull * i, .selector = selector };
		if (mode == 16)
			segment[i].attributes &= (u16)~BIT(14); /* SP has 16 bits */
	}
	segment[EMUL_CS].base = 0;
	if (mode == 64)
		for (unsigned i = 0; i < EMUL_SEGMENTS; i++)
			segment[i].selector = 0;
	if (mode == 16)
		segment[EMUL_CS].selector = 0;
}

struct writer {
	struct one_case *c;
	u64 *s;
	const struct rule *rule;
	unsigned operand, address; /* sizes in bytes */
	bool rex_w;
	u8 rex;
	int segment;               /* override that counts, -1: none */
};

static void put(struct writer *w, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		w->c->bytes[w->c->len++] = (u8)(value >> i * 8);
}

/* the order of legacy prefixes is free; the mandatory one stays the last of F2 and F3 */
static void put_prefixes(struct writer *w)
{
	static const u8 segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	const struct rule *r = w->rule;
	u8 list[6];
	unsigned n = 0;
	bool free66 = !(r->traits & SSE) && r->opcode != 0x1c3; /* MOVNTI has none */
	bool opsize = r->prefix == 0x66 || (free66 && chance(w->s, 25));

	if (chance(w->s, 20)) {
		w->segment = (int)(draw(w->s) % 6);
		list[n++] = segments[w->segment];
		if (w->c->mode == 64 && w->segment < EMUL_FS)
			w->segment = -1;
	}
	if (opsize)
		list[n++] = 0x66;
	if (chance(w->s, 20)) {
		w->address = w->c->mode == 32 ? 2 : 4;
		list[n++] = 0x67;
	}
	if (chance(w->s, r->traits & LOCKABLE ? 25 : 1))
		list[n++] = 0xf0;
	if (r->prefix > 0x66)
		list[n++] = r->prefix;
	else if (r->shape == STRING && chance(w->s, 60))
		list[n++] = chance(w->s, 50) ? 0xf2 : 0xf3;
	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)(draw(w->s) % i);
		u8 swap = list[k];

		list[k] = list[i - 1];
		list[i - 1] = swap;
	}
	for (unsigned i = 0; i < n; i++)
		put(w, list[i], 1);
	w->operand = (w->c->mode == 16) != opsize ? 2 : 4;
	if (w->c->mode == 64 && chance(w->s, 60)) {
		w->rex = (u8)(0x40 | (draw(w->s) & 0xf));
		put(w, w->rex, 1);
		w->rex_w = w->rex & 8;
		if (w->rex_w)
			w->operand = 8;
	}
	if (r->traits & BYTE)
		w->operand = 1;
}

static void put_opcode(struct writer *w)
{
	unsigned op = w->rule->opcode;

	if (op >= 0x100)
		put(w, 0x0f, 1);
	if (op >= 0x200)
		put(w, 0x38, 1);
	put(w, op & 0xff, 1);
}

static unsigned imm_size(const struct writer *w)
{
	return w->rule->imm == NO_IMM ? 0 : w->rule->imm == IMM8 ? 1 : MIN(w->operand, 4u);
}

static u64 base_of(const struct writer *w, enum emul_segment fallback)
{
	enum emul_segment s = w->segment < 0 ? fallback : (enum emul_segment)w->segment;

	return w->c->mode == 64 && s < EMUL_FS ? 0 : w->c->state.segment[s].base;
}

/* 16-bit addressing; where a register can be set so that the operand is met, it is */
static void put_modrm16(struct writer *w, u8 reg)
{
	static const s8 base[] = { 3, 3, 5, 5, 6, 7, 5, 3 }, index[] = { 6, 7, 6, 7, -1, -1, -1, -1 };
	u8 mod = (u8)(draw(w->s) % 3), rm = (u8)(draw(w->s) % 8);
	bool absolute = mod == 0 && rm == 6;
	u64 disp = draw(w->s), *gpr = w->c->state.gpr;
	u64 offset = w->c->aim - base_of(w, rm == 2 || rm == 3 || (rm == 6 && mod) ? EMUL_SS : EMUL_DS);

	put(w, (u64)mod << 6 | reg << 3 | rm, 1);
	if (absolute) {
		put(w, offset, 2);
		return;
	}
	put(w, disp, mod);
	u64 rest = offset - (mod == 1 ? (u64)(s64)(s8)disp : mod == 2 ? disp : 0) - (index[rm] >= 0 ? gpr[index[rm]] : 0);

	gpr[base[rm]] = (gpr[base[rm]] & ~0xffffull) | (rest & 0xffff);
}

static u64 extended(u64 disp, u8 mod)
{
	return mod == 1 ? (u64)(s64)(s8)disp : mod == 2 ? (u64)(s64)(s32)disp : 0;
}

static void put_sib(struct writer *w, u8 mod, u64 disp)
{
	u64 *gpr = w->c->state.gpr, mask = w->address == 8 ? ~0ull : 0xffffffffu;
	u8 sib = (u8)draw(w->s), base = (u8)((sib & 7) | (w->rex & 1) << 3), index = (u8)((sib >> 3 & 7) | (w->rex & 2) << 2);
	u64 indexed = index == 4 ? 0 : gpr[index] << (sib >> 6);

	put(w, sib, 1);
	if (mod == 0 && (sib & 7) == 5) {
		u64 wanted = w->c->aim - base_of(w, EMUL_DS);

		/* only the index can be chosen freely, if it is not scaled */
		if (index != 4) {
			put(w, disp, 4);
			gpr[index] = (wanted - (u64)(s64)(s32)disp) >> (sib >> 6) & (w->c->mode == 64 ? ~0ull : 0xffffffffu);
		} else {
			put(w, wanted, 4);
		}
		return;
	}
	put(w, disp, mod == 2 ? 4 : mod);
	gpr[base] = (w->c->aim - base_of(w, base == 4 || base == 5 ? EMUL_SS : EMUL_DS) - extended(disp, mod) - indexed) &
		    (mask | (w->c->mode == 64 ? ~0ull : 0));
}

static void put_modrm(struct writer *w)
{
	u8 reg = w->rule->reg >= 0 ? (u8)w->rule->reg : (u8)(draw(w->s) & 7), mod = (u8)(draw(w->s) % 3);
	u8 rm = chance(w->s, 30) ? 4 : (u8)(draw(w->s) & 7), full = (u8)(rm | (w->rex & 1) << 3);
	u64 disp = draw(w->s), *gpr = w->c->state.gpr;

	if (w->address == 2) {
		put_modrm16(w, reg);
		return;
	}
	put(w, (u64)mod << 6 | reg << 3 | rm, 1);
	if (rm == 4) {
		put_sib(w, mod, disp);
	} else if (mod == 0 && rm == 5) {
		u64 end = w->c->state.rip + w->c->len + 4 + imm_size(w);

		put(w, w->c->aim - base_of(w, EMUL_DS) - (w->c->mode == 64 ? end : 0), 4);
	} else {
		put(w, disp, mod == 2 ? 4 : mod);
		gpr[full] = w->c->aim - base_of(w, full == 5 ? EMUL_SS : EMUL_DS) - extended(disp, mod);
		if (w->c->mode != 64)
			gpr[full] &= 0xffffffffu;
		else if (w->address == 4)
			gpr[full] = (gpr[full] & 0xffffffffu) | draw(w->s) << 32;
	}
}

static void set_offset(struct writer *w, unsigned reg, u64 linear, enum emul_segment fallback, bool fixed)
{
	u64 *gpr = &w->c->state.gpr[reg], mask = w->address == 8 ? ~0ull : (1ull << w->address * 8) - 1;
	u64 base = fixed ? (w->c->mode == 64 ? 0 : w->c->state.segment[fallback].base) : base_of(w, fallback);

	*gpr = (*gpr & ~mask) | ((linear - base) & mask);
}

/* registers for what has no ModRM byte, and for what has more than its operand */
static void aim_registers(struct writer *w)
{
	struct one_case *c = w->c;
	u64 counter = chance(w->s, 10) ? 0 : draw(w->s) % 6, mask = w->address == 8 ? ~0ull : (1ull << w->address * 8) - 1;

	if (w->rule->shape == STRING) {
		set_offset(w, 6, c->aim, EMUL_DS, false);
		set_offset(w, 7, aim(w->s), EMUL_ES, true);
		c->state.gpr[1] = (c->state.gpr[1] & ~mask) | counter;
	} else if (w->rule->shape == XLAT) {
		set_offset(w, 3, c->aim - (c->state.gpr[0] & 0xff), EMUL_DS, false);
	}
}

static void before_modrm(struct writer *w)
{
	struct one_case *c = w->c;

	if (w->rule->traits & STACK)
		c->state.gpr[4] = (aim(w->s) - (c->mode == 64 ? 0 : c->state.segment[EMUL_SS].base)) & 0xffffffffu;
	if (c->mode == 16)
		c->state.gpr[4] = (c->state.gpr[4] & 0xffff) | (draw(w->s) & 0xffff0000u);
	if (w->rule->traits & BIT_STRING) /* any register may be the one: most offsets stay near */
		for (unsigned i = 0; i < 16; i++)
			if (chance(w->s, 90))
				c->state.gpr[i] = (c->mode == 64 ? ~0ull : 0xffffffffu) & (u64)(s64)(s16)(draw(w->s) >> 48);
}

/* after all registers are final */
static void plant(struct writer *w)
{
	struct one_case *c = w->c;
	u64 target = (chance(w->s, 70) ? draw(w->s) & 0xffff : draw(w->s)) | 0xa000; /* no code, if it is cut to 16 bits too */

	if (w->rule->traits & BRANCH) {
		c->plant_len = 8;
		memcpy(c->plant, &target, 8);
	} else if ((w->rule->opcode & ~1u) == 0x1b0 && chance(w->s, 50)) {
		c->plant_len = w->operand;
		memcpy(c->plant, &c->state.gpr[0], w->operand);
	} else if ((w->rule->traits & PAIR) && chance(w->s, 50)) {
		unsigned half = w->rex_w ? 8 : 4;

		c->plant_len = half * 2;
		memcpy(c->plant, &c->state.gpr[0], half);
		memcpy(c->plant + half, &c->state.gpr[2], half);
	}
}

static void draw_state(struct one_case *c, u64 *s)
{
	u64 keep = c->mode == 64 ? ~0ull : 0xffffffffu;

	case_segments(c->mode, c->state.segment);
	c->state.mode = c->mode;
	c->state.real = c->mode == 16;
	c->state.rflags = 2 | (draw(s) & 0xcd5); /* arithmetic flags and DF */
	for (unsigned i = 0; i < (c->mode == 64 ? 16u : 8u); i++)
		c->state.gpr[i] = number(s) & keep;
	for (unsigned i = 0; i < (c->mode == 64 ? 16u : 8u); i++)
		c->state.xmm[i] = (struct emul_xmm){ draw(s), draw(s) };
}

/* a change that keeps it an instruction more often than not; what it became both sides have to agree on */
static void mutate(struct one_case *c, u64 *s)
{
	unsigned at = (unsigned)(draw(s) % c->len);

	c->mutated = true;
	if (chance(s, 30) && c->len < 18) {
		memmove(c->bytes + 1, c->bytes, c->len++);
		c->bytes[0] = (u8[]){ 0x66, 0x67, 0xf2, 0xf3, 0x48, 0x40, 0x64, 0x2e }[draw(s) % 8];
	} else {
		c->bytes[at] ^= (u8)(1u << draw(s) % 8);
	}
}

void case_draw(struct one_case *c, u64 seed, u64 rip)
{
	u64 state = seed, *s = &state;

	*c = (struct one_case){ .seed = seed, .mode = (unsigned[]){ 64, 64, 32, 16 }[draw(s) % 4] };
	memset(c->bytes, CODE_FILL, sizeof(c->bytes));

	struct writer w = { .c = c, .s = s, .address = c->mode / 8, .segment = -1 };

	do {
		w.rule = &rules[draw(s) % rule_count];
	} while ((w.rule->traits & (c->mode == 64 ? NOT_64 : ONLY_64)) || (c->mode == 16 && (w.rule->traits & SSE)));
	c->state.rip = rip;
	draw_state(c, s);
	c->aim = aim(s);
	put_prefixes(&w);
	put_opcode(&w);
	before_modrm(&w);
	if (w.rule->shape == MODRM)
		put_modrm(&w);
	else if (w.rule->shape == MOFFS)
		put(&w, c->aim - base_of(&w, EMUL_DS), w.address);
	aim_registers(&w);
	put(&w, number(s), imm_size(&w));
	plant(&w);
	if (chance(s, 5))
		mutate(c, s);
}
