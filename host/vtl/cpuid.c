#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("cpuid");

struct cpuid_table {
	struct kvm_cpuid2 header;
	struct kvm_cpuid_entry2 entries[CPUID_MAX];
};

/* leaf 1 ECX */
#define ECX1_MONITOR BIT(3)
#define ECX1_VMX BIT(5)
#define ECX1_FMA BIT(12)
#define ECX1_PCID BIT(17)
#define ECX1_X2APIC BIT(21)
#define ECX1_TSC_DEADLINE BIT(24)
#define ECX1_XSAVE BIT(26)
#define ECX1_OSXSAVE BIT(27)
#define ECX1_AVX BIT(28)
#define ECX1_F16C BIT(29)
#define ECX1_HYPERVISOR BIT(31)
/* leaf 7 EBX: what needs XSAVE */
#define EBX7_AVX_FAMILY (BIT(5) | BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define EBX0_AMD 0x68747541u   /* "Auth" */
#define EBX0_HYGON 0x6f677948u /* "Hygo" */
#define ECX81_SVM BIT(2)
#define ECX81_TOPOEXT BIT(22)
#define ECX81_XOP BIT(11)
#define ECX81_FMA4 BIT(16)

/* has this VTL a local APIC, and what goes with it, of the hypervisor's? */
static bool has_apic(const struct vp *vp, enum vtl vtl)
{
	return vtl == VTL2 || !vp->partition->config.no_apic;
}

static u32 feature_eax(const struct vp *vp, enum vtl vtl)
{
	u64 apic = HV_FEATURE_SYNIC | HV_FEATURE_SYNTIMER | HV_FEATURE_APIC_MSRS;

	return (u32)(HV_FEATURE_TIME_REF_COUNT | HV_FEATURE_HYPERCALL_MSRS | HV_FEATURE_VP_INDEX | HV_FEATURE_REFERENCE_TSC |
		     HV_FEATURE_FREQUENCY_MSRS_ACCESS | (has_apic(vp, vtl) ? apic : 0) |
		     (vtl == VTL0 ? HV_FEATURE_TSC_INVARIANT : 0));
}

static u32 privilege_ebx(enum vtl vtl)
{
	u32 both = (u32)(HV_PRIVILEGE_POST_MESSAGES | HV_PRIVILEGE_SIGNAL_EVENTS);

	return vtl == VTL0 ? both :
		both | (u32)(HV_PRIVILEGE_ACCESS_VSM | HV_PRIVILEGE_ACCESS_VP_REGISTERS | HV_PRIVILEGE_START_VP);
}

static void add(struct cpuid_table *t, u32 function, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	if (t->header.nent == CPUID_MAX)
		return;
	t->entries[t->header.nent++] = (struct kvm_cpuid_entry2){
		.function = function, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx,
	};
}

static void add_hypervisor_leaves(struct cpuid_table *t, const struct vp *vp, enum vtl vtl)
{
	u32 vendor[3];

	memcpy(vendor, "Microsoft Hv", sizeof(vendor));
	add(t, 0x40000000, 0x4000000b, vendor[0], vendor[1], vendor[2]);
	add(t, 0x40000001, 0x31237648 /* "Hv#1" */, 0, 0, 0);
	add(t, 0x40000002, 20348, 10 << 16, 0, 0); /* build and version, shown by the guest */
	add(t, 0x40000003, feature_eax(vp, vtl), privilege_ebx(vtl), 0,
	    (u32)(HV_FEATURE_FREQUENCY_MSRS | HV_FEATURE_CRASH_MSRS | (has_apic(vp, vtl) ? HV_FEATURE_STIMER_DIRECT : 0)));
	add(t, 0x40000004, (u32)(HV_HINT_RELAXED_TIMING | (has_apic(vp, vtl) ? HV_HINT_APIC_MSRS : 0)), 0xfff, 0, 0);
	add(t, 0x40000005, vp->partition->vp_count, vp->partition->vp_count, 0, 0);
	for (u32 leaf = 0x40000006; leaf <= 0x4000000b; leaf++)
		add(t, leaf, 0, 0, 0, 0);
	/* read without a look at the largest leaf: must be there and zero (no confidential VMBus) */
	add(t, 0x40000080, 0, 0, 0, 0);
	add(t, 0x40000081, 0, 0, 0, 0);
	add(t, 0x40000082, 0, 0, 0, 0);
}

