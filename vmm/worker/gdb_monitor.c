/* `monitor` of gdb: what it has no packets for */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/msr.h"
#include "vmm/mem/walk.h"
#include "vmm/worker/gdb_internal.h"

static const char help[] =
	"info registers        all registers of the thread's VP\n"
	"info msr              those that are MSRs\n"
	"info mtrr             memory types\n"
	"info lapic            its local APIC, where the firmware plays it\n"
	"info pagetables ADDR  how the VP's page tables lead to a linear address\n"
	"info exits            what the VP has left VTL0 for\n"
	"info version          of the stub\n"
	"physical on|off       addresses in gdb's commands are physical\n"
	"reset                 a new life for the machine\n"
	"vtl2 inspect [PATH]   the worker's tree, as pvdiag inspect has it below vm\n";

/* ---- registers */
static void say_segment(struct gdb_text *t, const char *name, const struct hv_segment *s)
{
	gdb_say(t, "%-4s %04x base %016llx limit %08x attributes %04x\n", name, s->selector, (unsigned long long)s->base,
		s->limit, s->attributes);
}

static int say_registers(struct gdb_server *s, unsigned vp, struct gdb_text *t)
{
	static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	static const char *const gprs[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
					    "r12", "r13", "r14", "r15" };
	struct gdb_registers *r;
	int error = s->gdb.ops->registers(s, vp, GDB_CORE | GDB_SYSTEM, &r);

	if (error)
		return error;
	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		gdb_say(t, "%-3s %016llx%s", gprs[i], (unsigned long long)r->gpr[i], i % 4 == 3 ? "\n" : "  ");
	gdb_say(t, "rip %016llx  rflags %llx\n", (unsigned long long)r->rip, (unsigned long long)r->rflags);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		say_segment(t, names[i], &r->segment[i]);
	say_segment(t, "ldtr", &r->ldtr);
	say_segment(t, "tr", &r->tr);
	gdb_say(t, "gdtr base %016llx limit %04x\nidtr base %016llx limit %04x\n", (unsigned long long)r->gdtr.base,
		r->gdtr.limit, (unsigned long long)r->idtr.base, r->idtr.limit);
	gdb_say(t, "cr0 %llx  cr2 %llx  cr3 %llx  cr4 %llx  cr8 %llx  efer %llx\n", (unsigned long long)r->cr0,
		(unsigned long long)r->cr2, (unsigned long long)r->cr3, (unsigned long long)r->cr4, (unsigned long long)r->cr8,
		(unsigned long long)r->efer);
	gdb_say(t, "dr0 %llx  dr1 %llx  dr2 %llx  dr3 %llx  dr6 %llx  dr7 %llx\n", (unsigned long long)r->dr[0],
		(unsigned long long)r->dr[1], (unsigned long long)r->dr[2], (unsigned long long)r->dr[3],
		(unsigned long long)r->dr6, (unsigned long long)r->dr7);
	return 0;
}

