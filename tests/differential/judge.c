/* Do both sides agree? Where Unicorn is known to be wrong, or does not check, it says so with the place in the SDM. */
#include <string.h>

#include "tests/differential/cases.h"

static bool canonical(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}

static const char *compare_registers(const struct one_case *c, const struct emul_state *a, const struct emul_state *b, u64 ignore)
{
	if (memcmp(a->gpr, b->gpr, (c->mode == 64 ? 16 : 8) * sizeof(u64)))
		return "general registers";
	if (memcmp(a->xmm, b->xmm, (c->mode == 64 ? 16 : 8) * sizeof(a->xmm[0])))
		return "XMM registers";
	if ((a->rflags ^ b->rflags) & 0xcd5 & ~ignore)
		return "flags";
	return a->rip == b->rip ? NULL : "RIP";
}

static const char *compare_memory(const u8 *theirs)
{
	for (unsigned i = 0; i < WORLD_PAGES; i++)
		if (world_rights[i] != PAGE_ABSENT && memcmp(world + i * PAGE_SIZE, theirs + i * PAGE_SIZE, PAGE_SIZE))
			return "memory";
	return NULL;
}

static bool wants_alignment(const struct rule *rule, const struct one_case *c)
{
	return rule && ((rule->traits & ALIGNED16) || ((rule->traits & PAIR) && head_of(c->bytes, c->len, c->mode).rex & 8));
}

static u64 value_at(const u8 *memory, u64 linear, unsigned size)
{
	u64 value = 0;

	memcpy(&value, memory + (linear - WORLD_BASE), size);
	return value;
}

/* a shift, judged by this processor */
static const char *judge_shift(const struct one_case *c, const struct rule *rule, const struct ours *o, const struct outcome *t,
			       unsigned size, unsigned count, u64 undefined)
{
	struct head h = head_of(c->bytes, c->len, c->mode);

	if (!range_within(t->first, size, WORLD_BASE, WORLD_LEN))
		return "theirs was elsewhere";
	unsigned modrm = c->bytes[h.at + 2], reg = (modrm >> 3 & 7) | (h.rex & 4) << 1;
	u64 value = value_at(pristine, t->first, size);
	u64 flags = native_shift(rule, size, &value, c->state.gpr[reg & 15], (u8)count, c->state.rflags);

	if (value_at(world, t->first, size) != value)
		return "a shift's result is not this processor's";
	return (o->state.rflags ^ flags) & 0x8d5 & ~undefined ? "a shift's flags are not this processor's" : NULL;
}

bool is_movbe(const struct rule *rule)
{
	return rule && rule->opcode >= 0x2f0;
}

void as_mov(const struct one_case *c, struct one_case *ret)
{
	unsigned at = head_of(c->bytes, c->len, c->mode).at;

	*ret = *c;
	memcpy(ret->bytes + 2, c->bytes, at);
	ret->bytes[0] = ret->bytes[1] = 0xf3;
	ret->bytes[at + 2] = c->bytes[at + 2] & 1 ? 0x89 : 0x8b;
}

static u64 swapped(u64 value, unsigned size)
{
	return __builtin_bswap64(value) >> (64 - size * 8);
}

/* MOV's result becomes MOVBE's: in their register, in our memory */
static void mend_movbe(const struct one_case *c, const struct rule *rule, struct outcome *t)
{
	struct head h = head_of(c->bytes, c->len, c->mode);
	unsigned size = operand_size(rule, &h, c->mode), reg = (c->bytes[h.at + 3] >> 3 & 7) | (h.rex & 4) << 1;
	u64 mask = size == 8 ? ~0ull : (1ull << size * 8) - 1, value = t->state.gpr[reg];

	if (!(rule->opcode & 1)) {
		t->state.gpr[reg] = (value & ~mask) | swapped(value & mask, size);
	} else if (range_within(t->first, size, WORLD_BASE, WORLD_LEN)) {
		value = swapped(value_at(world, t->first, size), size);
		memcpy(world + (t->first - WORLD_BASE), &value, size);
	}
}

