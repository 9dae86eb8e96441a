#include "lib/gdb/registers.h"

#include <string.h>

#include "lib/gdb/packet.h"

#define XMM_AT 160u /* of XMM0 in an FXSAVE area, SDM volume 1, table 10-2 */
#define ST_AT 32u

struct row {
	const char *name, *type, *group;
	u16 at, len;    /* in struct gdb_registers; what is longer on the wire gets zeros */
	u8 wire;        /* bytes on the wire */
	u8 unit, feature;
	bool fixed;     /* cannot be changed */
};

enum feature { CORE, SSE, SEGMENTS, SYSTEM };
static const char *const features[] = { "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments",
					"org.paravane.system" };

#define AT(member) offsetof(struct gdb_registers, member)
#define GPR(name_, gpr_) { name_, "int64", NULL, AT(gpr) + 8 * (gpr_), 8, 8, UNIT_GPR + (gpr_), CORE, false }
#define POINTER(name_, gpr_) { name_, "data_ptr", NULL, AT(gpr) + 8 * (gpr_), 8, 8, UNIT_GPR + (gpr_), CORE, false }
#define SELECTOR(name_, i) { name_, "int32", NULL, AT(segment) + 16 * (i) + offsetof(struct hv_segment, selector), 2, 4, \
			     UNIT_ES + (i), CORE, false }
#define ST(i) { "st" #i, "i387_ext", NULL, AT(fx) + ST_AT + 16 * (i), 10, 10, UNIT_FX, CORE, false }
#define X87(name_, at_, len_) { name_, "int", "float", AT(fx) + (at_), len_, 4, UNIT_FX, CORE, false }
#define XMM(i) { "xmm" #i, "vec128", NULL, AT(fx) + XMM_AT + 16 * (i), 16, 16, UNIT_FX, SSE, false }
#define WORD(name_, member, unit_) { name_, "int64", "system", AT(member), 8, 8, unit_, SYSTEM, false }
#define HALF(name_, at_, len_, unit_) { name_, "int32", "system", at_, len_, 4, unit_, SYSTEM, false }
#define SEG(member, field) AT(member) + offsetof(struct hv_segment, field)
#define TABLE(member, field) AT(member) + offsetof(struct hv_table, field)
#define SEGMENT(name_, i) \
	{ name_ "_base", "data_ptr", "system", AT(segment) + 16 * (i), 8, 8, UNIT_ES + (i), SYSTEM, false }, \
	HALF(name_ "_limit", AT(segment) + 16 * (i) + 8, 4, UNIT_ES + (i)), \
	HALF(name_ "_attributes", AT(segment) + 16 * (i) + 14, 2, UNIT_ES + (i))

