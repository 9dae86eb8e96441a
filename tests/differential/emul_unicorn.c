/*
 * vmm/emul against Unicorn (QEMU's translator): random instructions with memory operands, in all modes, over pages that are
 * absent, read-only or crossed. Registers, flags, RIP, memory, faults and a rep's progress have to agree. One case is drawn from
 * one seed and leaves nothing behind, so a difference is repeated by `emul_unicorn SEED 1`.
 *
 * Unicorn leaves out checks that processors have; there the outcome is judged by the rules instead (excluded()).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/differential/cases.h"

#define WORLD_LEN ((u64)WORLD_PAGES * PAGE_SIZE)
#define ITERATIONS_MAX 64u

static u8 pristine[WORLD_LEN], world[WORLD_LEN];
static u32 dirty;        /* pages of `world` */
static unsigned crossings;
static bool wrote;       /* ours, in this case */
static bool survey;

struct ours {
	enum emul_result result;
	struct emul_state state;
	bool long_rep;
};

/* skipped: judged by rule; strayed: its operand was the code, or a rep's end was not reached */
static struct { u64 cases, done, faulted, refused, skipped, strayed, crossed, mutated; u64 by_rule[256]; } counts;

/* ---- our side */
static enum emul_access translate(void *context, u64 linear, unsigned size, unsigned access, u64 *ret_place,
				  struct emul_exception *ret)
{
	u64 page = (linear - WORLD_BASE) >> PAGE_SHIFT;
	u8 rights = linear < WORLD_BASE || page >= WORLD_PAGES ? PAGE_ABSENT : world_rights[page];

	if ((rights & access) != access) {
		*ret = (struct emul_exception){ EMUL_PF, true, access & EMUL_WRITE ? 2 : 0, linear };
		return EMUL_ACCESS_FAULT;
	}
	crossings += !(linear & (PAGE_SIZE - 1)) && size < 16;
	*ret_place = linear - WORLD_BASE;
	return EMUL_ACCESS_OK;
}

static enum emul_access touch(void *context, u64 place, void *data, unsigned size, bool write)
{
	wrote |= write;
	if (write)
		dirty |= 1u << (place >> PAGE_SHIFT);
	memcpy(write ? world + place : data, write ? data : world + place, size);
	return EMUL_ACCESS_OK;
}

static enum emul_access exchange(void *context, u64 place, const void *expected, const void *desired, unsigned size)
{
	if (memcmp(world + place, expected, size))
		return EMUL_ACCESS_CHANGED;
	wrote = true;
	dirty |= 1u << (place >> PAGE_SHIFT);
	memcpy(world + place, desired, size);
	return EMUL_ACCESS_OK;
}

static void run_ours(const struct one_case *c, struct ours *ret)
{
	const struct emul_memory memory = { translate, touch, exchange, NULL };
	for (unsigned i = 0; i < c->plant_len; i++)
		if (c->aim + i - WORLD_BASE < WORLD_LEN) {
			world[c->aim + i - WORLD_BASE] = c->plant[i];
			dirty |= 1u << ((c->aim + i - WORLD_BASE) >> PAGE_SHIFT);
		}
	wrote = false;
	*ret = (struct ours){ .state = c->state, .result = EMUL_MORE };
	for (unsigned n = 0; ret->result == EMUL_MORE && n < ITERATIONS_MAX; n++)
		ret->result = emul_run(&ret->state, c->bytes, sizeof(c->bytes), &memory);
	ret->long_rep = ret->result == EMUL_MORE;
}

static void reset_ours(void)
{
	for (unsigned i = 0; i < WORLD_PAGES; i++)
		if (dirty >> i & 1)
			memcpy(world + i * PAGE_SIZE, pristine + i * PAGE_SIZE, PAGE_SIZE);
	dirty = 0;
}

/* ---- judgement; NULL: they agree */
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

/* SDM volume 2, 3.1.1.9 and on: a shift, judged by this processor */
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

static bool is_movbe(const struct rule *rule)
{
	return rule && rule->opcode >= 0x2f0;
}

/* Unicorn has no MOVBE, whichever processor it is told to be: it gets a MOV of the same length (F3 means nothing to that) */
static void as_mov(const struct one_case *c, struct one_case *ret)
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
	/* a code segment may not be written (SDM volume 3, 5.5) */
	if (rule && c->mode == 32 && (rule->touches & WRITES) && head_of(c->bytes, c->len, 32).segment == 0x2e)
		return NULL;
	return rule && (rule->traits & BRANCH) && t->done && !canonical(t->state.rip) ? NULL : "a #GP or #SS for nothing";
}