/* where Unicorn's result is known not to be the SDM's: made so, or its flags left out */
static u64 mend(const struct one_case *c, const struct rule *rule, struct outcome *t)
{
	struct head h = head_of(c->bytes, c->len, c->mode);

	if (is_movbe(rule))
		mend_movbe(c, rule, t);
	/* CMPXCHG writes the accumulator only if it differs (its operation); Unicorn clears RAX' upper half when EAX is equal */
	if (rule->opcode == 0x1b1 && c->mode == 64 && (t->state.rflags & BIT(6)) && operand_size(rule, &h, 64) == 4 &&
	    t->state.gpr[0] == (u32)c->state.gpr[0])
		t->state.gpr[0] = c->state.gpr[0];
	/* it computes CF and OF of these from what its store has overwritten: judge_shift() */
	if (rule->undefined == U_DOUBLE || (rule->undefined == U_SHIFT && (rule->traits & BY_CL)))
		return BIT(0) | BIT(11);
	/* LOCK NEG has NEG's flags; Unicorn's are of another value */
	return h.lock && (rule->opcode & ~1u) == 0xf6 && rule->reg == 3 ? 0x8d5 : 0;
}

static const char *judge_done(const struct one_case *c, const struct rule *rule, const struct ours *o, struct outcome *t,
			      const u8 *theirs)
{
	const char *wrong = NULL;
	u64 ignore = 0;

	if (!t->done)
		return "theirs faulted";
	if (wants_alignment(rule, c) && t->first % 16)
		return "no #GP for what is not aligned";
	if (rule) {
		struct head h = head_of(c->bytes, c->len, c->mode);
		unsigned size = operand_size(rule, &h, c->mode), length = (unsigned)(o->state.rip - c->state.rip);
		bool shift = rule->undefined >= U_SHIFT, all = false;
		unsigned count = shift ? shift_count(rule, c->bytes, length, &c->state) : 0;

		ignore = undefined_flags(rule, size, count, &all);
		if (all)
			return NULL;
		if (shift)
			wrong = judge_shift(c, rule, o, t, size, count, ignore);
		ignore |= mend(c, rule, t);
	}
	if (!wrong)
		wrong = compare_registers(c, &o->state, &t->state, ignore);
	return wrong ? wrong : compare_memory(theirs);
}

/* #GP and #SS: Unicorn checks neither addresses nor alignment nor a branch's target */
static const char *judge_protection(const struct one_case *c, const struct rule *rule, const struct outcome *t)
{
	u64 first = t->first == ~0ull ? t->fault_address : t->first;

	if (!t->done && !t->bad_access) /* too long */
		return NULL;
	if (!t->done && !(canonical(t->fault_address) && canonical(t->fault_address + 15)))
		return NULL;
	if (wants_alignment(rule, c) && first % 16)
		return NULL;
	/* CMPS' first operand, when theirs has looked at the second one first */
	if (rule && (rule->opcode & ~1u) == 0xa6 && c->mode == 64 && !(canonical(c->state.gpr[6]) && canonical(c->state.gpr[7])))
		return NULL;
	/* a code segment may not be written (SDM volume 3, 5.4) */
	if (rule && c->mode == 32 && (rule->touches & WRITES) && head_of(c->bytes, c->len, 32).segment == 0x2e)
		return NULL;
	return rule && (rule->traits & BRANCH) && t->done && !canonical(t->state.rip) ? NULL : "a #GP or #SS for nothing";
}

/*
 * With two pages at fault the SDM does not say which comes first (volume 3, priority among concurrent events). Unicorn takes
 * CMPS' second operand first, and of one that crosses a page now the one part, now the other.
 */
static bool same_fault(const struct one_case *c, const struct rule *rule, const struct emul_exception *e, const struct outcome *t)
{
	s64 pages = (s64)(e->address >> PAGE_SHIFT) - (s64)(t->fault_address >> PAGE_SHIFT);

	return !pages || (rule && (rule->opcode & ~1u) == 0xa6) || (pages >= -1 && pages <= 1);
}

