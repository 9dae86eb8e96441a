/*
 * vmm/emul against Unicorn (QEMU's translator): random instructions with memory operands, in all modes, over pages that are
 * absent, read-only or crossed. Registers, flags, RIP, memory, faults and a rep's progress have to agree. One case is drawn from
 * one seed and leaves nothing behind, so a difference is repeated by `emul_unicorn SEED 1`.
 *
 * Unicorn leaves out checks that processors have; there the outcome is judged by the rules instead (judge.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/differential/cases.h"

#define ITERATIONS_MAX 64u
#define ENGINE_CASES 250000u /* translations fill its memory, and after some millions Unicorn 2.0.1 fails over them */

u8 pristine[WORLD_LEN], world[WORLD_LEN];
static u32 dirty;        /* pages of `world` */
/* of this case */
static bool wrote, crossed;
static u64 last_end;     /* of the part that was translated last */

static bool survey;

/* skipped: judged by rule; strayed: its operand or target was the code, or a rep's end was not reached */
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
	crossed |= !(linear & (PAGE_SIZE - 1)) && linear == last_end;
	last_end = linear + size;
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
	wrote = crossed = false;
	last_end = 0;
	*ret = (struct ours){ .state = c->state, .result = EMUL_MORE };
	for (unsigned n = 0; ret->result == EMUL_MORE && n < ITERATIONS_MAX; n++)
		ret->result = emul_run(&ret->state, c->bytes, sizeof(c->bytes), &memory);
	ret->long_rep = ret->result == EMUL_MORE;
	ret->wrote = wrote;
}

static void reset_ours(void)
{
	for (unsigned i = 0; i < WORLD_PAGES; i++)
		if (dirty >> i & 1)
			memcpy(world + i * PAGE_SIZE, pristine + i * PAGE_SIZE, PAGE_SIZE);
	dirty = 0;
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

static void count(const struct ours *o, const struct outcome *t, const struct rule *rule)
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

/* where Unicorn would run what it remembers of an earlier case */
static bool jumped_to_code(const struct rule *rule, const struct ours *o)
{
	return rule && (rule->traits & BRANCH) && o->result == EMUL_DONE && o->state.rip - CODE_BASE < CODE_LEN;
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

	run_ours(&c, &o);
	counts.cases++;
	counts.mutated += c.mutated;
	if (o.long_rep || jumped_to_code(rule, &o)) {
		counts.strayed++;
	} else if (o.result == EMUL_UNSUPPORTED || o.result == EMUL_TRUNCATED) {
		counts.refused++;
		wrong = c.mutated ? NULL : "an instruction of the rules is not emulated";
	} else if (excluded(&c, rule, &o, &wrong)) {
		counts.skipped++;
	} else {
		struct one_case movbe;

		if (is_movbe(rule))
			as_mov(&c, &movbe);
		engine_run(e, is_movbe(rule) ? &movbe : &c, o.result == EMUL_DONE ? o.state.rip : rip + c.len, &t);
		if (!t.strayed)
			wrong = judge(&c, rule, &o, &t, theirs);
		count(&o, &t, rule);
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
	if (counts.refused * 20 > counts.cases || counts.strayed * 50 > counts.cases || counts.done * 2 < counts.cases ||
	    counts.crossed * 100 < counts.cases) {
		printf("FAIL too many refused or not compared, too few complete, or too few that cross a page\n");
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
	       "%llu judged by rule only, %llu not at all; %u forms, the rarest, %s, %llu times\n",
	       (unsigned long long)counts.cases, (unsigned long long)seed, seconds, (unsigned long long)counts.done,
	       (unsigned long long)counts.crossed, (unsigned long long)counts.faulted, (unsigned long long)counts.refused,
	       (unsigned long long)counts.skipped, (unsigned long long)counts.strayed, rule_count, name,
	       (unsigned long long)least);
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
	struct timespec begin, end;

	survey = argc == 4 && !strcmp(argv[3], "--survey");
	if ((argc != 3 && !forms && !survey) || !strcmp(argv[1], "--help")) {
		printf("usage: emul_unicorn SEED COUNT [--forms|--survey]\n"
		       "Runs COUNT random instructions through vmm/emul and Unicorn. Exit 1 at the first difference, and if\n"
		       "too little was covered (from 100000 cases on). --forms prints how often each form was compared;\n"
		       "--survey says each difference in a line and goes on.\n");
		return argc == 2 ? 0 : 2;
	}
	u64 seed = strtoull(argv[1], NULL, 0), count = strtoull(argv[2], NULL, 0);

	fill_world();
	struct engine *e = engine_create(pristine);

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (u64 i = 0; i < count; i++) {
		if (i && i % ENGINE_CASES == 0) {
			engine_destroy(e);
			e = engine_create(pristine);
		}
		if (!run_case(e, seed + i, CODE_BASE + (seed + i) % CODE_SLOTS * CODE_SLOT))
			return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	engine_destroy(e);
	report(seed, forms, (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	return count < 100000 || covered() ? 0 : 1;
}
