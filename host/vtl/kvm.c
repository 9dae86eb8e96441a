#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"
#include "lib/os/file.h"

LOG_DOMAIN("kvm");

static const struct {
	int number;
	const char *name, *since;
} required[] = {
	{ KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS", "4.16" },
	{ KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR", "5.10" },
	{ KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER", "5.10" },
	{ KVM_CAP_XSAVE, "KVM_CAP_XSAVE", "2.6.36" },
	{ KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", "2.6.35" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "4.13" },
	{ KVM_CAP_VCPU_ATTRIBUTES, "KVM_CAP_VCPU_ATTRIBUTES", "5.16" },
	{ KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ", "2.6.39" },
	{ KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM", "3.7" },
	{ KVM_CAP_DISABLE_QUIRKS, "KVM_CAP_DISABLE_QUIRKS", "4.1" },
};

/* kvm_pvm and the like offer /dev/kvm on processors that cannot run a kernel in it */
static bool processor_virtualizes(void)
{
	u8 *text;
	size_t len;

	if (file_read("/proc/cpuinfo", 16 * MiB, &text, &len))
		return true; /* no /proc: let KVM speak for itself */
	bool found = strstr((char *)text, " vmx ") || strstr((char *)text, " svm ");

	free(text);
	return found;
}

int kvm_open(struct partition *p)
{
	p->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (p->kvm_fd < 0)
		return log_err(-errno, "/dev/kvm cannot be opened; load kvm_intel or kvm_amd, or run where virtualization "
				       "is on ('make run' starts a bench machine where there is none)");
	if (!processor_virtualizes())
		return log_err(-ENODEV, "/dev/kvm exists, but no processor here has vmx or svm, so KVM cannot run a kernel; "
					"use the bench machine ('make run', scripts/vm)");
	int version = ioctl(p->kvm_fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return log_err(-EPROTO, "KVM's API version is %d, need %d", version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (ioctl(p->kvm_fd, KVM_CHECK_EXTENSION, required[i].number) <= 0)
			return log_err(-ENOSYS, "this kernel's KVM lacks %s (Linux %s has it): a newer host kernel is needed",
				       required[i].name, required[i].since);
	int size = ioctl(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run))
		return log_err(-EPROTO, "KVM_GET_VCPU_MMAP_SIZE says %d", size);
	p->run_size = (size_t)size;
	return 0;
}

int kvm_filter_msrs(struct partition *p, enum vtl vtl)
{
	static u8 deny_synthetic[HV_MSR_COUNT / 8], deny_one[1];
	const u32 both = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	struct kvm_msr_filter_range *to = filter.ranges;

	_Static_assert(3 + CR_INTERCEPTS <= KVM_MSR_FILTER_MAX_RANGES, "a range each");
	*to++ = (struct kvm_msr_filter_range){ .flags = both, .base = HV_MSR_FIRST, .nmsrs = HV_MSR_COUNT,
					       .bitmap = deny_synthetic };
	/* without an in-kernel APIC KVM swallows TSC_DEADLINE silently */
	*to++ = (struct kvm_msr_filter_range){ .flags = both, .base = LAPIC_MSR_TSC_DEADLINE, .nmsrs = 1, .bitmap = deny_one };
	if (vtl == VTL0 && p->config.no_apic) /* else KVM keeps it */
		*to++ = (struct kvm_msr_filter_range){ .flags = both, .base = LAPIC_MSR_BASE, .nmsrs = 1, .bitmap = deny_one };
	for (u32 i = 0; vtl == VTL0 && i < CR_INTERCEPTS; i++)
		if (p->cr_intercepts & cr_intercepts[i].control)
			*to++ = (struct kvm_msr_filter_range){ .flags = KVM_MSR_FILTER_WRITE, .base = cr_intercepts[i].msr,
							       .nmsrs = 1, .bitmap = deny_one };
	if (ioctl(p->vm_fd[vtl], KVM_X86_SET_MSR_FILTER, &filter))
		return log_err(-errno, "KVM_X86_SET_MSR_FILTER");
	return 0;
}

/* what KVM does not know, or may not do, comes to user space */
static int hand_out_msrs(int vm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER,
	};

	return ioctl(vm, KVM_ENABLE_CAP, &cap) ? log_err(-errno, "KVM_CAP_X86_USER_SPACE_MSR") : 0;
}

/*
 * KVM moves RIP past an OUT to port 7Eh before it tells user space, as no other access does (KVM_X86_QUIRK_OUT_7E_INC_RIP). VTL2
 * would skip the next instruction.
 */
static int drop_quirk(int vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS, .args[0] = KVM_X86_QUIRK_OUT_7E_INC_RIP };

	return ioctl(vm, KVM_ENABLE_CAP, &cap) ? log_err(-errno, "KVM_CAP_DISABLE_QUIRKS") : 0;
}

static int add_slot(int vm, u32 slot, u64 gpa, u64 size, const void *at)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (u64)at,
	};

	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		return log_err(-errno, "KVM memory slot %u at %#lx, %#lx bytes", slot, gpa, size);
	return 0;
}

/*
 * VTL0's MMIO: slots backed by memory nobody may touch make KVM_RUN fail with EFAULT before it emulates the access, so
 * that VTL2 sees the guest as it was before the instruction, as on Hyper-V. The local APIC's page is left out where that is
 * played here: KVM may emulate the access.
 */
static int make_holes(struct partition *p)
{
	u64 low = p->config.mmio_hole_base, above_apic = LAPIC_BASE + (p->config.no_apic ? 0 : LAPIC_LEN);
	const struct {
		u64 base, size;
	} holes[] = {
		{ low, LAPIC_BASE - low },
		{ above_apic, 4 * GiB - above_apic },
		{ p->config.mmio_high_base, p->config.mmio_high_size },
	};
	u64 at = 0;

	if (low >= LAPIC_BASE)
		return log_err(-EINVAL, "VTL0's MMIO must begin below %#x", LAPIC_BASE);
	for (u32 i = 0; i < ARRAY_SIZE(holes); i++)
		p->hole_size += holes[i].size;
	p->hole = mmap(NULL, p->hole_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->hole == MAP_FAILED) {
		p->hole = NULL;
		return log_err(-errno, "address space for VTL0's MMIO");
	}
	for (u32 i = 0; i < ARRAY_SIZE(holes); i++) {
		int r = holes[i].size ? add_slot(p->vm_fd[VTL0], 16 + i, holes[i].base, holes[i].size, (u8 *)p->hole + at) : 0;

		if (r)
			return r;
		at += holes[i].size;
	}
	return 0;
}

int kvm_make_vms(struct partition *p)
{
	for (int vtl = 0; vtl < VTL_COUNT; vtl++) {
		p->vm_fd[vtl] = ioctl(p->kvm_fd, KVM_CREATE_VM, 0);
		if (p->vm_fd[vtl] < 0)
			return log_err(-errno, "KVM_CREATE_VM (for VTL%u)", vtl_number(vtl));
		/* three pages KVM needs on Intel, out of the way of everything a guest is told about */
		if (ioctl(p->vm_fd[vtl], KVM_SET_TSS_ADDR, 0xfffbd000))
			return log_err(-errno, "KVM_SET_TSS_ADDR");
		int r = hand_out_msrs(p->vm_fd[vtl]);

		if (!r)
			r = drop_quirk(p->vm_fd[vtl]);
		if (!r)
			r = kvm_filter_msrs(p, vtl);
		for (u32 i = 0; !r && i < p->config.ram_count; i++)
			if (vtl == VTL2 || !p->config.ram[i].vtl2)
				r = add_slot(p->vm_fd[vtl], i, p->config.ram[i].base, p->config.ram[i].size,
					     vtl == VTL0 ? p->vtl0_ram[i] : p->ram[i]);
		if (r)
			return r;
	}
	return make_holes(p);
}

int kvm_get_msr(struct vcpu *v, u32 msr, u64 *ret)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} arg = { .header.nmsrs = 1, .entry.index = msr };

	if (ioctl(v->fd, KVM_GET_MSRS, &arg) != 1)
		return -EINVAL;
	*ret = arg.entry.data;
	return 0;
}

int kvm_set_msr(struct vcpu *v, u32 msr, u64 value)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} arg = { .header.nmsrs = 1, .entry = { .index = msr, .data = value } };

	return ioctl(v->fd, KVM_SET_MSRS, &arg) == 1 ? 0 : -EINVAL;
}

