/* steps_kvm CODE COUNT [EACH]: the bare guest on a plain KVM VM, stepped by KVM_GUESTDBG_SINGLESTEP; a digest for 100 steps */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/lib/steps.h"

static int must(int r, const char *what)
{
	if (r >= 0)
		return r;
	perror(what);
	exit(2);
}

static u8 *make_memory(int vm, const char *code)
{
	u8 *memory = mmap(NULL, STEPS_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .memory_size = STEPS_MEMORY, .userspace_addr = (u64)memory };
	const u64 gdt[] = { 0, 0, STEPS_GDT_CODE, STEPS_GDT_DATA };
	int fd = must(open(code, O_RDONLY), code);

	must(memory == MAP_FAILED ? -1 : 0, "memory");
	must((int)read(fd, memory + STEPS_CODE, 65536), code);
	close(fd);
	/* one to one, in pages of 2 MiB */
	*(u64 *)(memory + 0x1000) = 0x2003;
	*(u64 *)(memory + 0x2000) = 0x3003;
	for (u64 i = 0; i < STEPS_MEMORY >> 21; i++)
		*(u64 *)(memory + 0x3000 + 8 * i) = i << 21 | 0x83;
	memcpy(memory + STEPS_GDT, gdt, sizeof(gdt));
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "memory region");
	return memory;
}

static void set_registers(int vcpu)
{
	struct kvm_segment code = { .limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = { .limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rip = STEPS_CODE, .rsp = STEPS_STACK, .rflags = 2 };
	struct kvm_sregs s;

	must(ioctl(vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt = (struct kvm_dtable){ .base = STEPS_GDT, .limit = 31 };
	s.idt.limit = 0;
	s.cr3 = 0x1000;
	s.cr4 = BIT(5) | BIT(9);
	s.cr0 = BIT(31) | BIT(5) | BIT(4) | BIT(1) | BIT(0);
	s.efer = BIT(8) | BIT(10);
	must(ioctl(vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* KVM steps by TF and lets the guest see it in what PUSHF pushes: taken out, for the others have none */
static void step(int vcpu, u8 *memory)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct kvm_regs r;

	must(ioctl(vcpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	bool pushf = memory[r.rip] == 0x9c;

	must(ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug), "KVM_SET_GUEST_DEBUG");
	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	if (pushf)
		memory[r.rsp - 8 + 1] &= 0xfe;
}

static u64 take(int vcpu, u64 digest)
{
	struct kvm_regs r;
	struct kvm_fpu fpu;
	u64 words[STEPS_WORDS];

	must(ioctl(vcpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	must(ioctl(vcpu, KVM_GET_FPU, &fpu), "KVM_GET_FPU");
	const u64 general[] = { r.rip, r.rflags & STEPS_FLAGS, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp,
				r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };

	memcpy(words, general, sizeof(general));
	memcpy(words + 18, fpu.xmm, 32);
	return steps_digest(digest, words);
}

int main(int argc, char **argv)
{
	int kvm = must(open("/dev/kvm", O_RDWR), "/dev/kvm"), vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "VM");
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, each = argc > 3 ? strtoul(argv[3], NULL, 10) : 100;
	u64 digest = STEPS_DIGEST_BEGIN;

	if (!count || !each)
		return 2;
	u8 *memory = make_memory(vm, argv[1]);
	int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "vcpu"), size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "size");
	struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	set_registers(vcpu);
	for (unsigned long i = 1; i <= count; i++) {
		step(vcpu, memory);
		if (run->exit_reason != KVM_EXIT_DEBUG) {
			printf("step %lu: exit %u\n", i, run->exit_reason);
			return 1;
		}
		digest = take(vcpu, digest);
		if (i % each == 0)
			printf("steps %lu %016llx\n", i, (unsigned long long)digest);
	}
	return 0;
}
