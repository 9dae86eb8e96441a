/* MSRs the hypervisor does not play for VTL0: a short list Hyper-V answers, the crash MSRs, and #GP for the rest */
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "spec/hv_msr.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

#define CRASH_TEXT_MAX 4096u /* one page, as Linux sends it */

struct benign {
	u32 msr;
	u64 value;
	bool writable; /* writes are ignored */
};

/* SDM volume 4; AMD APM volume 2, appendix A. What guests read without expecting a fault. */
static const struct benign benign[] = {
	{ 0x17, 0, false },           /* IA32_PLATFORM_ID */
	{ 0x34, 0, false },           /* SMI count */
	{ 0x3a, 1, false },           /* IA32_FEATURE_CONTROL: locked, VMX off */
	{ 0x79, 0, true },            /* microcode update trigger */
	{ 0x8b, 0xffffffff00000000ull, true }, /* microcode revision */
	{ 0xe7, 0, true },            /* MPERF */
	{ 0xe8, 0, true },            /* APERF */
	{ 0x140, 0, true },           /* MISC_FEATURES_ENABLES */
	{ 0x1a0, 1, true },           /* IA32_MISC_ENABLE: fast strings */
	{ 0x1d9, 0, true },           /* DEBUGCTL */
	{ 0x611, 0, false },          /* RAPL energy */
	{ 0x639, 0, false }, { 0x641, 0, false }, { 0x619, 0, false }, { 0x606, 0, false },
	{ 0xc0010010, 0, true },      /* AMD SYSCFG */
	{ 0xc0010015, 0, true },      /* AMD HWCR */
	{ 0xc0010055, 0, true },      /* AMD interrupt pending */
	{ 0xc001001f, 0, true },      /* AMD NB_CFG */
	{ 0xc0011020, 0, true }, { 0xc0011022, 0, true }, { 0xc0011023, 0, true },
	{ 0xc0011029, 0, true }, { 0xc001102a, 0, true },
};

/* the guest's words, line by line; what is no text is shown as a dot */
static void log_crash_text(struct vp *vp, u64 gpa, u64 len)
{
	char text[CRASH_TEXT_MAX + 1], *rest = text;

	len = MIN(len, (u64)CRASH_TEXT_MAX);
	if (guest_read(vp->machine->guest, gpa, text, len)) {
		log_at(LOG_NOTICE, "VP %u: the crash text at %#llx is not in the guest's memory", vp->index,
		       (unsigned long long)gpa);
		return;
	}
	text[len] = 0;
	for (u64 i = 0; i < len && text[i]; i++)
		if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~'))
			text[i] = '.';
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			log_at(LOG_NOTICE, "guest: %s", line);
}

/* at most one a second: a guest may write these registers as often as it likes */
static void report_crash(struct vp *vp, u64 control)
{
	static struct log_limit limit;
	struct machine *m = vp->machine;
	struct vp_registers registers = { 0 };
	const u64 *p = m->crash;
	char text[200];

	vp->crashes++;
	if (!log_limit_pass(&log_domain_here, &limit, 1))
		return;
	for (u32 i = 0; i < ARRAY_SIZE(m->crash); i++)
		registers.all[registers.count++] = (struct get_register){ HV_REGISTER_GUEST_CRASH_P0 + i, { p[i] } };
	registers.all[registers.count++] = (struct get_register){ HV_REGISTER_GUEST_CRASH_CTL, { control } };
	snprintf(text, sizeof(text), "guest crash %#llx %#llx %#llx %#llx %#llx", (unsigned long long)p[0],
		 (unsigned long long)p[1], (unsigned long long)p[2], (unsigned long long)p[3], (unsigned long long)p[4]);
	log_at(LOG_NOTICE, "VP %u: %s", vp->index, text);
	if (control & HV_CRASH_CTL_MESSAGE)
		log_crash_text(vp, p[3], p[4]);
	m->event(m, VP_GUEST_CRASH, vp->index, text, &registers);
}

static bool crash_msr(struct vp *vp, u32 msr, bool write, u64 *value)
{
	struct machine *m = vp->machine;

	if (msr >= HV_MSR_CRASH_P0 && msr <= HV_MSR_CRASH_P4) {
		if (write)
			__atomic_store_n(&m->crash[msr - HV_MSR_CRASH_P0], *value, __ATOMIC_RELAXED);
		else
			*value = __atomic_load_n(&m->crash[msr - HV_MSR_CRASH_P0], __ATOMIC_RELAXED);
		return true;
	}
	if (msr != HV_MSR_CRASH_CTL)
		return false;
	if (!write)
		*value = HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE;
	else if (*value & HV_CRASH_CTL_NOTIFY)
		report_crash(vp, *value);
	return true;
}

/* a register of what is played here instead of by the hypervisor; what follows from a change is done. 1: was one, answered. */
static int apic_msr(struct vp *vp, u32 msr, bool write, u64 *value, bool *ret_fault)
{
	int r = 0;

	if (!vp->apic)
		return 0;
	interrupt_take_tpr(vp);
	enum vapic_result result = vapic_msr(vp->apic, msr, write, value);

	if (result == VAPIC_NOT_MINE)
		return 0;
	*ret_fault = result == VAPIC_FAULT;
	if (write && !*ret_fault)
		r = interrupt_give_tpr(vp);
	if (write && (msr == HV_MSR_EOM || msr == HV_MSR_SIMP))
		interrupt_look_at_slots(vp);
	return r ? r : 1;
}

static bool lookup(struct vp *vp, u32 msr, bool write, u64 *value)
{
	if (crash_msr(vp, msr, write, value))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(benign); i++) {
		if (benign[i].msr != msr)
			continue;
		*value = write ? *value : benign[i].value;
		return !write || benign[i].writable;
	}
	return false;
}

int exit_msr(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_msr_intercept *m = (const void *)msg->payload;
	bool write = m->header.access_type == HV_INTERCEPT_ACCESS_WRITE;
	u64 value = (u32)hcl_gpr(&vp->hcl, HV_RAX) | hcl_gpr(&vp->hcl, HV_RDX) << 32;

	bool fault = false;
	int watched = write ? watch_write(vp, m->msr, value, m->header.rip, &fault) : 0;
	int r = watched ? watched : apic_msr(vp, m->msr, write, &value, &fault);

	if (r < 0)
		return r;
	if (watched && fault)
		return vp_inject(vp, VECTOR_GP, true, 0, 0);
	if (fault || (!r && !lookup(vp, m->msr, write, &value))) {
		vp->unknown_msrs++;
		vp->last_unknown_msr = m->msr;
		log_at(LOG_DEBUG, "VP %u: %s of MSR %#x", vp->index, write ? "write" : "read", m->msr);
		return vp_inject(vp, VECTOR_GP, true, 0, 0);
	}
	if (!write) {
		hcl_set_gpr(&vp->hcl, HV_RAX, (u32)value);
		hcl_set_gpr(&vp->hcl, HV_RDX, value >> 32);
	}
	return vp_skip(vp, &m->header, vp_length(&m->header, 2)); /* 0F 30, 0F 32, and perhaps prefixes */
}