static u32 apic_id(const struct vp *vp)
{
	return vp->partition->config.apic_ids[vp->index];
}

/* how many VPs have an APIC id that begins as this one's does, but for the low bits */
static u32 sharing(const struct vp *vp, u32 bits)
{
	const struct partition_config *c = &vp->partition->config;
	u32 count = 0;

	for (u32 i = 0; i < c->vp_count; i++)
		count += c->apic_ids[i] >> bits == apic_id(vp) >> bits;
	return count;
}

/* the extended topology leaf: threads of a core, then of a socket */
static void add_topology(struct cpuid_table *t, const struct vp *vp)
{
	const struct partition_config *c = &vp->partition->config;
	u32 socket = c->thread_bits + c->core_bits;

	for (u32 level = 0; level < 3; level++) {
		add(t, 0xb, level == 0 ? c->thread_bits : level == 1 ? socket : 0,
		    level == 0 ? sharing(vp, c->thread_bits) : level == 1 ? sharing(vp, socket) : 0,
		    level | (level == 0 ? 1 << 8 : level == 1 ? 2 << 8 : 0), apic_id(vp));
		t->entries[t->header.nent - 1].index = level;
		t->entries[t->header.nent - 1].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

/* AMD's own topology leaf, without which Linux sees no threads there (APM volume 3, E.4.18) */
static void add_amd_topology(struct cpuid_table *t, const struct vp *vp)
{
	const struct partition_config *c = &vp->partition->config;
	u32 core = apic_id(vp) >> c->thread_bits & ((1u << c->core_bits) - 1);

	for (u32 i = 0; i < t->header.nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entries[i];

		if (e->function == 0x80000000)
			e->eax = MAX(e->eax, 0x8000001eu);
		if (e->function == 0x80000001)
			e->ecx |= (u32)ECX81_TOPOEXT;
	}
	add(t, 0x8000001e, apic_id(vp), (sharing(vp, c->thread_bits) - 1) << 8 | core,
	    apic_id(vp) >> (c->thread_bits + c->core_bits), 0);
}

static bool is_amd(const struct cpuid_table *supported)
{
	for (u32 i = 0; i < supported->header.nent; i++)
		if (!supported->entries[i].function)
			return supported->entries[i].ebx == EBX0_AMD || supported->entries[i].ebx == EBX0_HYGON;
	return false;
}

/* false: the leaf is left out */
static bool adapt(struct kvm_cpuid_entry2 *e, const struct vp *vp, enum vtl vtl)
{
	/* bits of an APIC id within a socket */
	u32 socket = vp->partition->config.thread_bits + vp->partition->config.core_bits, bits;

	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0xff00) | sharing(vp, socket) << 16 | apic_id(vp) << 24;
		e->ecx |= (u32)(ECX1_HYPERVISOR | ECX1_X2APIC);
		e->ecx &= ~(u32)(ECX1_MONITOR | ECX1_VMX);
		e->edx |= (u32)(BIT(9) | BIT(28)); /* APIC, HTT */
		/* the paravisor's kernel runs without XSAVE: the VTL switch saves only what FXSAVE knows */
		if (vtl == VTL2)
			e->ecx &= ~(u32)(ECX1_XSAVE | ECX1_OSXSAVE | ECX1_AVX | ECX1_FMA | ECX1_F16C | ECX1_TSC_DEADLINE);
		else
			e->ecx |= (u32)ECX1_TSC_DEADLINE;
		if (!has_apic(vp, vtl)) {
			e->ecx &= ~(u32)(ECX1_X2APIC | ECX1_TSC_DEADLINE);
			e->edx &= ~(u32)BIT(9);
		}
		return true;
	case 6:
		e->eax = has_apic(vp, vtl) ? e->eax | 4 : e->eax & ~4u; /* ARAT: the APIC timer never stops */
		return true;
	case 7:
		if (vtl == VTL2)
			e->ebx &= ~(u32)EBX7_AVX_FAMILY;
		return true;
	case 0xb:
	case 0x1f:
		return false;
	case 0xd:
		return vtl == VTL0;
	case 0x80000001:
		e->ecx &= ~(u32)(ECX81_SVM | ECX81_TOPOEXT);
		if (vtl == VTL2)
			e->ecx &= ~(u32)(ECX81_XOP | ECX81_FMA4);
		return true;
	case 0x80000007:
		e->edx |= BIT(8); /* one TSC offset for the whole partition; the host's own TSC is checked at start */
		return true;
	case 0x8000001d: /* caches: those of level 3 are the socket's, the others the core's */
		bits = (e->eax >> 5 & 7) > 2 ? socket : vp->partition->config.thread_bits;
		e->eax = (e->eax & ~0x3ffc000u) | (sharing(vp, bits) - 1) << 14;
		return true;
	case 0x8000001e:
		return false;
	case 0x80000008:
		e->ecx = (sharing(vp, socket) - 1) | socket << 12;
		return true;
	}
	return true;
}