int kvm_set_tsc_offset(struct vcpu *v, u64 offset)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)&offset };

	if (ioctl(v->fd, KVM_SET_DEVICE_ATTR, &attr))
		return log_err(-errno, "KVM_VCPU_TSC_OFFSET");
	return 0;
}

static int measure_clock(struct partition *p, struct vcpu *v)
{
	int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0)
		return log_err(khz < 0 ? -errno : -ENODEV, "KVM_GET_TSC_KHZ: no TSC frequency; is the host's TSC usable?");
	p->tsc_khz = (u64)khz;
	p->tsc_scale = (u64)(((unsigned __int128)10000u << 64) / p->tsc_khz);
	p->tsc_offset = -__rdtsc();
	return 0;
}

/* signals are taken only inside KVM_RUN, so that none can be lost between the last look at the queues and the entry */
static int unblock_all_in_guest(struct vcpu *v)
{
	struct {
		u32 len;
		u8 set[8];
	} __packed mask = { .len = 8 };

	if (ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask))
		return log_err(-errno, "KVM_SET_SIGNAL_MASK");
	return 0;
}

int kvm_make_vcpu(struct vp *vp, enum vtl vtl)
{
	struct partition *p = vp->partition;
	struct vcpu *v = &vp->per[vtl].vcpu;

	v->fd = ioctl(p->vm_fd[vtl], KVM_CREATE_VCPU, (long)vp->index);
	if (v->fd < 0)
		return log_err(-errno, "KVM_CREATE_VCPU %u (VTL%u)", vp->index, vtl_number(vtl));
	v->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return log_err(-errno, "kvm_run of VP %u", vp->index);
	}
	v->fpu = calloc(1, sizeof(*v->fpu));
	if (!v->fpu)
		return log_err(-ENOMEM, "VP %u", vp->index);
	if (!p->tsc_khz) {
		int r = measure_clock(p, v);

		if (r)
			return r;
	}
	int r = kvm_set_tsc_offset(v, p->tsc_offset);

	if (!r)
		r = unblock_all_in_guest(v);
	if (!r && (ioctl(v->fd, KVM_GET_REGS, &REGS(v)) || ioctl(v->fd, KVM_GET_SREGS, &SREGS(v)) ||
		   ioctl(v->fd, KVM_GET_XSAVE, v->fpu) || ioctl(v->fd, KVM_GET_DEBUGREGS, &v->debug)))
		r = log_err(-errno, "first registers of VP %u", vp->index);
	v->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	return r;
}

void kvm_close(struct partition *p)
{
	for (int vtl = 0; vtl < VTL_COUNT; vtl++)
		if (p->vm_fd[vtl] >= 0)
			close(p->vm_fd[vtl]);
	if (p->kvm_fd >= 0)
		close(p->kvm_fd);
	if (p->hole)
		munmap(p->hole, p->hole_size);
}