static const char *judge_fault(const struct one_case *c, const struct rule *rule, const struct ours *o, const struct outcome *t,
			       const u8 *theirs)
{
	const struct emul_exception *e = &o->state.exception;
	const char *wrong;

	if (e->vector == EMUL_GP || e->vector == EMUL_SS_FAULT)
		return judge_protection(c, rule, t);
	if (t->done)
		return "ours faulted";
	if (e->vector == EMUL_UD)
		/* without a rule: what shares a group's opcode, as 0F BA /0; there it reads the operand before it refuses */
		return !t->bad_access || !rule ? NULL : "a #UD for nothing";
	if (!t->bad_access)
		return "a #PF for nothing";
	if (!same_fault(c, rule, e, t))
		return "the faulting page";
	if (rule && rule->shape != STRING && !(rule->traits & STACK) && (e->error == 2) != !!(rule->touches & WRITES))
		return "the #PF's error code";
	if (!rule || rule->shape != STRING)
		return NULL; /* that nothing of ours has changed judge() has seen */
	wrong = compare_registers(c, &o->state, &t->state, 0);
	/* of a write that crosses into a page that may not be written, Unicorn has written the first part */
	return wrong || !(e->address & (PAGE_SIZE - 1)) ? wrong : compare_memory(theirs);
}

bool excluded(const struct one_case *c, const struct rule *rule, const struct ours *o, const char **ret_wrong)
{
	struct head h = head_of(c->bytes, c->len, c->mode);

	/*
	 * SDM volume 2, 2.2.1: a REX counts only right before the opcode; volume 1, 3.4.2.1: 64-bit mode ignores ES, CS, SS and
	 * DS overrides. For Unicorn the first still counts, and the second takes an FS or GS before it away. F2 together with F3
	 * has no meaning (volume 2, 2.1.1).
	 */
	if (h.both_reps || h.idle_rex || (c->mode == 64 && h.overridden))
		return true;
	/* SDM volume 2, LOCK: #UD if the instruction is not in its list. Unicorn ignores LOCK there. */
	if (h.lock && !(rule && (rule->traits & LOCKABLE))) {
		if (o->result != EMUL_FAULT || (o->state.exception.vector != EMUL_UD && o->state.exception.vector != EMUL_GP))
			*ret_wrong = "LOCK that is not allowed";
		return true;
	}
	if (!rule)
		return false;
	/* it has no SSE in its 16-bit mode */
	if ((rule->traits & SSE) && c->mode == 16)
		return true;
	/* 64-bit mode: near branches have 64 bits (SDM volume 2, CALL, JMP); Unicorn does as AMD's, 16 with the prefix */
	if ((rule->traits & BRANCH) && c->mode == 64 && h.opsize)
		return true;
	/* F2 and F3 go before 66 as a part of the opcode (SDM volume 2, appendix A); in Unicorn 66 does. MOVNTI has neither. */
	if (h.opsize && h.rep && (rule->traits & SSE))
		return true;
	if (rule->opcode == 0x1c3 && (h.opsize || h.rep))
		return true;
	/* RIP-relative is from the end of the instruction (SDM volume 2, 2.2.1.6); Unicorn forgets SHLD's imm8 and SHRD's */
	if (c->mode == 64 && (rule->opcode & ~8u) == 0x1a4 && (c->bytes[h.at + 2] & 0xc7) == 5)
		return true;
	/* REX.R changes nothing where ModRM.reg belongs to the opcode (SDM volume 2, 2.2.1.2); Unicorn: #UD for C6 and C7 */
	return (rule->opcode & ~1u) == 0xc6 && (h.rex & 4);
}

/* what a fault may change: nothing, but for the progress of a rep */
static bool changed_by_fault(const struct one_case *c, const struct ours *o)
{
	struct emul_state before = c->state;

	before.exception = o->state.exception;
	return memcmp(&before, &o->state, sizeof(before)) || o->wrote;
}

const char *judge(const struct one_case *c, const struct rule *rule, const struct ours *o, struct outcome *t, const u8 *theirs)
{
	if (o->result == EMUL_FAULT && !(rule && rule->shape == STRING) && changed_by_fault(c, o))
		return "a fault that left something behind";
	return o->result == EMUL_DONE ? judge_done(c, rule, o, t, theirs) : judge_fault(c, rule, o, t, theirs);
}