/*
 * With two pages at fault the SDM does not say which comes first (volume 3, table 6-2: one fault an instruction). Unicorn takes
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
		return NULL; /* run_case() sees that nothing has changed */
	wrong = compare_registers(c, &o->state, &t->state, 0);
	/* of a write that crosses into a page that may not be written, Unicorn has written the first part */
	return wrong || !(e->address & (PAGE_SIZE - 1)) ? wrong : compare_memory(theirs);
}

/* ---- one case */
static void print_state(const char *who, const struct emul_state *s, unsigned mode)
{
	printf("%s: rip %llx rflags %llx\n", who, (unsigned long long)s->rip, (unsigned long long)s->rflags);
	for (unsigned i = 0; i < (mode == 64 ? 16u : 8u); i++)
		printf("  r%u %016llx xmm %016llx%016llx\n", i, (unsigned long long)s->gpr[i],
		       (unsigned long long)s->xmm[i].high, (unsigned long long)s->xmm[i].low);
}

static void print_difference(const struct one_case *c, const struct rule *rule, const char *what, const struct ours *o,
			     const struct outcome *t, const u8 *theirs)
{
	printf("DIFFERENT: %s; repeat with: emul_unicorn %llu 1\n%s, %u bit:", what, (unsigned long long)c->seed,
	       rule ? rule->name : "no rule", c->mode);
	for (unsigned i = 0; i < c->len; i++)
		printf(" %02x", c->bytes[i]);
	printf("%s\nours: result %d, vector %u error %x at %llx; theirs: %s, fault at %llx, first access %llx\n",
	       c->mutated ? " (mutated)" : "", o->result, o->state.exception.vector, o->state.exception.error,
	       (unsigned long long)o->state.exception.address, t->error, (unsigned long long)t->fault_address,
	       (unsigned long long)t->first);
	print_state("before", &c->state, c->mode);
	print_state("ours", &o->state, c->mode);
	print_state("theirs", &t->state, c->mode);
	for (u64 i = 0; i < WORLD_LEN; i++)
		if (world[i] != theirs[i])
			printf("memory at %llx: before %02x, ours %02x, theirs %02x\n", (unsigned long long)(WORLD_BASE + i),
			       pristine[i], world[i], theirs[i]);
}

/* what Unicorn does not do; *ret_wrong: ours is not what the rules say */
static bool excluded(const struct one_case *c, const struct rule *rule, const struct ours *o, const char **ret_wrong)
{
	struct head h = head_of(c->bytes, c->len, c->mode);

	/*
	 * SDM volume 2, 2.2.1: a REX counts only right before the opcode; volume 1, 3.3.7.1: 64-bit mode ignores ES, CS, SS and DS
	 * overrides. For Unicorn the first still counts, and the second takes an FS or GS before it away.
	 */
	/* F2 together with F3 has no meaning in the SDM (volume 2, 2.1.1) */
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
	/* F2 and F3 go before 66 as a part of the opcode (SDM volume 2, table A-3); in Unicorn 66 does. MOVNTI has neither. */
	if (h.opsize && h.rep && (rule->traits & SSE))
		return true;
	if (rule->opcode == 0x1c3 && (h.opsize || h.rep))
		return true;
	/* RIP-relative is from the end of the instruction (SDM volume 2, 2.2.1.6); Unicorn forgets SHLD's and SHRD's imm8 there */
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
	return memcmp(&before, &o->state, sizeof(before)) || wrote;
}

static const char *judge(const struct one_case *c, const struct rule *rule, const struct ours *o, struct outcome *t,
			 const u8 *theirs)
{
	if (o->result == EMUL_FAULT && !(rule && rule->shape == STRING) && changed_by_fault(c, o))
		return "a fault that left something behind";
	return o->result == EMUL_DONE ? judge_done(c, rule, o, t, theirs) : judge_fault(c, rule, o, t, theirs);
}

static void count(const struct ours *o, const struct outcome *t, const struct rule *rule, bool crossed)
{
	counts.strayed += t->strayed;
	if (t->strayed)
		return;
	counts.done += o->result == EMUL_DONE;
	counts.faulted += o->result == EMUL_FAULT;
	counts.crossed += o->result == EMUL_DONE && crossed;
	if (rule && o->result == EMUL_DONE)
		counts.by_rule[rule - rules]++;
}

