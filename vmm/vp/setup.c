/* What the worker tells the hypervisor before VTL0 first runs (facts B9) */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/vp/vp.h"

LOG_DOMAIN("setup");

#define READ_WRITE (HV_ACCESS_READ | HV_ACCESS_WRITE)

static int install(struct hcl *hcl, u32 type, u32 access, u64 parameter, u16 *ret_status)
{
	struct hv_install_intercept in = { .partition_id = HV_PARTITION_ID_SELF, .access_type = access, .intercept_type = type,
					   .parameter = parameter };

	return hcl_call(hcl, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), ret_status);
}

/* a hypervisor without ranges takes them one by one */
static int install_ports(struct hcl *hcl)
{
	u16 status;
	int r = install(hcl, HV_INTERCEPT_IO_PORT_RANGE, READ_WRITE, 0xffff0000u, &status);

	if (r != -EIO)
		return r;
	log_at(LOG_INFO, "no port range intercepts (status %#x): installing 65536 single ones", status);
	for (u32 port = 0; port < 0x10000 && (!r || port == 0); port++)
		r = install(hcl, HV_INTERCEPT_IO_PORT, READ_WRITE, port, &status);
	return r;
}

int vp_install_intercepts(struct hcl *hcl)
{
	static const struct { u32 type, access; const char *name; bool needed; } rest[] = {
		{ HV_INTERCEPT_MSR, READ_WRITE, "MSR", true },
		{ HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, HV_ACCESS_EXECUTE, "unknown SynIC connection", true },
		{ HV_INTERCEPT_APIC_EOI, HV_ACCESS_WRITE, "APIC EOI", true },
		{ HV_INTERCEPT_RETARGET_UNKNOWN_DEVICE, HV_ACCESS_EXECUTE, "retarget of an unknown device", false },
	};
	int r = install_ports(hcl);

	if (r)
		return log_err(r, "port intercepts");
	for (size_t i = 0; i < ARRAY_SIZE(rest); i++) {
		u16 status;

		r = install(hcl, rest[i].type, rest[i].access, 0, &status);
		if (r && rest[i].needed)
			return log_err(r, "intercept on %s: status %#x", rest[i].name, status);
		if (r)
			log_at(LOG_WARN, "no intercept on %s: status %#x", rest[i].name, status);
	}
	return 0;
}

void vp_register_cpuid(struct hcl *hcl)
{
	/* the paravisor's own leaves are not VTL0's business (TLFS 2.4: 40000080h is the nested range) */
	static const u32 hidden[] = { 0x40000080, 0x40000081, 0x40000082 };

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
		struct hv_register_intercept_result in = {
			.partition_id = HV_PARTITION_ID_SELF,
			.vp_index = HV_VP_INDEX_SELF,
			.intercept_type = HV_INTERCEPT_CPUID,
			.parameters = { .eax = hidden[i], .always_override = 1,
					.result = { .eax_mask = ~0u, .ebx_mask = ~0u, .ecx_mask = ~0u, .edx_mask = ~0u } },
		};
		u16 status;
		int r = hcl_call(hcl, HVCALL_REGISTER_INTERCEPT_RESULT, &in, sizeof(in), &status);

		if (r) {
			log_at(LOG_WARN, "CPUID results cannot be registered (%d, status %#x): VTL0 sees the host's", r, status);
			return;
		}
	}
}

int vp_assert_interrupt(struct hcl *hcl, const struct ioapic_message *m)
{
	struct hv_assert_virtual_interrupt in = {
		.partition_id = HV_PARTITION_ID_SELF,
		.interrupt_type = m->delivery_mode,
		.control = (u32)((m->level ? HV_INTERRUPT_LEVEL : 0) | (m->logical ? HV_INTERRUPT_LOGICAL : 0)),
		.destination = m->destination,
		.vector = m->vector,
	};
	u16 status;
	int r = hcl_call(hcl, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &in, sizeof(in), &status);

	if (r)
		log_guest("interrupt vector %#x to %#x: status %#x", m->vector, m->destination, status);
	return r;
}
