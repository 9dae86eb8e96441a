/* Synthetic MSRs and the local APIC's, per VTL. */
#include <string.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"
#include "spec/msr.h"

LOG_DOMAIN("msr");

#define CRASH_TEXT_MAX 4096

/* the page the guest runs hypercalls through: an OUT that always exits, at a place of its own for each entry */
static void fill_hypercall_page(struct vp *vp, enum vtl vtl, u64 msr)
{
	static const struct {
		u16 offset;
		u8 port;
	} entries[] = { { 0, HYPERCALL_PORT }, { VTL_CALL_OFFSET, VTL_CALL_PORT }, { VTL_RETURN_OFFSET, VTL_RETURN_PORT } };
	u8 *page = partition_memory(vp->partition, msr & HV_MSR_PAGE_GPA, PAGE_SIZE, vtl == VTL2);

	if (!(msr & HV_MSR_PAGE_ENABLE) || !page)
		return;
	memset(page, 0xcc, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		u8 code[3] = { 0xe6, entries[i].port, 0xc3 }; /* out imm8, al; ret */

		if (vtl == VTL0 && entries[i].port != HYPERCALL_PORT)
			continue; /* VTL0 has no VTL to call here */
		memcpy(page + entries[i].offset, code, sizeof(code));
	}
}

static void fill_tsc_page(struct vp *vp, enum vtl vtl, u64 msr)
{
	struct partition *p = vp->partition;
	struct hv_reference_tsc_page *page = partition_memory(p, msr & HV_MSR_PAGE_GPA, sizeof(*page), vtl == VTL2);

	if (!(msr & HV_MSR_PAGE_ENABLE) || !page)
		return;
	page->scale = p->tsc_scale;
	page->offset = 0;
	__atomic_store_n(&page->sequence, 1, __ATOMIC_RELEASE);
}

static void report_crash(struct vp *vp, enum vtl vtl, u64 control)
{
	const u64 *p = vp->per[vtl].crash;
	const char *text = "";
	u64 len = MIN(p[4], (u64)CRASH_TEXT_MAX);

	if (control & HV_CRASH_CTL_MESSAGE)
		text = partition_memory(vp->partition, p[3], len, vtl == VTL2);
	if (!text)
		len = 0;
	vp_event(vp, PARTITION_CRASH, vtl, "VTL%u reports a crash: parameters %#lx %#lx %#lx %#lx %#lx%s%.*s", vtl_number(vtl),
		 p[0], p[1], p[2], p[3], p[4], len ? "; " : "", (int)len, len ? text : "");
}

/* registers of what the partition does not have: local APIC, SynIC, synthetic timers */
static bool is_apic_msr(u32 msr)
{
	return msr == LAPIC_MSR_BASE || lapic_owns_msr(msr) || (msr >= HV_MSR_EOI && msr <= HV_MSR_STIMER3_COUNT);
}

/* VTL2 may take over its guest's crash reports too */
bool msr_left_to_vtl2(struct vp *vp, u32 msr)
{
	if (vp->partition->config.no_apic && is_apic_msr(msr))
		return true;
	return msr >= HV_MSR_CRASH_P0 && msr <= HV_MSR_CRASH_CTL && intercept_wanted(vp->partition, HV_INTERCEPT_MSR);
}

const struct cr_intercept cr_intercepts[CR_INTERCEPTS] = {
	{ MSR_STAR, HV_CR_INTERCEPT_STAR_WRITE }, { MSR_LSTAR, HV_CR_INTERCEPT_LSTAR_WRITE },
	{ MSR_CSTAR, HV_CR_INTERCEPT_CSTAR_WRITE }, { MSR_SFMASK, HV_CR_INTERCEPT_SFMASK_WRITE },
	{ MSR_SYSENTER_CS, HV_CR_INTERCEPT_SYSENTER_CS_WRITE }, { MSR_SYSENTER_ESP, HV_CR_INTERCEPT_SYSENTER_ESP_WRITE },
	{ MSR_SYSENTER_EIP, HV_CR_INTERCEPT_SYSENTER_EIP_WRITE },
};

static bool selects(u64 control, u32 msr)
{
	for (u32 i = 0; control && i < CR_INTERCEPTS; i++)
		if (cr_intercepts[i].msr == msr)
			return control & cr_intercepts[i].control;
	return false;
}

bool msr_write_wanted(const struct vp *vp, u32 msr)
{
	return selects(vp->cr_intercepts, msr);
}

