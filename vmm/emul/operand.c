/* Registers and memory of an instruction */
#include <string.h>

#include "vmm/emul/run.h"

#define TYPE_CODE BIT(3)
#define TYPE_DOWN BIT(2)   /* of data */
#define TYPE_USABLE BIT(1) /* code: may be read; data: may be written */
#define ATTRIBUTE_PRESENT BIT(7)
#define ATTRIBUTE_BIG BIT(14)

bool unsupported(struct run *r)
{
	r->result = EMUL_UNSUPPORTED;
	return false;
}

bool fault(struct run *r, u8 vector)
{
	r->s.exception = (struct emul_exception){ .vector = vector, .has_error = vector != EMUL_UD };
	r->result = EMUL_FAULT;
	return false;
}

u64 sign_bit(unsigned size)
{
	return 1ull << (size * 8 - 1);
}

u64 sign_extend(u64 value, unsigned size)
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

u64 get_reg(const struct run *r, u8 reg, unsigned size)
{
	if (high_byte(&r->i, reg, size))
		return r->s.gpr[reg - 4] >> 8 & 0xff;
	return r->s.gpr[reg] & size_mask(size);
}

void set_reg(struct run *r, u8 reg, unsigned size, u64 value)
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

void set_address(struct run *r, u8 reg, unsigned address, u64 value)
{
	u64 mask = size_mask(address);

	r->s.gpr[reg] = address == 2 ? (r->s.gpr[reg] & ~mask) | (value & mask) : value & mask;
}

enum emul_segment segment_for(const struct run *r, enum emul_segment fallback)
{
	return r->i.segment < 0 ? fallback : (enum emul_segment)r->i.segment;
}

static bool canonical(const struct run *r, u64 linear)
{
	unsigned shift = r->s.la57 ? 7 : 16;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/* may the segment be used so, and does [offset, offset + size) lie in it? SDM volume 3, 5.3 and 5.4 */
static bool segment_allows(const struct run *r, const struct hv_segment *s, u64 offset, unsigned size, unsigned access)
{
	u64 last = offset + size - 1;
	bool code = s->attributes & TYPE_CODE, usable = s->attributes & TYPE_USABLE;

	if (!r->s.real) {
		if (!(s->attributes & ATTRIBUTE_PRESENT))
			return false;
		if (code ? (access & EMUL_WRITE) || !usable : (access & EMUL_WRITE) && !usable)
			return false;
		if (!code && (s->attributes & TYPE_DOWN)) {
			u64 top = s->attributes & ATTRIBUTE_BIG ? 0xffffffffu : 0xffffu;

			return offset > s->limit && last <= top;
		}
	}
	/* with a limit of 4 GiB an operand may wrap around: the SDM leaves that open */
	return s->limit == 0xffffffffu || last <= s->limit;
}

static bool linear_address(struct run *r, enum emul_segment segment, u64 offset, unsigned size, unsigned access, u64 *ret)
{
	const struct hv_segment *s = &r->s.segment[segment];
	u8 vector = segment == EMUL_SS ? EMUL_SS_FAULT : EMUL_GP;

	if (r->s.mode == 64) {
		*ret = offset + (segment >= EMUL_FS ? s->base : 0);
		return canonical(r, *ret) && canonical(r, *ret + size - 1) ? true : fault(r, vector);
	}
	*ret = (s->base + offset) & 0xffffffffu;
	return segment_allows(r, s, offset, size, access) ? true : fault(r, vector);
}

static bool translate(struct run *r, u64 linear, unsigned access, struct place *p, unsigned part)
{
	struct emul_exception e = { 0 };

	if (r->memory->translate(r->memory->context, linear, p->part[part].size, access, &p->part[part].at, &e) == EMUL_ACCESS_OK)
		return true;
	r->s.exception = e;
	r->result = EMUL_FAULT;
	return false;
}

bool find_place(struct run *r, enum emul_segment segment, u64 offset, unsigned size, unsigned access, struct place *ret)
{
	u64 linear;

	if (!linear_address(r, segment, offset, size, access, &linear))
		return false;
	unsigned first = MIN(size, (unsigned)(PAGE_SIZE - (linear & (PAGE_SIZE - 1))));

	*ret = (struct place){ .size = size, .parts = first < size ? 2 : 1, .part = { { 0, first }, { 0, size - first } },
			       .aligned = IS_ALIGNED(linear, size) };
	if ((access & ACCESS_ALIGNED) && !ret->aligned)
		return fault(r, EMUL_GP);
	access &= EMUL_READ | EMUL_WRITE;
	if (!translate(r, linear, access, ret, 0))
		return false;
	if (ret->parts == 1)
		return true;
	linear += first;
	return translate(r, r->s.mode == 64 ? linear : linear & 0xffffffffu, access, ret, 1);
}

static bool again(struct run *r)
{
	r->result = EMUL_AGAIN;
	return false;
}

bool read_place(struct run *r, struct place *p, void *data)
{
	u8 *to = p->before;

	for (unsigned k = 0; k < p->parts; k++, to += p->part[0].size)
		if (r->memory->access(r->memory->context, p->part[k].at, to, p->part[k].size, false) != EMUL_ACCESS_OK)
			return again(r);
	memcpy(data, p->before, p->size);
	return true;
}

bool write_place(struct run *r, struct place *p, const void *data)
{
	u8 copy[OPERAND_MAX], *from = copy;

	memcpy(copy, data, p->size);
	if (r->locked && p->aligned) {
		enum emul_access a = r->memory->exchange(r->memory->context, p->part[0].at, p->before, copy, p->size);

		r->lost = a == EMUL_ACCESS_CHANGED;
		return a == EMUL_ACCESS_OK ? true : again(r);
	}
	for (unsigned k = 0; k < p->parts; k++, from += p->part[0].size)
		if (r->memory->access(r->memory->context, p->part[k].at, from, p->part[k].size, true) != EMUL_ACCESS_OK)
			return again(r);
	return true;
}

bool read_value(struct run *r, struct place *p, u64 *ret)
{
	u64 value = 0;

	if (!read_place(r, p, &value))
		return false;
	*ret = value;
	return true;
}

bool write_value(struct run *r, struct place *p, u64 value)
{
	return write_place(r, p, &value);
}

bool find_operand(struct run *r, unsigned size, unsigned access)
{
	return find_place(r, segment_for(r, r->i.stack_base ? EMUL_SS : EMUL_DS), r->i.offset, size, access, &r->operand);
}

bool load(struct run *r, u64 *ret, unsigned size)
{
	return find_operand(r, size, EMUL_READ) && read_value(r, &r->operand, ret);
}

bool store(struct run *r, u64 value, unsigned size)
{
	return find_operand(r, size, EMUL_WRITE) && write_value(r, &r->operand, value);
}

bool load_to_modify(struct run *r, u64 *ret, unsigned size)
{
	return find_operand(r, size, EMUL_READ | EMUL_WRITE) && read_value(r, &r->operand, ret);
}

bool store_back(struct run *r, u64 value)
{
	return write_value(r, &r->operand, value);
}