static void apply_result(struct cpuid_table *t, const struct hv_cpuid_result_parameters *r)
{
	for (u32 i = 0; i < t->header.nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->entries[i];

		if (e->function != r->eax || (r->subleaf_specific && e->index != r->ecx))
			continue;
		e->eax = (e->eax & ~r->result.eax_mask) | (r->result.eax & r->result.eax_mask);
		e->ebx = (e->ebx & ~r->result.ebx_mask) | (r->result.ebx & r->result.ebx_mask);
		e->ecx = (e->ecx & ~r->result.ecx_mask) | (r->result.ecx & r->result.ecx_mask);
		e->edx = (e->edx & ~r->result.edx_mask) | (r->result.edx & r->result.edx_mask);
		return;
	}
	u32 was = t->header.nent;

	add(t, r->eax, r->result.eax & r->result.eax_mask, r->result.ebx & r->result.ebx_mask,
	    r->result.ecx & r->result.ecx_mask, r->result.edx & r->result.edx_mask);
	if (r->subleaf_specific && t->header.nent > was) {
		t->entries[was].index = r->ecx;
		t->entries[was].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

int cpuid_load(struct vp *vp, enum vtl vtl)
{
	struct partition *p = vp->partition;
	struct cpuid_table supported = { .header.nent = CPUID_MAX }, table = { .header.nent = 0 };

	if (ioctl(p->kvm_fd, KVM_GET_SUPPORTED_CPUID, &supported))
		return log_err(-errno, "KVM_GET_SUPPORTED_CPUID");
	for (u32 i = 0; i < supported.header.nent; i++) {
		struct kvm_cpuid_entry2 entry = supported.entries[i];

		if (entry.function >> 28 != 4 && adapt(&entry, vp, vtl) && table.header.nent < CPUID_MAX)
			table.entries[table.header.nent++] = entry;
	}
	add_topology(&table, vp);
	if (is_amd(&supported))
		add_amd_topology(&table, vp);
	add_hypervisor_leaves(&table, vp, vtl);
	if (vtl == VTL0) {
		pthread_mutex_lock(&p->lock);
		for (u32 i = 0; i < p->cpuid_result_count; i++)
			apply_result(&table, &p->cpuid_results[i]);
		pthread_mutex_unlock(&p->lock);
	}
	if (ioctl(vp->per[vtl].vcpu.fd, KVM_SET_CPUID2, &table))
		return log_err(-errno, "KVM_SET_CPUID2 of VP %u, VTL%u, %u leaves", vp->index, vtl_number(vtl),
			       table.header.nent);
	return 0;
}

u16 cpuid_register_result(struct partition *p, const struct hv_cpuid_result_parameters *result)
{
	u16 status = HV_STATUS_SUCCESS;

	pthread_mutex_lock(&p->lock);
	if (atomic_load(&p->vtl0_ran)) /* KVM takes no other table once the vcpu ran */
		status = HV_STATUS_INVALID_PARTITION_STATE;
	else if (p->cpuid_result_count == CPUID_RESULTS_MAX)
		status = HV_STATUS_INSUFFICIENT_BUFFERS;
	else
		p->cpuid_results[p->cpuid_result_count++] = *result;
	pthread_mutex_unlock(&p->lock);
	return status;
}