u16 msr_set_cr_intercepts(struct vp *vp, u64 control)
{
	struct partition *p = vp->partition;
	u64 known = 0, before;
	u16 status = HV_STATUS_SUCCESS;

	for (u32 i = 0; i < CR_INTERCEPTS; i++)
		known |= cr_intercepts[i].control;
	if (control & ~known) {
		log_guest("VP %u: bits %#lx of the control of register intercepts are not offered here", vp->index,
			  control & ~known);
		return HV_STATUS_INVALID_REGISTER_VALUE;
	}
	pthread_mutex_lock(&p->lock);
	before = p->cr_intercepts;
	p->cr_intercepts |= control;
	if (p->cr_intercepts != before && kvm_filter_msrs(p, VTL0)) {
		p->cr_intercepts = before;
		status = HV_STATUS_INVALID_REGISTER_VALUE;
	}
	pthread_mutex_unlock(&p->lock);
	if (!status)
		vp->cr_intercepts = control;
	return status;
}

static bool apic_msr(struct vp *vp, enum vtl vtl, u32 msr, bool write, u64 *value)
{
	apic_sync_mode(vp, vtl);
	return lapic_owns_msr(msr) && lapic_msr(&vp->per[vtl].apic, msr, write, value);
}

bool msr_read(struct vp *vp, enum vtl vtl, u32 msr, u64 *ret)
{
	struct vp_vtl *per = &vp->per[vtl];
	struct vtl_wide *wide = &vp->partition->wide[vtl];

	switch (msr) {
	case HV_MSR_GUEST_OS_ID: *ret = atomic_load(&wide->guest_os_id); return true;
	case HV_MSR_HYPERCALL: *ret = atomic_load(&wide->hypercall); return true;
	case HV_MSR_VP_INDEX: *ret = vp->index; return true;
	case HV_MSR_TIME_REF_COUNT: *ret = partition_reference_time(vp->partition); return true;
	case HV_MSR_REFERENCE_TSC: *ret = atomic_load(&wide->reference_tsc); return true;
	case HV_MSR_TSC_FREQUENCY: *ret = vp->partition->tsc_khz * 1000; return true;
	case HV_MSR_VP_ASSIST_PAGE: *ret = per->assist_page; return true;
	case HV_MSR_SCONTROL ... HV_MSR_STIMER3_COUNT: return synic_read(&per->synic, msr, ret);
	case HV_MSR_CRASH_P0 ... HV_MSR_CRASH_P4: *ret = per->crash[msr - HV_MSR_CRASH_P0]; return true;
	case HV_MSR_CRASH_CTL: *ret = HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE; return true;
	case HV_MSR_TSC_INVARIANT: *ret = 1; return vtl == VTL0;
	}
	return apic_msr(vp, vtl, msr, false, ret);
}

static void set_assist_page(struct vp *vp, enum vtl vtl, u64 value)
{
	u32 *word = NULL;

	if (value & HV_MSR_PAGE_ENABLE)
		word = partition_memory(vp->partition, value & HV_MSR_PAGE_GPA, PAGE_SIZE, vtl == VTL2);
	vp->per[vtl].assist_page = value;
	lapic_set_assist(&vp->per[vtl].apic, word);
}

bool msr_write(struct vp *vp, enum vtl vtl, u32 msr, u64 value)
{
	struct vp_vtl *per = &vp->per[vtl];
	struct vtl_wide *wide = &vp->partition->wide[vtl];

	switch (msr) {
	case HV_MSR_GUEST_OS_ID:
		atomic_store(&wide->guest_os_id, value);
		if (vtl == VTL2 && !atomic_load(&vp->partition->boot_kernel))
			atomic_store(&vp->partition->boot_kernel, partition_reference_time(vp->partition));
		if (!value)
			atomic_store(&wide->hypercall, atomic_load(&wide->hypercall) & ~HV_MSR_PAGE_ENABLE);
		return true;
	case HV_MSR_HYPERCALL:
		if (!atomic_load(&wide->guest_os_id))
			value &= ~HV_MSR_PAGE_ENABLE; /* TLFS: the page stays disabled until the guest says who it is */
		atomic_store(&wide->hypercall, value);
		fill_hypercall_page(vp, vtl, value);
		return true;
	case HV_MSR_REFERENCE_TSC:
		atomic_store(&wide->reference_tsc, value);
		fill_tsc_page(vp, vtl, value);
		return true;
	case HV_MSR_VP_ASSIST_PAGE: set_assist_page(vp, vtl, value); return true;
	case HV_MSR_SCONTROL ... HV_MSR_STIMER3_COUNT: return synic_write(&per->synic, msr, value);
	case HV_MSR_CRASH_P0 ... HV_MSR_CRASH_P4: per->crash[msr - HV_MSR_CRASH_P0] = value; return true;
	case HV_MSR_CRASH_CTL: report_crash(vp, vtl, value); return true;
	case HV_MSR_TSC_INVARIANT: return vtl == VTL0;
	case HV_MSR_REENLIGHTENMENT ... HV_MSR_TSC_EMULATION_STATUS: return true; /* the partition never migrates */
	}
	if (vtl == VTL0 && selects(vp->partition->cr_intercepts, msr)) /* asked for on another VP */
		return !kvm_set_msr(&per->vcpu, msr, value);
	return apic_msr(vp, vtl, msr, true, &value);
}
