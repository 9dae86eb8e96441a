/*
 * A VP's registers as a debugger has them: one struct, and a table that says where in it each register of gdb's lies. Pure.
 */
#pragma once

#include "spec/hv_vtl.h"

/* what can be had, and goes back, together */
#define GDB_CORE 1u   /* general, segments, control, x87 and SSE: lies in pages that are shared with the hypervisor */
#define GDB_SYSTEM 2u /* the rest: a hypercall for each */

/* what of a VP's state is written back when a register of it was changed; a bit each in gdb_registers.changed */
enum gdb_unit {
	UNIT_GPR, /* then 15 more */
	UNIT_RIP = UNIT_GPR + HV_GPR_COUNT, UNIT_RFLAGS,
	UNIT_ES, UNIT_CS, UNIT_SS, UNIT_DS, UNIT_FS, UNIT_GS, /* as in hv_x64_register_name */
	UNIT_FX, UNIT_CR0, UNIT_CR2, UNIT_CR3, UNIT_CR4, UNIT_CR8, UNIT_EFER,
	UNIT_LDTR, UNIT_TR, UNIT_IDTR, UNIT_GDTR,
	UNIT_DR0, UNIT_DR1, UNIT_DR2, UNIT_DR3, UNIT_DR6, UNIT_DR7,
	UNIT_KERNEL_GS_BASE, UNIT_PAT, UNIT_SYSENTER_CS, UNIT_SYSENTER_EIP, UNIT_SYSENTER_ESP,
	UNIT_STAR, UNIT_LSTAR, UNIT_CSTAR, UNIT_SFMASK, UNIT_TSC_AUX,
	UNITS,
};
_Static_assert(UNITS <= 64, "a bit each");
#define UNITS_SYSTEM (~0ull << UNIT_LDTR)

struct gdb_registers {
	unsigned valid;       /* GDB_CORE | GDB_SYSTEM */
	u64 changed;          /* units that the VP has not got yet */
	u64 gpr[HV_GPR_COUNT]; /* enum hv_gpr */
	u64 rip, rflags;
	struct hv_segment segment[6]; /* ES CS SS DS FS GS */
	u64 cr0, cr2, cr3, cr4, cr8, efer;
	u8 fx[512];           /* FXSAVE64 */
	struct hv_segment ldtr, tr;
	struct hv_table idtr, gdtr;
	u64 dr[4], dr6, dr7;
	/* in the order of the units */
	u64 kernel_gs_base, pat, sysenter_cs, sysenter_eip, sysenter_esp, star, lstar, cstar, sfmask, tsc_aux;
};

/* a unit's place in the struct, and the hypervisor's name for it (enum of spec/hv_vtl.h) */
struct gdb_unit_place {
	u32 name;       /* 0: has none (UNIT_FX) */
	u16 at;
	u8 len;         /* 8, or 16 for segments and tables: as the hypervisor has them */
};
struct gdb_unit_place gdb_unit_place(enum gdb_unit unit);

struct gdb_writer;

/* numbers that the protocol names */
#define GDB_REGISTER_RBP 6u
#define GDB_REGISTER_RSP 7u
#define GDB_REGISTER_RIP 16u

unsigned gdb_register_count(void);
/* registers [0, this) make a `g` packet; the others are asked for one by one */
unsigned gdb_register_general(void);
/* NULL: no such register */
const char *gdb_register_name(unsigned number);
/* bytes on the wire; 0: no such register */
size_t gdb_register_size(unsigned number);
/* GDB_CORE or GDB_SYSTEM */
unsigned gdb_register_class(unsigned number);
/* its bytes as they go over the wire; returns how many, at most 16 */
size_t gdb_register_get(const struct gdb_registers *registers, unsigned number, u8 ret[16]);
/* and from there; marks the unit as changed. false: it cannot be changed */
bool gdb_register_set(struct gdb_registers *registers, unsigned number, const u8 *value) __must_check;
/* the target description (GDB manual, appendix G), added to what is being written */
void gdb_target_xml(struct gdb_writer *xml);
