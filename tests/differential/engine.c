/* Unicorn as the other side: one machine per mode, memory without paging, the same pages at the same addresses */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "tests/differential/cases.h"

#define REGISTERS 34 /* 16 general, 16 XMM, RIP, EFLAGS */
#define CR4_OSFXSR BIT(9)
#define GDT_AT CODE_END

struct machine {
	uc_engine *uc;
	uc_context *fresh;
	unsigned mode, gprs;
	u8 *world, *code;
	int ids[REGISTERS];
	u32 dirty;          /* pages that a case wrote, a bit each */
	u64 first, fault;
	bool strayed, bad_access;
};

struct engine {
	struct machine machines[3];
	u8 *pristine;
};

static unsigned index_of(unsigned mode)
{
	return mode == 16 ? 0 : mode == 32 ? 1 : 2;
}

static void must(uc_err e, const char *what)
{
	if (!e)
		return;
	fprintf(stderr, "unicorn: %s: %s\n", what, uc_strerror(e));
	exit(2);
}

static void mark(struct machine *m, u64 address, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (address + i - WORLD_BASE < WORLD_LEN)
			m->dirty |= 1u << ((address + i - WORLD_BASE) >> PAGE_SHIFT);
}

static void on_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *context)
{
	struct machine *m = context;

	if (m->first == ~0ull)
		m->first = address;
	m->strayed |= ranges_overlap(address, (u64)size, CODE_BASE, GDT_AT + PAGE_SIZE - CODE_BASE);
	if (type == UC_MEM_WRITE)
		mark(m, address, (unsigned)size);
}

static bool on_bad_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *context)
{
	struct machine *m = context;

	m->strayed |= type == UC_MEM_WRITE_PROT && address < GDT_AT + PAGE_SIZE;
	if (!m->bad_access && type != UC_MEM_FETCH_UNMAPPED && type != UC_MEM_FETCH_PROT) {
		m->bad_access = true;
		m->fault = address;
	}
	return false;
}

static void set(struct machine *m, int id, u64 value)
{
	must(uc_reg_write(m->uc, id, &value), "a register");
}

static u64 descriptor(const struct hv_segment *s)
{
	u64 limit = 0xfffff, flags = s->attributes & 0xf0ff;

	return (limit & 0xffff) | (s->base & 0xffffff) << 16 | flags << 40 | (limit >> 16) << 48 | (s->base >> 24) << 56;
}

static void set_segments(struct machine *m)
{
	static const int ids[] = { UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS, UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS };
	struct hv_segment all[EMUL_SEGMENTS];
	uc_x86_mmr gdtr = { .base = GDT_AT, .limit = 8 * 8 - 1 };

	case_segments(m->mode, all);
	if (m->mode == 32) {
		for (unsigned i = 0; i < EMUL_SEGMENTS; i++) {
			u64 d = descriptor(&all[i]);

			must(uc_mem_write(m->uc, GDT_AT + all[i].selector, &d, 8), "GDT");
		}
		must(uc_reg_write(m->uc, UC_X86_REG_GDTR, &gdtr), "GDTR");
	}
	for (unsigned i = 0; i < EMUL_SEGMENTS; i++)
		if (m->mode != 64)
			set(m, ids[i], all[i].selector);
	if (m->mode == 64) {
		set(m, UC_X86_REG_FS_BASE, all[EMUL_FS].base);
		set(m, UC_X86_REG_GS_BASE, all[EMUL_GS].base);
	}
}

static void name_registers(struct machine *m)
{
	static const int wide[] = { UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP,
				    UC_X86_REG_RBP,
				    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8, UC_X86_REG_R9, UC_X86_REG_R10, UC_X86_REG_R11,
				    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15 };
	static const int narrow[] = { UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX, UC_X86_REG_EBX, UC_X86_REG_ESP,
				      UC_X86_REG_EBP,
				      UC_X86_REG_ESI, UC_X86_REG_EDI };

	m->gprs = m->mode == 64 ? 16 : 8;
	for (unsigned i = 0; i < m->gprs; i++) {
		m->ids[i] = m->mode == 64 ? wide[i] : narrow[i];
		m->ids[m->gprs + i] = UC_X86_REG_XMM0 + (int)i;
	}
	m->ids[2 * m->gprs] = UC_X86_REG_EFLAGS;
	m->ids[2 * m->gprs + 1] = m->mode == 64 ? UC_X86_REG_RIP : UC_X86_REG_EIP;
}

