/* PUSH, POP, CALL and JMP whose operand lies in memory; and what shares their opcodes */
#include "vmm/emul/run.h"

#define RSP 4

static unsigned stack_address(const struct run *r)
{
	return r->s.mode == 64 ? 8 : r->s.segment[EMUL_SS].attributes & BIT(14) ? 4 : 2;
}

static bool find_push(struct run *r, struct place *ret)
{
	unsigned address = stack_address(r);

	return find_place(r, EMUL_SS, (r->s.gpr[RSP] - r->size) & size_mask(address), r->size, EMUL_WRITE, ret);
}

static bool push(struct run *r, struct place *to, u64 value)
{
	if (!write_value(r, to, value))
		return false;
	set_address(r, RSP, stack_address(r), r->s.gpr[RSP] - r->size);
	return true;
}

static bool run_push(struct run *r)
{
	struct place to;
	u64 value;

	return find_operand(r, r->size, EMUL_READ) && find_push(r, &to) && read_value(r, &r->operand, &value) &&
	       push(r, &to, value);
}

static bool target_is_good(struct run *r, u64 target)
{
	u64 upper = target >> (r->s.la57 ? 56 : 47);

	if (r->s.mode == 64)
		return !upper || upper == ~0ull >> (r->s.la57 ? 56 : 47) ? true : fault(r, EMUL_GP);
	return target <= r->s.segment[EMUL_CS].limit ? true : fault(r, EMUL_GP);
}

static bool run_jmp(struct run *r, bool call)
{
	struct place to;
	u64 target;

	if (!find_operand(r, r->size, EMUL_READ) || (call && !find_push(r, &to)) || !read_value(r, &r->operand, &target) ||
	    !target_is_good(r, target) || (call && !push(r, &to, r->s.rip)))
		return false;
	r->s.rip = target;
	return true;
}

/* FF: INC, DEC, near CALL and JMP, PUSH; 64-bit mode has no other operand size for branches */
bool run_group5(struct run *r)
{
	unsigned op = r->i.reg & 7;

	if (op < 2)
		return run_inc_dec(r);
	if (op != 2 && op != 4 && op != 6)
		return unsupported(r);
	if (r->i.mode == 64)
		r->size = r->i.opsize && op == 6 && !(r->i.rex_bits & 8) ? 2 : 8;
	return op == 6 ? run_push(r) : run_jmp(r, op == 2);
}

/* 8F /0. An address that RSP is the base of is computed after RSP has grown (SDM, POP). */
bool run_pop(struct run *r)
{
	unsigned address = stack_address(r);
	struct place from;
	u64 value;

	if (r->i.reg & 7)
		return unsupported(r);
	if (r->i.sp_base)
		r->i.offset = (r->i.offset + r->size) & size_mask(r->i.address);
	if (!find_place(r, EMUL_SS, r->s.gpr[RSP] & size_mask(address), r->size, EMUL_READ, &from) ||
	    !find_operand(r, r->size, EMUL_WRITE) || !read_value(r, &from, &value) || !store_back(r, value))
		return false;
	set_address(r, RSP, address, r->s.gpr[RSP] + r->size);
	return true;
}