static int say_msrs(struct gdb_server *s, unsigned vp, struct gdb_text *t)
{
	struct gdb_registers *r;
	int error = s->gdb.ops->registers(s, vp, GDB_CORE | GDB_SYSTEM, &r);

	if (error)
		return error;
	const struct { const char *name; u32 number; u64 value; } all[] = {
		{ "EFER", MSR_EFER, r->efer }, { "STAR", MSR_STAR, r->star }, { "LSTAR", MSR_LSTAR, r->lstar },
		{ "CSTAR", MSR_CSTAR, r->cstar }, { "SFMASK", MSR_SFMASK, r->sfmask },
		{ "FS_BASE", MSR_FS_BASE, r->segment[4].base }, { "GS_BASE", MSR_GS_BASE, r->segment[5].base },
		{ "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, r->kernel_gs_base }, { "TSC_AUX", MSR_TSC_AUX, r->tsc_aux },
		{ "SYSENTER_CS", MSR_SYSENTER_CS, r->sysenter_cs }, { "SYSENTER_ESP", MSR_SYSENTER_ESP, r->sysenter_esp },
		{ "SYSENTER_EIP", MSR_SYSENTER_EIP, r->sysenter_eip }, { "PAT", MSR_PAT, r->pat },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		gdb_say(t, "%-14s %08x %016llx\n", all[i].name, all[i].number, (unsigned long long)all[i].value);
	return 0;
}

/* ---- what only the VP's thread can read */
static void query_mtrrs(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);
	struct hcl_vp *h = &v->vp->hcl;
	u64 cap = 0, type = 0, base, mask;

	v->query_result = hcl_get64(h, HV_X64_REGISTER_MTRR_CAP, &cap);
	if (!v->query_result)
		v->query_result = hcl_get64(h, HV_X64_REGISTER_MTRR_DEF_TYPE, &type);
	gdb_say(&v->text, "capabilities %llx, default type %llu, %s\n", (unsigned long long)cap,
		(unsigned long long)(type & 0xff), type & BIT(11) ? "on" : "off");
	for (u32 i = 0; !v->query_result && i < MIN((u32)(cap & 0xff), 16u); i++) {
		v->query_result = hcl_get64(h, HV_X64_REGISTER_MTRR_BASE0 + i, &base);
		if (!v->query_result)
			v->query_result = hcl_get64(h, HV_X64_REGISTER_MTRR_MASK0 + i, &mask);
		if (!v->query_result && mask & BIT(11))
			gdb_say(&v->text, "%2u: base %012llx mask %012llx type %llu\n", i, (unsigned long long)(base & ~0xfffull),
				(unsigned long long)(mask & ~0xfffull), (unsigned long long)(base & 0xff));
	}
	v->query = true;
	gdb_vp_answer(v);
}

static int say_mtrrs(struct gdb_server *s, unsigned vp, struct gdb_text *t)
{
	struct gdb_vp *v = &s->vps[vp];

	if (v->busy)
		return -EAGAIN;
	if (!v->query) {
		gdb_vp_ask(v, query_mtrrs);
		return -EAGAIN;
	}
	int r = v->query_result;

	v->query = false;
	*t = v->text;
	v->text = (struct gdb_text){ 0 };
	return r;
}

/* ---- page tables */
static int say_walk(struct gdb_server *s, unsigned vp, u64 linear, struct gdb_text *t)
{
	struct gdb_registers *r;
	int error = s->gdb.ops->registers(s, vp, GDB_CORE, &r);

	if (error)
		return error;
	if (!(r->cr0 & BIT(31))) {
		gdb_say(t, "paging is off\n");
		return 0;
	}
	bool wide = r->efer & BIT(10) || r->cr4 & BIT(5);
	unsigned levels = r->efer & BIT(10) ? r->cr4 & BIT(12) ? 5 : 4 : r->cr4 & BIT(5) ? 3 : 2, bits = wide ? 9 : 10;
	size_t len = wide ? 8 : 4;
	u64 table = r->cr3 & (wide ? levels == 3 ? 0xffffffe0ull : 0x000ffffffffff000ull : 0xfffff000ull);

	for (unsigned level = levels; level; level--) {
		unsigned shift = PAGE_SHIFT + (level - 1) * bits;
		u64 entry = 0, at = table + (linear >> shift & ((1u << bits) - 1)) * len;

		if (guest_read(s->w->board.machine.guest, at, &entry, len)) {
			gdb_say(t, "level %u: entry at %llx is no memory\n", level, (unsigned long long)at);
			return 0;
		}
		gdb_say(t, "level %u: entry at %llx: %016llx%s%s%s%s%s%s%s\n", level, (unsigned long long)at,
			(unsigned long long)entry, entry & 1 ? " present" : " not present", entry & 2 ? " write" : "",
			entry & 4 ? " user" : "", entry & 0x20 ? " accessed" : "", entry & 0x40 ? " dirty" : "",
			level > 1 && entry & 0x80 ? " large" : "", wide && entry >> 63 ? " nx" : "");
		if (!(entry & 1) || (level > 1 && entry & 0x80))
			break;
		table = entry & (wide ? 0x000ffffffffff000ull : 0xfffff000ull);
	}
	u64 gpa;

	if (walk_any(s->w->board.machine.guest, (struct walk_state){ r->cr0, r->cr3, r->cr4, r->efer, false }, linear, &gpa))
		gdb_say(t, "physical %llx\n", (unsigned long long)gpa);
	else
		gdb_say(t, "leads nowhere\n");
	return 0;
}

/* ---- the inspect tree of this process */
static void inspected(struct inspect_request *request, struct node *node)
{
	struct gdb_server *s = container_of(request, struct gdb_server, inspection);
	struct text text = node ? node_print_tree(node) : (struct text){ 0 };

	gdb_text_fini(&s->inspect_text);
	for (const char *at = text.data; at && *at;) { /* gdb_say() takes a line's worth at a time */
		size_t len = strcspn(at, "\n");

		gdb_say(&s->inspect_text, "%.*s\n", (int)MIN(len, (size_t)400), at);
		at += len + (at[len] == '\n');
	}
	free(text.data);
	node_destroy(node);
	s->inspecting = false;
	s->inspected = true;
	if (s->inspect_later)
		gdb_server_wake(s);
}

static int say_inspect(struct gdb_server *s, const char *path, unsigned depth, struct gdb_text *t)
{
	if (s->inspecting)
		return -EAGAIN;
	if (!s->inspected) {
		if (strlen(path) >= sizeof(s->inspect_path))
			return -ENAMETOOLONG;
		snprintf(s->inspect_path, sizeof(s->inspect_path), "%s", path);
		s->inspecting = true;
		s->inspect_later = false;
		s->inspection = (struct inspect_request){ .path = s->inspect_path, .depth = depth, .timeout_ns = 3000000000ull,
							  .done = inspected };
		inspect_start(&s->inspection, s->w->main, worker_inspect, s->w);
		if (s->inspecting) {
			s->inspect_later = true;
			return -EAGAIN;
		}
	}
	s->inspected = false;
	*t = s->inspect_text;
	s->inspect_text = (struct gdb_text){ 0 };
	return 0;
}

static int say_vp(struct gdb_server *s, unsigned vp, const char *what, struct gdb_text *t)
{
	char path[64];

	snprintf(path, sizeof(path), "vm/partition/vps/%u/%s", vp, what);
	return say_inspect(s, path, 8, t);
}

/* ---- */
static int reset(struct gdb_server *s, struct gdb_text *t)
{
	worker_stop_vps(s->w);
	worker_notify(s->w, LINK_RESET, 0, "reset by the debugger");
	gdb_say(t, "the machine is reset: the connection ends\n");
	return 0;
}

/* "0xffff...", "ffff..." */
static bool address_of(const char *word, u64 *ret)
{
	struct gdb_words w = { word, word + strlen(word) };

	if (!gdb_take(&w, "0x"))
		gdb_take(&w, "0X");
	return gdb_take_hex(&w, ret) && !gdb_left(&w);
}

static int with_argument(struct gdb_server *s, unsigned vp, const char *words, struct gdb_text *t)
{
	static const char pagetables[] = "info pagetables ", inspect[] = "vtl2 inspect";
	u64 address;

	if (!strncmp(words, pagetables, sizeof(pagetables) - 1))
		return address_of(words + sizeof(pagetables) - 1, &address) ? say_walk(s, vp, address, t) : -EINVAL;
	if (strncmp(words, inspect, sizeof(inspect) - 1))
		return -ENOENT;
	words += sizeof(inspect) - 1;
	words += *words == ' ';
	return say_inspect(s, words, *words ? 16 : 2, t);
}

int gdb_monitor(void *ctx, unsigned vp, const char *words, struct gdb_text *ret)
{
	struct gdb_server *s = ctx;

	if (!strcmp(words, "help") || !*words) {
		for (const char *at = help; *at; at += strcspn(at, "\n") + 1)
			gdb_say(ret, "%.*s\n", (int)strcspn(at, "\n"), at);
		return 0;
	}
	if (!strcmp(words, "info version")) {
		gdb_say(ret, "Paravane gdbstub\n");
		return 0;
	}
	if (!strcmp(words, "info registers"))
		return say_registers(s, vp, ret);
	if (!strcmp(words, "info msr"))
		return say_msrs(s, vp, ret);
	if (!strcmp(words, "info mtrr"))
		return say_mtrrs(s, vp, ret);
	if (!strcmp(words, "info exits"))
		return say_vp(s, vp, "exits", ret);
	if (!strcmp(words, "info lapic") && s->w->board.machine.apics)
		return say_vp(s, vp, "apic", ret);
	if (!strcmp(words, "info lapic")) {
		gdb_say(ret, "the hypervisor plays it: ask there (pvhost: monitor 'info vp')\n");
		return 0;
	}
	return !strcmp(words, "reset") ? reset(s, ret) : with_argument(s, vp, words, ret);
}
