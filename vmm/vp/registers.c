/* A VP's registers for a report: by name, as many as can be had */
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "vmm/vp/internal.h"

static void add(struct vp_registers *r, u32 name, const void *value, size_t len)
{
	if (r->count == VP_REGISTERS_MAX)
		return;
	struct get_register *to = &r->all[r->count++];

	*to = (struct get_register){ .name = name };
	memcpy(to->value, value, len);
}

static void add_state(struct vp_registers *r, const struct hv_register_page *s)
{
	const struct { u32 name; u64 value; } words[] = {
		{ HV_X64_REGISTER_RIP, s->rip }, { HV_X64_REGISTER_RFLAGS, s->rflags }, { HV_X64_REGISTER_CR0, s->cr0 },
		{ HV_X64_REGISTER_CR3, s->cr3 }, { HV_X64_REGISTER_CR4, s->cr4 }, { HV_X64_REGISTER_EFER, s->efer },
	};
	const struct hv_segment segments[] = { s->es, s->cs, s->ss, s->ds, s->fs, s->gs };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		add(r, words[i].name, &words[i].value, sizeof(words[i].value));
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		add(r, HV_X64_REGISTER_ES + (u32)i, &segments[i], sizeof(segments[i]));
}

static int set_all(struct hcl_vp *vp, u32 first, u32 last, const union hv_register_value *value)
{
	int r = 0;

	for (u32 name = first; !r && name <= last; name++)
		r = hcl_set(vp, name, value);
	return r;
}

int vp_enable_x2apic(struct vp *vp)
{
	u64 base;
	int r;

	if (vp->apic) {
		struct lapic *a = vapic_lapic(vp->apic);

		return lapic_set_base(a, lapic_base(a) | LAPIC_BASE_X2APIC) ? 0 : -EINVAL;
	}
	r = hcl_get64(&vp->hcl, HV_X64_REGISTER_APIC_BASE, &base);
	return r ? r : hcl_set64(&vp->hcl, HV_X64_REGISTER_APIC_BASE, base | LAPIC_BASE_X2APIC);
}

int vp_reset_registers(struct vp *vp)
{
	static const struct { u32 name; u64 value; } words[] = {
		{ HV_X64_REGISTER_CR0, 0x60000010 }, { HV_X64_REGISTER_EFER, 0 }, { HV_X64_REGISTER_CR2, 0 },
		{ HV_X64_REGISTER_CR3, 0 }, { HV_X64_REGISTER_CR4, 0 }, { HV_X64_REGISTER_CR8, 0 },
		{ HV_X64_REGISTER_DR6, 0xffff0ff0 }, { HV_X64_REGISTER_DR7, 0x400 },
		{ HV_X64_REGISTER_RIP, 0xfff0 }, { HV_X64_REGISTER_RFLAGS, 2 },
		{ HV_REGISTER_PENDING_EVENT0, 0 }, { HV_REGISTER_PENDING_INTERRUPTION, 0 },
	};
	static const union hv_register_value zero, table = { .table = { .limit = 0xffff } },
		data = { .segment = { .limit = 0xffff, .attributes = 0x93 } },
		code = { .segment = { .base = 0xffff0000, .limit = 0xffff, .selector = 0xf000, .attributes = 0x9b } },
		ldt = { .segment = { .limit = 0xffff, .attributes = 0x82 } },
		task = { .segment = { .limit = 0xffff, .attributes = 0x8b } };
	struct hcl_vp *h = &vp->hcl;
	u32 a, b, c, d;
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(words); i++)
		r = hcl_set64(h, words[i].name, words[i].value);
	if (r || (r = set_all(h, HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR3, &zero)) ||
	    (r = set_all(h, HV_X64_REGISTER_ES, HV_X64_REGISTER_GS, &data)) || (r = hcl_set(h, HV_X64_REGISTER_CS, &code)) ||
	    (r = hcl_set(h, HV_X64_REGISTER_LDTR, &ldt)) || (r = hcl_set(h, HV_X64_REGISTER_TR, &task)) ||
	    (r = set_all(h, HV_X64_REGISTER_IDTR, HV_X64_REGISTER_GDTR, &table)))
		return r;
	__cpuid(1, a, b, c, d); /* RDX holds the processor's signature */
	for (u32 i = 0; i < HV_GPR_COUNT; i++)
		hcl_set_gpr(h, i, i == HV_RDX ? a : 0);
	return 0;
}

void vp_read_registers(struct vp *vp, struct vp_registers *ret)
{
	/* in no page: a hypercall each */
	static const u32 others[] = { HV_X64_REGISTER_CR2, HV_X64_REGISTER_LDTR, HV_X64_REGISTER_TR, HV_X64_REGISTER_IDTR,
				      HV_X64_REGISTER_GDTR };
	const struct hv_register_page *state = hcl_state(&vp->hcl);
	union hv_register_value value;

	ret->count = 0;
	if (state)
		add_state(ret, state);
	for (u32 i = 0; i < HV_GPR_COUNT; i++) {
		u64 gpr = hcl_gpr(&vp->hcl, i);

		add(ret, HV_X64_REGISTER_RAX + i, &gpr, sizeof(gpr));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!hcl_get(&vp->hcl, others[i], &value))
			add(ret, others[i], &value, sizeof(value));
}
