/* A held VP's registers for a debugger: read, written, and DR0 to DR7 lent to it */
#include "vmm/vp/debug.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("debug");

#define RFLAGS_FIXED BIT(1)
#define DR7_FIXED BIT(10)

/* ---- registers */
static void read_core(struct vp *vp, const struct hv_register_page *s, struct gdb_registers *ret)
{
	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		ret->gpr[i] = hcl_gpr(&vp->hcl, i);
	ret->rip = s->rip;
	ret->rflags = s->rflags;
	for (unsigned i = 0; i < ARRAY_SIZE(ret->segment); i++)
		ret->segment[i] = vp_segment(s, i);
	ret->cr0 = s->cr0;
	ret->cr2 = vp->hcl.run->context.cr2;
	ret->cr3 = s->cr3;
	ret->cr4 = s->cr4;
	ret->cr8 = s->cr8;
	ret->efer = s->efer;
	memcpy(ret->fx, vp->hcl.run->context.fx_state, sizeof(ret->fx));
}

static int read_system(struct vp *vp, struct gdb_registers *ret)
{
	union hv_register_value value;
	int r;

	for (enum gdb_unit unit = UNIT_LDTR; unit < UNITS; unit++) {
		const struct gdb_unit_place place = gdb_unit_place(unit);

		r = hcl_get(&vp->hcl, place.name, &value);
		if (r)
			return r;
		memcpy((u8 *)ret + place.at, &value, place.len);
	}
	if (vp->debug.hardware) {
		memcpy(ret->dr, vp->debug.own_dr, sizeof(ret->dr));
		ret->dr7 = vp->debug.own_dr7;
	}
	return 0;
}

int vp_debug_read(struct vp *vp, unsigned classes, struct gdb_registers *ret)
{
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	int r = 0;

	if (!s)
		return -EIO;
	if (classes & GDB_CORE)
		read_core(vp, s, ret);
	if (classes & GDB_SYSTEM)
		r = read_system(vp, ret);
	if (!r)
		ret->valid |= classes;
	return r;
}

int vp_debug_write(struct vp *vp, struct gdb_registers *regs)
{
	int r = 0;

	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		if (regs->changed & BIT(UNIT_GPR + i))
			hcl_set_gpr(&vp->hcl, i, regs->gpr[i]);
	if (regs->changed & BIT(UNIT_FX))
		memcpy(vp->hcl.run->context.fx_state, regs->fx, sizeof(regs->fx));
	if (regs->changed & BIT(UNIT_CR2))
		vp->hcl.run->context.cr2 = regs->cr2;
	for (enum gdb_unit unit = UNIT_ES; !r && unit < UNITS; unit++) {
		const struct gdb_unit_place place = gdb_unit_place(unit);
		union hv_register_value value = { 0 };

		if (!(regs->changed & BIT(unit)) || unit == UNIT_FX || unit == UNIT_CR2)
			continue;
		memcpy(&value, (u8 *)regs + place.at, place.len);
		r = hcl_set(&vp->hcl, place.name, &value);
	}
	if (!r && regs->changed & BIT(UNIT_RIP))
		r = hcl_set_rip(&vp->hcl, regs->rip);
	if (!r && regs->changed & BIT(UNIT_RIP))
		r = debug_wake(vp); /* to go on there means now */
	if (!r && regs->changed & BIT(UNIT_RFLAGS))
		r = hcl_set_rflags(&vp->hcl, regs->rflags | RFLAGS_FIXED);
	regs->changed = 0;
	return r ? log_err(r, "VP %u: a register that the debugger sets", vp->index) : 0;
}

/* ---- debug registers. DR0 to DR3 are shared between the VTLs, DR7 is not: VTL2 does not trap on them. */
static int set_debug_registers(struct vp *vp, const u64 address[4], u64 dr7)
{
	int r = hcl_set64(&vp->hcl, HV_X64_REGISTER_DR7, DR7_FIXED);

	for (u32 i = 0; !r && i < 4; i++)
		r = hcl_set64(&vp->hcl, HV_X64_REGISTER_DR0 + i, address[i]);
	return r ? r : hcl_set64(&vp->hcl, HV_X64_REGISTER_DR7, dr7);
}

int vp_debug_hardware(struct vp *vp, const struct vp_hardware *wanted)
{
	struct vp_debug *d = &vp->debug;
	int r = 0;

	if (!memcmp(wanted, &d->wanted, sizeof(*wanted)))
		return 0;
	if (!d->hardware) {
		for (u32 i = 0; !r && i < 4; i++)
			r = hcl_get64(&vp->hcl, HV_X64_REGISTER_DR0 + i, &d->own_dr[i]);
		if (!r)
			r = hcl_get64(&vp->hcl, HV_X64_REGISTER_DR7, &d->own_dr7);
	}
	if (!r)
		r = wanted->dr7 ? set_debug_registers(vp, wanted->address, wanted->dr7 | DR7_FIXED) :
				  set_debug_registers(vp, d->own_dr, d->own_dr7);
	if (r) { /* a hypervisor may refuse to set them */
		const struct vp_hardware *old = d->hardware ? &d->wanted : &(struct vp_hardware){ .dr7 = d->own_dr7 };

		if (set_debug_registers(vp, d->hardware ? old->address : d->own_dr, old->dr7 | DR7_FIXED))
			log_at(LOG_WARN, "VP %u: debug registers are lost", vp->index);
		return log_err(r, "VP %u: debug registers", vp->index);
	}
	d->hardware = wanted->dr7;
	d->wanted = *wanted;
	return 0;
}
