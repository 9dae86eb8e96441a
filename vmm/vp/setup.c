/* What the worker tells the hypervisor before VTL0 first runs (facts B9) */
#include <errno.h>

#include "lib/log/log.h"
#include "spec/hv_msr.h"
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

int vp_install_intercepts(struct hcl *hcl, bool apic)
{
	const struct { u32 type, access; const char *name; bool needed; } rest[] = {
		{ HV_INTERCEPT_MSR, READ_WRITE, "MSR", true },
		{ HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, HV_ACCESS_EXECUTE, "unknown SynIC connection", true },
		/* without an APIC of its own the hypervisor knows of no EOI */
		{ HV_INTERCEPT_APIC_EOI, HV_ACCESS_WRITE, "APIC EOI", !apic },
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

#define ALL { ~0u, ~0u, ~0u, ~0u }
#define ECX1_X2APIC (u32)BIT(21)
#define ECX1_TSC_DEADLINE (u32)BIT(24)
#define EDX1_APIC (u32)BIT(9)
#define EAX6_ARAT (u32)BIT(2)

/* the paravisor's own leaves are not VTL0's business (TLFS 2.4: 40000080h is the nested range) */
static const struct cpuid_change hidden[] = {
	{ .leaf = 0x40000080, .any_subleaf = true, .mask = ALL },
	{ .leaf = 0x40000081, .any_subleaf = true, .mask = ALL },
	{ .leaf = 0x40000082, .any_subleaf = true, .mask = ALL },
};

/* what VTL0 has since it is played here */
#define EAX3_APIC (u32)(HV_FEATURE_SYNIC | HV_FEATURE_SYNTIMER | HV_FEATURE_APIC_MSRS)
#define SET(bits_a, bits_b, bits_c, bits_d) .any_subleaf = true, \
	.mask = { bits_a, bits_b, bits_c, bits_d }, .value = { bits_a, bits_b, bits_c, bits_d }
static const struct cpuid_change with_apic[] = {
	{ .leaf = CPUID_LEAF_FEATURES, SET(0, 0, ECX1_X2APIC | ECX1_TSC_DEADLINE, EDX1_APIC) },
	{ .leaf = CPUID_LEAF_POWER, SET(EAX6_ARAT, 0, 0, 0) },
	{ .leaf = 0x40000003, SET(EAX3_APIC, 0, 0, (u32)HV_FEATURE_STIMER_DIRECT) },
	/* its EOI register needs no exit where the VP assist page says so */
	{ .leaf = 0x40000004, SET((u32)HV_HINT_APIC_MSRS, 0, 0, 0) },
};

static int register_leaf(struct hcl *hcl, const struct cpuid_change *c)
{
	struct hv_register_intercept_result in = {
		.partition_id = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
		.intercept_type = HV_INTERCEPT_CPUID,
		.parameters = { .eax = c->leaf, .ecx = c->subleaf, .subleaf_specific = !c->any_subleaf, .always_override = 1,
				.result = { .eax = c->value[CPUID_EAX], .eax_mask = c->mask[CPUID_EAX],
					    .ebx = c->value[CPUID_EBX], .ebx_mask = c->mask[CPUID_EBX],
					    .ecx = c->value[CPUID_ECX], .ecx_mask = c->mask[CPUID_ECX],
					    .edx = c->value[CPUID_EDX], .edx_mask = c->mask[CPUID_EDX] } },
	};
	u16 status;
	int r = hcl_call(hcl, HVCALL_REGISTER_INTERCEPT_RESULT, &in, sizeof(in), &status);

	if (r == -EIO && status == HV_STATUS_INVALID_PARTITION_STATE)
		return 0; /* VTL0 ran before, under an earlier worker: what that one registered holds */
	return r ? log_err(r, "CPUID leaf %#x cannot be registered (status %#x)", c->leaf, status) : 0;
}

int vp_configure_cpuid(bool apic, const char *policy, struct cpuid_changes *ret, char *why, size_t size)
{
	int r = 0;

	ret->count = 0;
	for (size_t i = 0; apic && !r && i < ARRAY_SIZE(with_apic); i++)
		r = cpuid_change(ret, &with_apic[i]);
	return r || !policy ? r : cpuid_parse(policy, ret, why, size);
}

int vp_register_cpuid(struct hcl *hcl, const struct cpuid_changes *changes)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		if (register_leaf(hcl, &hidden[i])) {
			log_at(LOG_WARN, "VTL0 sees the host's CPUID leaves");
			break;
		}
	for (unsigned i = 0; !r && i < changes->count; i++)
		r = register_leaf(hcl, &changes->all[i]);
	return r;
}

void vp_assert_interrupt(struct machine *machine, const struct ioapic_message *m)
{
	if (machine->apics) {
		vapics_assert(machine->apics, m);
		return;
	}

	struct hv_assert_virtual_interrupt in = {
		.partition_id = HV_PARTITION_ID_SELF,
		.interrupt_type = m->delivery_mode,
		.control = (u32)((m->level ? HV_INTERRUPT_LEVEL : 0) | (m->logical ? HV_INTERRUPT_LOGICAL : 0)),
		.destination = m->destination,
		.vector = m->vector,
	};
	u16 status;

	/* the guest named a destination or a vector that is none */
	if (hcl_call(machine->hcl, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &in, sizeof(in), &status))
		log_guest("interrupt vector %#x to %#x: status %#x", m->vector, m->destination, status);
}