/* gdb's order for amd64 (gdb/features/i386/64bit-core.xml and its neighbours), then ours */
static const struct row rows[] = {
	GPR("rax", HV_RAX), GPR("rbx", HV_RBX), GPR("rcx", HV_RCX), GPR("rdx", HV_RDX), GPR("rsi", HV_RSI), GPR("rdi", HV_RDI),
	POINTER("rbp", HV_RBP), POINTER("rsp", HV_RSP),
	GPR("r8", 8), GPR("r9", 9), GPR("r10", 10), GPR("r11", 11),
	GPR("r12", 12), GPR("r13", 13), GPR("r14", 14), GPR("r15", 15),
	{ "rip", "code_ptr", NULL, AT(rip), 8, 8, UNIT_RIP, CORE, false },
	{ "eflags", "i386_eflags", NULL, AT(rflags), 4, 4, UNIT_RFLAGS, CORE, false },
	SELECTOR("cs", 1), SELECTOR("ss", 2), SELECTOR("ds", 3), SELECTOR("es", 0), SELECTOR("fs", 4), SELECTOR("gs", 5),
	ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
	X87("fctrl", 0, 2), X87("fstat", 2, 2), X87("ftag", 4, 1), X87("fiseg", 12, 2), X87("fioff", 8, 4), X87("foseg", 20, 2),
	X87("fooff", 16, 4), X87("fop", 6, 2),
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	{ "mxcsr", "int", "vector", AT(fx) + 24, 4, 4, UNIT_FX, SSE, false },
	{ "fs_base", "int64", NULL, AT(segment) + 16 * 4, 8, 8, UNIT_FS, SEGMENTS, false },
	{ "gs_base", "int64", NULL, AT(segment) + 16 * 5, 8, 8, UNIT_GS, SEGMENTS, false },
	WORD("cr0", cr0, UNIT_CR0), WORD("cr2", cr2, UNIT_CR2), WORD("cr3", cr3, UNIT_CR3), WORD("cr4", cr4, UNIT_CR4),
	WORD("cr8", cr8, UNIT_CR8), WORD("efer", efer, UNIT_EFER),
	WORD("k_gs_base", kernel_gs_base, UNIT_KERNEL_GS_BASE),
	SEGMENT("es", 0), SEGMENT("cs", 1), SEGMENT("ss", 2), SEGMENT("ds", 3),
	HALF("fs_limit", AT(segment) + 16 * 4 + 8, 4, UNIT_FS), HALF("fs_attributes", AT(segment) + 16 * 4 + 14, 2, UNIT_FS),
	HALF("gs_limit", AT(segment) + 16 * 5 + 8, 4, UNIT_GS), HALF("gs_attributes", AT(segment) + 16 * 5 + 14, 2, UNIT_GS),
	HALF("ldtr", SEG(ldtr, selector), 2, UNIT_LDTR),
	{ "ldtr_base", "data_ptr", "system", SEG(ldtr, base), 8, 8, UNIT_LDTR, SYSTEM, false },
	HALF("ldtr_limit", SEG(ldtr, limit), 4, UNIT_LDTR),
	HALF("tr", SEG(tr, selector), 2, UNIT_TR),
	{ "tr_base", "data_ptr", "system", SEG(tr, base), 8, 8, UNIT_TR, SYSTEM, false },
	HALF("tr_limit", SEG(tr, limit), 4, UNIT_TR),
	{ "idtr_base", "data_ptr", "system", TABLE(idtr, base), 8, 8, UNIT_IDTR, SYSTEM, false },
	HALF("idtr_limit", TABLE(idtr, limit), 2, UNIT_IDTR),
	{ "gdtr_base", "data_ptr", "system", TABLE(gdtr, base), 8, 8, UNIT_GDTR, SYSTEM, false },
	HALF("gdtr_limit", TABLE(gdtr, limit), 2, UNIT_GDTR),
	/* the debugger's own business: hardware breakpoints are set by Z1 to Z4 */
	{ "dr0", "data_ptr", "system", AT(dr), 8, 8, UNIT_DR0, SYSTEM, true },
	{ "dr1", "data_ptr", "system", AT(dr) + 8, 8, 8, UNIT_DR1, SYSTEM, true },
	{ "dr2", "data_ptr", "system", AT(dr) + 16, 8, 8, UNIT_DR2, SYSTEM, true },
	{ "dr3", "data_ptr", "system", AT(dr) + 24, 8, 8, UNIT_DR3, SYSTEM, true },
	{ "dr6", "int64", "system", AT(dr6), 8, 8, UNIT_DR6, SYSTEM, true },
	{ "dr7", "int64", "system", AT(dr7), 8, 8, UNIT_DR7, SYSTEM, true },
	WORD("pat", pat, UNIT_PAT), WORD("sysenter_cs", sysenter_cs, UNIT_SYSENTER_CS),
	WORD("sysenter_eip", sysenter_eip, UNIT_SYSENTER_EIP), WORD("sysenter_esp", sysenter_esp, UNIT_SYSENTER_ESP),
	WORD("star", star, UNIT_STAR), WORD("lstar", lstar, UNIT_LSTAR), WORD("cstar", cstar, UNIT_CSTAR),
	WORD("sfmask", sfmask, UNIT_SFMASK), WORD("tsc_aux", tsc_aux, UNIT_TSC_AUX),
};
_Static_assert(sizeof(struct gdb_registers) < 65536, "offsets of 16 bits");

#define PLACE(unit_, name_, member) [unit_] = { HV_X64_REGISTER_##name_, AT(member), sizeof(((struct gdb_registers *)0)->member) }

static const struct gdb_unit_place places[UNITS] = {
	PLACE(UNIT_RIP, RIP, rip), PLACE(UNIT_RFLAGS, RFLAGS, rflags),
	PLACE(UNIT_CR0, CR0, cr0), PLACE(UNIT_CR2, CR2, cr2), PLACE(UNIT_CR3, CR3, cr3), PLACE(UNIT_CR4, CR4, cr4),
	PLACE(UNIT_CR8, CR8, cr8), PLACE(UNIT_EFER, EFER, efer),
	PLACE(UNIT_LDTR, LDTR, ldtr), PLACE(UNIT_TR, TR, tr), PLACE(UNIT_IDTR, IDTR, idtr), PLACE(UNIT_GDTR, GDTR, gdtr),
	PLACE(UNIT_DR0, DR0, dr[0]), PLACE(UNIT_DR1, DR0 + 1, dr[1]), PLACE(UNIT_DR2, DR0 + 2, dr[2]),
	PLACE(UNIT_DR3, DR3, dr[3]), PLACE(UNIT_DR6, DR6, dr6), PLACE(UNIT_DR7, DR7, dr7),
	PLACE(UNIT_KERNEL_GS_BASE, KERNEL_GS_BASE, kernel_gs_base), PLACE(UNIT_PAT, PAT, pat),
	PLACE(UNIT_SYSENTER_CS, SYSENTER_CS, sysenter_cs), PLACE(UNIT_SYSENTER_EIP, SYSENTER_EIP, sysenter_eip),
	PLACE(UNIT_SYSENTER_ESP, SYSENTER_ESP, sysenter_esp), PLACE(UNIT_STAR, STAR, star), PLACE(UNIT_LSTAR, LSTAR, lstar),
	PLACE(UNIT_CSTAR, CSTAR, cstar), PLACE(UNIT_SFMASK, SFMASK, sfmask), PLACE(UNIT_TSC_AUX, TSC_AUX, tsc_aux),
};

