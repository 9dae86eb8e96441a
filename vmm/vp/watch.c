#include "vmm/vp/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vp/vp.h"

LOG_DOMAIN("watch");

#define LINES_A_SECOND 10

/* no CR0, CR4 and EFER: their writes have rules that only the processor knows all of */
static const struct { const char *name; u32 msr, reg; u64 control; } watched[WATCH_REGISTERS] = {
	{ "star", 0xc0000081, HV_X64_REGISTER_STAR, HV_CR_INTERCEPT_STAR_WRITE },
	{ "lstar", 0xc0000082, HV_X64_REGISTER_LSTAR, HV_CR_INTERCEPT_LSTAR_WRITE },
	{ "cstar", 0xc0000083, HV_X64_REGISTER_CSTAR, HV_CR_INTERCEPT_CSTAR_WRITE },
	{ "sfmask", 0xc0000084, HV_X64_REGISTER_SFMASK, HV_CR_INTERCEPT_SFMASK_WRITE },
	{ "tsc_aux", 0xc0000103, HV_X64_REGISTER_TSC_AUX, HV_CR_INTERCEPT_TSC_AUX_WRITE },
	{ "sysenter_cs", 0x174, HV_X64_REGISTER_SYSENTER_CS, HV_CR_INTERCEPT_SYSENTER_CS_WRITE },
	{ "sysenter_esp", 0x175, HV_X64_REGISTER_SYSENTER_ESP, HV_CR_INTERCEPT_SYSENTER_ESP_WRITE },
	{ "sysenter_eip", 0x176, HV_X64_REGISTER_SYSENTER_EIP, HV_CR_INTERCEPT_SYSENTER_EIP_WRITE },
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

int watch_parse(const char *text, u64 *ret_control, char *why, size_t size)
{
	*ret_control = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		u64 control = control_of(text, len);

		if (!control) {
			snprintf(why, size, "no register that can be watched is called '%.*s': star, lstar, cstar, sfmask, "
				 "tsc_aux, sysenter_cs, sysenter_esp, sysenter_eip, or all", (int)MIN(len, (size_t)20), text);
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

bool watch_write(struct vp *vp, u32 msr, u64 value, u64 rip, bool *ret_fault)
{
	static struct log_limit limit;
	struct watch_counts *c = &vp->watch;
	u64 before = 0;

	for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
		if (watched[i].msr != msr)
			continue;
		int r = hcl_get64(&vp->hcl, watched[i].reg, &before);

		*ret_fault = r || hcl_set64(&vp->hcl, watched[i].reg, value);
		c->writes[i]++;
		c->refused[i] += *ret_fault;
		if (!*ret_fault)
			c->last[i] = value;
		if (log_limit_pass(&log_domain_here, &limit, LINES_A_SECOND))
			log_at(LOG_NOTICE, "VP %u: VTL0 writes %s at %#llx: %#llx, was %#llx%s", vp->index, watched[i].name,
			       (unsigned long long)rip, (unsigned long long)value, (unsigned long long)before,
			       *ret_fault ? "; refused" : "");
		return true;
	}
	return false;
}

struct one {
	const struct watch_counts *counts;
	size_t i;
};

static void one_inspect(void *object, struct inspect *in)
{
	const struct one *one = object;

	inspect_count(in, "writes", one->counts->writes[one->i]);
	inspect_count(in, "refused", one->counts->refused[one->i]);
	inspect_hex(in, "last", one->counts->last[one->i]);
}

void watch_inspect(void *object, struct inspect *in)
{
	const struct vp *vp = object;

	for (size_t i = 0; i < ARRAY_SIZE(watched); i++)
		if (vp->machine->watch & watched[i].control || vp->watch.writes[i])
			inspect_child(in, watched[i].name, one_inspect, &(struct one){ &vp->watch, i });
}
