/*
 * A virtual processor as saved state: what VTL0 has for itself, from the hypervisor; what the VTLs share, from the run page; and
 * the local APIC where it is played here. Not in it: registers beyond FXSAVE (they stay in the processor, VTL2 does not use
 * them), interrupt shadow and NMI mask, MTRRs and the hypervisor's own APIC and SynIC, which no public register names.
 */
#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

#define TAG_VP STATE_TAG('V', 'P', ' ', ' ')
#define TAG_SHARED STATE_TAG('S', 'H', 'A', 'R')
#define TAG_PRIVATE STATE_TAG('P', 'R', 'I', 'V')
#define TAG_RUN STATE_TAG('R', 'U', 'N', ' ')
#define TAG_APIC STATE_TAG('A', 'P', 'I', 'C')

/* in the order in which they can be set: CR0 and EFER before what depends on them */
static const u32 private_registers[] = {
	HV_X64_REGISTER_CR0, HV_X64_REGISTER_EFER, HV_X64_REGISTER_CR4, HV_X64_REGISTER_CR3, HV_X64_REGISTER_CR8,
	HV_X64_REGISTER_ES, HV_X64_REGISTER_CS, HV_X64_REGISTER_SS, HV_X64_REGISTER_DS, HV_X64_REGISTER_FS, HV_X64_REGISTER_GS,
	HV_X64_REGISTER_LDTR, HV_X64_REGISTER_TR, HV_X64_REGISTER_IDTR, HV_X64_REGISTER_GDTR,
	HV_X64_REGISTER_RSP, HV_X64_REGISTER_RIP, HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_DR7,
	HV_X64_REGISTER_KERNEL_GS_BASE, HV_X64_REGISTER_PAT, HV_X64_REGISTER_SYSENTER_CS, HV_X64_REGISTER_SYSENTER_EIP,
	HV_X64_REGISTER_SYSENTER_ESP, HV_X64_REGISTER_STAR, HV_X64_REGISTER_LSTAR, HV_X64_REGISTER_CSTAR,
	HV_X64_REGISTER_SFMASK, HV_X64_REGISTER_TSC_AUX,
	HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_PENDING_EVENT0,
	HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
};

/* beside what the run page has */
static const u32 shared_registers[] = {
	HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR0 + 1, HV_X64_REGISTER_DR0 + 2, HV_X64_REGISTER_DR3, HV_X64_REGISTER_DR6,
};

static void save_private(struct vp *vp, struct saver *s)
{
	size_t mark = saver_open(s, TAG_PRIVATE, 1, 0);
	union hv_register_value value;

	for (size_t i = 0; i < ARRAY_SIZE(private_registers); i++) {
		int r = hcl_get(&vp->hcl, private_registers[i], &value);

		if (r) {
			s->error = s->error ? s->error : log_err(r, "VP %u: register %#x", vp->index, private_registers[i]);
			break;
		}
		saver_u32(s, private_registers[i]);
		saver_put(s, &value, sizeof(value));
	}
	saver_close(s, mark);
}

static int restore_private(struct vp *vp, struct bytes b)
{
	union hv_register_value value;
	u32 name;

	while (b.left) {
		if (!bytes_u32(&b, &name) || !bytes_copy(&b, &value, sizeof(value)))
			return -EPROTO;
		int r = hcl_set(&vp->hcl, name, &value);

		if (r)
			return log_err(r, "VP %u: register %#x", vp->index, name);
	}
	return 0;
}

static void save_shared(struct vp *vp, struct saver *s)
{
	size_t mark = saver_open(s, TAG_SHARED, 1, 0);
	union hv_register_value value;

	saver_put(s, &vp->hcl.run->context, sizeof(vp->hcl.run->context));
	for (size_t i = 0; i < ARRAY_SIZE(shared_registers); i++) {
		int r = hcl_get(&vp->hcl, shared_registers[i], &value);

		s->error = s->error ? s->error : r;
		saver_u64(s, value.u64[0]);
	}
	saver_close(s, mark);
}

static int restore_shared(struct vp *vp, struct bytes b)
{
	u64 value;
	int r = 0;

	if (!bytes_copy(&b, &vp->hcl.run->context, sizeof(vp->hcl.run->context)))
		return -EPROTO;
	for (size_t i = 0; !r && i < ARRAY_SIZE(shared_registers); i++)
		r = bytes_u64(&b, &value) ? hcl_set64(&vp->hcl, shared_registers[i], value) : -EPROTO;
	return r;
}

void vp_save(struct vp *vp, struct saver *s)
{
	size_t mark = saver_open(s, TAG_VP, 1, 0), part;

	saver_u32(s, vp->index);
	int r = hcl_flush(&vp->hcl);

	s->error = s->error ? s->error : r;
	save_private(vp, s);
	save_shared(vp, s);
	part = saver_open(s, TAG_RUN, 1, 0);
	saver_u8(s, vp->halted);
	saver_u8(s, vp->wait_for_sipi);
	saver_u8(s, vp->event_queued);
	saver_u64(s, vp->window);
	saver_u32(s, atomic_load(&vp->wanted_sints));
	saver_close(s, part);
	if (vp->apic) {
		part = saver_open(s, TAG_APIC, 1, 0);
		vapic_save(vp->apic, s);
		saver_close(s, part);
	}
	saver_close(s, mark);
}

static int restore_run(struct vp *vp, struct bytes b)
{
	u8 halted, waits, queued;
	u32 sints;

	if (!bytes_u8(&b, &halted) || !bytes_u8(&b, &waits) || !bytes_u8(&b, &queued) || !bytes_u64(&b, &vp->window) ||
	    !bytes_u32(&b, &sints))
		return -EPROTO;
	vp->halted = halted;
	vp->wait_for_sipi = waits;
	vp->event_queued = queued;
	atomic_fetch_or(&vp->wanted_sints, sints); /* VMBus may have asked for more meanwhile */
	return 0;
}

/* the records of one VP: what follows the index */
static int restore_one(struct vp *vp, struct loader l)
{
	struct record record;
	int r = loader_find(l, TAG_PRIVATE, 1, &record);

	if (!r)
		r = restore_private(vp, record.body);
	if (!r)
		r = loader_find(l, TAG_SHARED, 1, &record);
	if (!r)
		r = restore_shared(vp, record.body);
	if (!r)
		r = loader_find(l, TAG_RUN, 1, &record);
	if (!r)
		r = restore_run(vp, record.body);
	if (r || !vp->apic)
		return r;
	r = loader_find(l, TAG_APIC, 1, &record);
	return r ? r : vapic_restore(vp->apic, loader_within(&record));
}

int vp_restore(struct vp *vp, struct loader l)
{
	struct record record;
	u32 index;
	int r;

	while ((r = loader_next(&l, &record)) > 0) {
		if (record.tag != TAG_VP)
			continue;
		if (record.version != 1 || !bytes_u32(&record.body, &index))
			return -ENOTSUP;
		if (index == vp->index)
			return restore_one(vp, (struct loader){ record.body });
	}
	return r ? r : -ENOENT;
}