static void create(struct machine *m, unsigned mode, const u8 *memory)
{
	static const uc_mode modes[] = { UC_MODE_16, UC_MODE_32, UC_MODE_64 };
	uc_hook hook;

	m->mode = mode;
	must(uc_open(UC_ARCH_X86, modes[index_of(mode)], &m->uc), "open");
	must(uc_ctl_set_cpu_model(m->uc, UC_CPU_X86_HASWELL), "processor model");
	m->code = aligned_alloc(PAGE_SIZE, CODE_LEN);
	m->world = aligned_alloc(PAGE_SIZE, WORLD_LEN);
	if (!m->world || !m->code)
		exit(2);
	memset(m->code, CODE_FILL, CODE_LEN);
	must(uc_mem_map_ptr(m->uc, CODE_BASE, CODE_LEN, UC_PROT_READ | UC_PROT_EXEC, m->code), "map code");
	must(uc_mem_map(m->uc, GDT_AT, PAGE_SIZE, UC_PROT_READ), "map GDT");
	memcpy(m->world, memory, WORLD_LEN);
	for (unsigned i = 0; i < WORLD_PAGES; i++)
		if (world_rights[i] != PAGE_ABSENT)
			must(uc_mem_map_ptr(m->uc, WORLD_BASE + i * PAGE_SIZE, PAGE_SIZE,
					    world_rights[i] == PAGE_ALL ? UC_PROT_READ | UC_PROT_WRITE : UC_PROT_READ,
					    m->world + i * PAGE_SIZE), "map a page");
	must(uc_hook_add(m->uc, &hook, UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, (void *)on_access, m, (u64)1, (u64)0), "hook");
	must(uc_hook_add(m->uc, &hook, UC_HOOK_MEM_INVALID, (void *)on_bad_access, m, (u64)1, (u64)0), "hook");
	set_segments(m);
	set(m, UC_X86_REG_CR4, CR4_OSFXSR);
	name_registers(m);
	must(uc_context_alloc(m->uc, &m->fresh), "context");
	must(uc_context_save(m->uc, m->fresh), "context");
}

struct engine *engine_create(const u8 *memory)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e || !(e->pristine = malloc(WORLD_LEN)))
		exit(2);
	memcpy(e->pristine, memory, WORLD_LEN);
	for (unsigned mode = 16; mode <= 64; mode *= 2)
		create(&e->machines[index_of(mode)], mode, memory);
	return e;
}

void engine_destroy(struct engine *e)
{
	for (unsigned i = 0; i < 3; i++) {
		uc_context_free(e->machines[i].fresh);
		uc_close(e->machines[i].uc);
		free(e->machines[i].world);
		free(e->machines[i].code);
	}
	free(e->pristine);
	free(e);
}

static void point_at(struct machine *m, struct emul_state *s, void *values[REGISTERS])
{
	for (unsigned i = 0; i < m->gprs; i++) {
		values[i] = &s->gpr[i];
		values[m->gprs + i] = &s->xmm[i];
	}
	values[2 * m->gprs] = &s->rflags;
	values[2 * m->gprs + 1] = &s->rip;
}

static void load_case(struct machine *m, const struct one_case *c)
{
	struct emul_state s = c->state;
	void *values[REGISTERS];
	u8 *code = m->code + (c->state.rip - CODE_BASE);

	memcpy(code, c->bytes, CODE_SLOT);
	must(uc_ctl_remove_cache(m->uc, c->state.rip, c->state.rip + CODE_SLOT), "what was translated of it before");
	for (unsigned i = 0; i < c->plant_len; i++)
		if (c->aim + i - WORLD_BASE < WORLD_LEN)
			m->world[c->aim + i - WORLD_BASE] = c->plant[i];
	mark(m, c->aim, c->plant_len);
	point_at(m, &s, values);
	must(uc_reg_write_batch(m->uc, m->ids, values, (int)(2 * m->gprs + 1)), "registers"); /* RIP is uc_emu_start()'s */
	m->first = ~0ull;
	m->strayed = m->bad_access = false;
}

void engine_run(struct engine *e, const struct one_case *c, u64 rip_end, struct outcome *ret)
{
	struct machine *m = &e->machines[index_of(c->mode)];
	void *values[REGISTERS];

	load_case(m, c);
	/* never with a count: that flushes all translations each time */
	uc_err err = uc_emu_start(m->uc, c->state.rip, rip_end, 0, 0);

	*ret = (struct outcome){ .first = m->first, .bad_access = m->bad_access, .fault_address = m->fault,
				 .strayed = m->strayed, .error = uc_strerror(err) };
	ret->done = !err || err == UC_ERR_FETCH_UNMAPPED || err == UC_ERR_FETCH_PROT; /* a branch to nowhere */
	point_at(m, &ret->state, values);
	must(uc_reg_read_batch(m->uc, m->ids, values, (int)(2 * m->gprs + 2)), "registers");
	/* where ours faulted it may have gone on, and run anything */
	if (c->mutated || err || ret->state.rip != rip_end)
		must(uc_context_restore(m->uc, m->fresh), "context");
	/* now and then it says OK of an invalid instruction; no case ends where it begins */
	ret->done &= ret->state.rip != c->state.rip;
}

const u8 *engine_memory(const struct engine *e, unsigned mode)
{
	return e->machines[index_of(mode)].world;
}

void engine_reset(struct engine *e, unsigned mode)
{
	struct machine *m = &e->machines[index_of(mode)];

	for (unsigned i = 0; i < WORLD_PAGES; i++)
		if (m->dirty >> i & 1)
			memcpy(m->world + i * PAGE_SIZE, e->pristine + i * PAGE_SIZE, PAGE_SIZE);
	m->dirty = 0;
}