struct gdb_unit_place gdb_unit_place(enum gdb_unit unit)
{
	if (unit < UNIT_RIP)
		return (struct gdb_unit_place){ HV_X64_REGISTER_RAX + unit, (u16)(AT(gpr) + 8 * unit), 8 };
	if (unit >= UNIT_ES && unit <= UNIT_GS)
		return (struct gdb_unit_place){ HV_X64_REGISTER_ES + unit - UNIT_ES,
						(u16)(AT(segment) + sizeof(struct hv_segment) * (unit - UNIT_ES)),
						sizeof(struct hv_segment) };
	return places[unit];
}

unsigned gdb_register_count(void)
{
	return ARRAY_SIZE(rows);
}

unsigned gdb_register_general(void)
{
	unsigned n = 0;

	while (rows[n].feature != SYSTEM)
		n++;
	return n;
}

const char *gdb_register_name(unsigned number)
{
	return number < ARRAY_SIZE(rows) ? rows[number].name : NULL;
}

size_t gdb_register_size(unsigned number)
{
	return number < ARRAY_SIZE(rows) ? rows[number].wire : 0;
}

unsigned gdb_register_class(unsigned number)
{
	return number < ARRAY_SIZE(rows) && BIT(rows[number].unit) & UNITS_SYSTEM ? GDB_SYSTEM : GDB_CORE;
}

/* FXSAVE has a bit a register (1: in use), gdb has the two bits of FSTENV; for those in use zero, valid, will do */
static bool is_tag(const struct row *r)
{
	return r->at == AT(fx) + 4;
}

static u16 full_tag(u8 abridged)
{
	u16 tag = 0;

	for (unsigned i = 0; i < 8; i++)
		tag |= (u16)((abridged >> i & 1 ? 0 : 3) << 2 * i);
	return tag;
}

static u8 abridged_tag(u16 tag)
{
	u8 bits = 0;

	for (unsigned i = 0; i < 8; i++)
		bits |= (u8)((tag >> 2 * i & 3) != 3 ? 1u << i : 0);
	return bits;
}

size_t gdb_register_get(const struct gdb_registers *regs, unsigned number, u8 ret[16])
{
	if (number >= ARRAY_SIZE(rows))
		return 0;
	const struct row *r = &rows[number];

	memset(ret, 0, 16);
	memcpy(ret, (const u8 *)regs + r->at, r->len);
	if (is_tag(r)) {
		u16 tag = full_tag(ret[0]);

		memcpy(ret, &tag, sizeof(tag));
	}
	return r->wire;
}

bool gdb_register_set(struct gdb_registers *regs, unsigned number, const u8 *value)
{
	if (number >= ARRAY_SIZE(rows) || rows[number].fixed)
		return false;
	const struct row *r = &rows[number];

	if (is_tag(r)) {
		u16 tag;

		memcpy(&tag, value, sizeof(tag));
		regs->fx[4] = abridged_tag(tag);
	} else {
		memcpy((u8 *)regs + r->at, value, r->len);
	}
	regs->changed |= BIT(r->unit);
	return true;
}

static void put_types(struct gdb_writer *w, enum feature feature)
{
	static const struct { const char *name; u8 bit; } flags[] = {
		{ "CF", 0 }, { "PF", 2 }, { "AF", 4 }, { "ZF", 6 }, { "SF", 7 }, { "TF", 8 }, { "IF", 9 }, { "DF", 10 },
		{ "OF", 11 }, { "NT", 14 }, { "RF", 16 }, { "VM", 17 }, { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 },
	};

	if (feature == CORE) {
		gdb_put(w, "<flags id=\"i386_eflags\" size=\"4\">");
		for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
			gdb_printf(w, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name, flags[i].bit, flags[i].bit);
		gdb_put(w, "</flags>");
	} else if (feature == SSE) {
		gdb_put(w, "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
			   "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
			   "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
			   "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
			   "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
			   "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
			   "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
			   "<field name=\"uint128\" type=\"uint128\"/></union>");
	}
}

void gdb_target_xml(struct gdb_writer *w)
{
	gdb_put(w, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		   "<target><architecture>i386:x86-64</architecture>");
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];

		if (!i || r->feature != rows[i - 1].feature) {
			gdb_printf(w, "%s<feature name=\"%s\">", i ? "</feature>" : "", features[r->feature]);
			put_types(w, r->feature);
		}
		gdb_printf(w, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"", r->name, r->wire * 8u, r->type, i);
		gdb_printf(w, r->group ? " group=\"%s\"/>" : "/>", r->group);
	}
	gdb_put(w, "</feature></target>");
}
