/* MOVS, CMPS, STOS, LODS, SCAS: one iteration at a time. Each finished one stands even if the next one faults (SDM, REP). */
#include "vmm/emul/run.h"

#define RAX 0
#define RCX 1
#define RSI 6
#define RDI 7

static u64 address_in(const struct run *r, u8 reg)
{
	return r->s.gpr[reg] & size_mask(r->i.address);
}

static void advance(struct run *r, u8 reg)
{
	set_address(r, reg, r->i.address, r->s.gpr[reg] + (r->s.rflags & DF ? (u64)-(s64)r->size : r->size));
}

static bool find_source(struct run *r, struct place *ret)
{
	return find_place(r, segment_for(r, EMUL_DS), address_in(r, RSI), r->size, EMUL_READ, ret);
}

/* its segment is ES whatever the prefixes say */
static bool find_destination(struct run *r, unsigned access, struct place *ret)
{
	return find_place(r, EMUL_ES, address_in(r, RDI), r->size, access, ret);
}

static bool movs(struct run *r)
{
	struct place from, to;
	u64 value;

	/* what a device gives is gone: not before there is a place for it */
	if (!find_source(r, &from) || !find_destination(r, EMUL_WRITE, &to) || !read_value(r, &from, &value) ||
	    !write_value(r, &to, value))
		return false;
	advance(r, RSI);
	advance(r, RDI);
	return true;
}

static bool cmps(struct run *r)
{
	struct place first, second;
	u64 a, b;

	if (!find_source(r, &first) || !find_destination(r, EMUL_READ, &second) || !read_value(r, &first, &a) ||
	    !read_value(r, &second, &b))
		return false;
	alu(r, ALU_CMP, a, b, r->size);
	advance(r, RSI);
	advance(r, RDI);
	return true;
}

static bool stos(struct run *r)
{
	struct place to;

	if (!find_destination(r, EMUL_WRITE, &to) || !write_value(r, &to, r->s.gpr[RAX]))
		return false;
	advance(r, RDI);
	return true;
}

static bool lods(struct run *r)
{
	struct place from;
	u64 value;

	if (!find_source(r, &from) || !read_value(r, &from, &value))
		return false;
	set_reg(r, RAX, r->size, value);
	advance(r, RSI);
	return true;
}

static bool scas(struct run *r)
{
	struct place with;
	u64 value;

	if (!find_destination(r, EMUL_READ, &with) || !read_value(r, &with, &value))
		return false;
	alu(r, ALU_CMP, r->s.gpr[RAX], value, r->size);
	advance(r, RDI);
	return true;
}

/* A4-A7, AA-AF. F2 before what compares nothing acts as F3 does. */
bool run_string(struct run *r)
{
	static const handler steps[] = { movs, cmps, NULL, stos, lods, scas };
	unsigned which = (r->i.opcode & 0xf) >> 1;
	bool compares = steps[which - 2] == cmps || steps[which - 2] == scas;

	if (!r->i.rep)
		return steps[which - 2](r);
	if (!address_in(r, RCX))
		return true;
	if (!steps[which - 2](r))
		return false;
	set_address(r, RCX, r->i.address, r->s.gpr[RCX] - 1);
	bool stop = compares && !(r->s.rflags & ZF) == (r->i.rep == 0xf3);

	r->more = address_in(r, RCX) && !stop;
	return true;
}
