#include "vmm/vp/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "spec/msr.h"
#include "vmm/vp/vp.h"

LOG_DOMAIN("watch");

#define LINES_A_SECOND 10

/* MSRs only: what a write of CR0, CR4, XCR0 or EFER changes beside the register, the processor knows best */
static const struct { const char *name; u32 msr, reg; u64 control; } watched[WATCH_REGISTERS] = {
	{ "star", MSR_STAR, HV_X64_REGISTER_STAR, HV_CR_INTERCEPT_STAR_WRITE },
	{ "lstar", MSR_LSTAR, HV_X64_REGISTER_LSTAR, HV_CR_INTERCEPT_LSTAR_WRITE },
	{ "cstar", MSR_CSTAR, HV_X64_REGISTER_CSTAR, HV_CR_INTERCEPT_CSTAR_WRITE },
	{ "sfmask", MSR_SFMASK, HV_X64_REGISTER_SFMASK, HV_CR_INTERCEPT_SFMASK_WRITE },
	{ "sysenter_cs", MSR_SYSENTER_CS, HV_X64_REGISTER_SYSENTER_CS, HV_CR_INTERCEPT_SYSENTER_CS_WRITE },
	{ "sysenter_esp", MSR_SYSENTER_ESP, HV_X64_REGISTER_SYSENTER_ESP, HV_CR_INTERCEPT_SYSENTER_ESP_WRITE },
	{ "sysenter_eip", MSR_SYSENTER_EIP, HV_X64_REGISTER_SYSENTER_EIP, HV_CR_INTERCEPT_SYSENTER_EIP_WRITE },
};

static u64 control_of(const char *name, size_t len)
{
	u64 all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
		if (strlen(watched[i].name) == len && !memcmp(watched[i].name, name, len))
			return watched[i].control;
		all |= watched[i].control;
	}
	return len == 3 && !memcmp(name, "all", 3) ? all : 0;
}

static void complain(const char *name, size_t len, char *why, size_t size)
{
	int n = snprintf(why, size, "no register that can be watched is called '%.*s': ", (int)MIN(len, (size_t)20), name);

	for (size_t i = 0; i < ARRAY_SIZE(watched) && (size_t)n < size; i++)
		n += snprintf(why + n, size - (size_t)n, "%s, ", watched[i].name);
	if ((size_t)n < size)
		snprintf(why + n, size - (size_t)n, "or all");
}

int watch_parse(const char *text, u64 *ret_control, char *why, size_t size)
{
	*ret_control = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		u64 control = control_of(text, len);

		if (!control) {
			complain(text, len, why, size);
			return -EINVAL;
		}
		*ret_control |= control;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

int watch_open(struct vp *vp)
{
	const struct hv_set_vp_registers head = { .partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF };
	const struct hv_register_assoc control = { .name = HV_X64_REGISTER_CR_INTERCEPT_CONTROL,
						   .value.u64[0] = vp->machine->watch };
	u16 status;
	int r = vp->machine->watch ? hcl_call_rep(vp->hcl.hcl, HVCALL_SET_VP_REGISTERS, &head, sizeof(head), &control,
						  sizeof(control), 1, &status) : 0;

	return r ? log_err(r, "VP %u: the hypervisor does not let writes of MSRs be watched (status %#x)", vp->index, status) : 0;
}

int watch_write(struct vp *vp, u32 msr, u64 value, u64 rip, bool *ret_fault)
{
	size_t i = 0;
	u64 before;
	int r;

	if (!vp->machine->watch)
		return 0;
	while (i < ARRAY_SIZE(watched) && watched[i].msr != msr)
		i++;
	if (i == ARRAY_SIZE(watched) || !(vp->machine->watch & watched[i].control))
		return 0;
	struct watch_register *w = &vp->watch.all[i];

	r = hcl_get64(&vp->hcl, watched[i].reg, &before);
	if (!r)
		r = hcl_set64(&vp->hcl, watched[i].reg, value);
	if (r && r != -EINVAL)
		return r;
	*ret_fault = r;
	w->writes++;
	if (log_limit_pass(&log_domain_here, &w->limit, LINES_A_SECOND))
		log_at(LOG_NOTICE, "VP %u: VTL0 writes %s at %#llx: %#llx, was %#llx%s", vp->index, watched[i].name,
		       (unsigned long long)rip, (unsigned long long)value, (unsigned long long)before, r ? "; refused" : "");
	if (r) {
		w->refused++;
		return 1;
	}
	w->last = value;
	w->last_rip = rip;
	return 1;
}

static void one_inspect(void *object, struct inspect *in)
{
	const struct watch_register *w = object;

	inspect_count(in, "writes", w->writes);
	inspect_count(in, "refused", w->refused);
	inspect_hex(in, "last", w->last);
	inspect_hex(in, "last_rip", w->last_rip);
}

void watch_inspect(void *object, struct inspect *in)
{
	struct vp *vp = object;

	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		if (vp->machine->watch & watched[i].control)
			inspect_child(in, watched[i].name, one_inspect, &vp->watch.all[i]);
}