static bool run_case(struct engine *e, u64 seed, u64 rip)
{
	struct one_case c;
	struct ours o;
	struct outcome t = { .error = "not run" };
	const char *wrong = NULL;

	case_draw(&c, seed, rip);
	const struct rule *rule = rule_of(c.bytes, CODE_SLOT, c.mode);
	const u8 *theirs = engine_memory(e, c.mode);
	unsigned crossings_before = crossings;

	run_ours(&c, &o);
	counts.cases++;
	counts.mutated += c.mutated;
	if (o.result == EMUL_UNSUPPORTED || o.result == EMUL_TRUNCATED || o.long_rep) {
		counts.refused += !o.long_rep;
		counts.strayed += o.long_rep;
		wrong = c.mutated || o.long_rep ? NULL : "an instruction of the rules is not emulated";
	} else if (excluded(&c, rule, &o, &wrong)) {
		counts.skipped++;
	} else {
		struct one_case movbe;

		if (is_movbe(rule))
			as_mov(&c, &movbe);
		engine_run(e, is_movbe(rule) ? &movbe : &c, o.result == EMUL_DONE ? o.state.rip : rip + c.len, &t);
		if (!t.strayed)
			wrong = judge(&c, rule, &o, &t, theirs);
		count(&o, &t, rule, crossings != crossings_before);
	}
	if (wrong && survey)
		printf("%s: %s, %u bit, seed %llu\n", wrong, rule ? rule->name : "no rule", c.mode, (unsigned long long)seed);
	else if (wrong)
		print_difference(&c, rule, wrong, &o, &t, theirs);
	reset_ours();
	engine_reset(e, c.mode);
	return !wrong || survey;
}

/* ---- was it a test at all? */
static bool covered(void)
{
	u64 least = counts.cases / rule_count / 20;
	bool good = true;

	for (unsigned i = 0; i < EMUL_OPCODES; i++) {
		bool has_rule = false;

		for (unsigned k = 0; k < rule_count; k++)
			has_rule |= rules[k].opcode == i;
		if (emul_knows(i) != has_rule) {
			printf("FAIL opcode %#x: emulated %d, has a rule %d\n", i, emul_knows(i), has_rule);
			good = false;
		}
	}
	for (unsigned k = 0; k < rule_count; k++)
		if (counts.by_rule[k] < least) {
			printf("FAIL %s was compared %llu times, less than %llu\n", rules[k].name,
			       (unsigned long long)counts.by_rule[k], (unsigned long long)least);
			good = false;
		}
	if (counts.refused * 20 > counts.cases || counts.done * 2 < counts.cases || counts.strayed * 50 > counts.cases || counts.crossed * 100 < counts.cases) {
		printf("FAIL too many refused, too few complete, or too few that cross a page\n");
		good = false;
	}
	return good;
}

static void report(u64 seed, bool forms, double seconds)
{
	u64 least = ~0ull;
	const char *name = "";

	for (unsigned k = 0; k < rule_count; k++) {
		if (forms)
			printf("%12llu %s\n", (unsigned long long)counts.by_rule[k], rules[k].name);
		if (counts.by_rule[k] < least) {
			least = counts.by_rule[k];
			name = rules[k].name;
		}
	}
	printf("emul: %llu cases from seed %llu in %.1f s: %llu complete (%llu crossed a page), %llu faulted, %llu unsupported, "
	       "%llu judged by rule only, %llu not at all; %u forms, the rarest, %s, %llu times\n", (unsigned long long)counts.cases,
	       (unsigned long long)seed, seconds, (unsigned long long)counts.done, (unsigned long long)counts.crossed,
	       (unsigned long long)counts.faulted, (unsigned long long)counts.refused, (unsigned long long)counts.skipped,
	       (unsigned long long)counts.strayed, rule_count,
	       name, (unsigned long long)least);
}

/* random bytes, and stretches of zeroes where string instructions meet what is equal */
static void fill_world(void)
{
	u64 s = 0x70617261;

	for (u64 i = 0; i < WORLD_LEN; i++)
		pristine[i] = (i >> 8 & 3) == 3 ? 0 : (u8)draw(&s);
	memcpy(world, pristine, sizeof(world));
}

int main(int argc, char **argv)
{
	bool forms = argc == 4 && !strcmp(argv[3], "--forms");

	survey = argc == 4 && !strcmp(argv[3], "--survey");
	struct timespec begin, end;

	if ((argc != 3 && !forms && !survey) || !strcmp(argv[1], "--help")) {
		printf("usage: emul_unicorn SEED COUNT [--forms|--survey]\n"
		       "Runs COUNT random instructions through vmm/emul and Unicorn. Exit 1 at the first difference, and if too little\n"
		       "was covered (from 100000 cases on). --forms prints how often each form was compared;\n"
		       "--survey says each difference in a line and goes on.\n");
		return argc == 2 ? 0 : 2;
	}
	u64 seed = strtoull(argv[1], NULL, 0), count = strtoull(argv[2], NULL, 0);

	fill_world();
	struct engine *e = engine_create(pristine);

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (u64 i = 0; i < count; i++)
		if (!run_case(e, seed + i, CODE_BASE + (seed + i) % CODE_SLOTS * CODE_SLOT))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	engine_destroy(e);
	report(seed, forms, (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	return count < 100000 || covered() ? 0 : 1;
}
