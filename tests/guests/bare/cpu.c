#include "spec/hv_msr.h"
#include "tests/guests/bare/bare.h"

#define PRESENT 1ull
#define WRITE 2ull
#define USER 4ull
#define LARGE 0x80ull
#define GIBS 16u
#define HIGH_GIB 63ull
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA_SELECTOR 0x1b
#define USER_CODE_SELECTOR 0x23
#define TASK 0x28
#define RFLAGS_TF 0x100ull
#define NO_DEVICE 0xfa000000ull /* MMIO that is nobody's: reads as ones, by way of the emulator */

struct gate {
	u16 low, selector;
	u8 ist, type;
	u16 middle;
	u32 high, zero;
};

struct pointer {
	u16 limit;
	u64 base;
} __packed;

static u64 pml4[512] __attribute__((aligned(4096))), pdpt[512] __attribute__((aligned(4096)));
static u64 directories[GIBS + 1][512] __attribute__((aligned(4096)));
static u64 user_pdpt[512] __attribute__((aligned(4096))), user_pd[512] __attribute__((aligned(4096))),
	user_pt[512] __attribute__((aligned(4096)));
static u8 user_code[4096] __attribute__((aligned(4096))), user_data[4096] __attribute__((aligned(4096))),
	hypercall_page[4096] __attribute__((aligned(4096)));
static u64 gdt[7] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff };
static struct {
	u32 reserved;
	u64 rsp0;
	u8 rest[104 - 12];
} __packed task;
static struct gate idt[256];
static u8 trap_stack[0x4000] __attribute__((aligned(16)));
extern const u8 trap_entries[], leave_user[];
void trapped(struct frame *frame);
void enter_user(const struct frame *frame, u64 *save_rsp);

/* where a fault goes on that was expected, and what it was */
static u64 recover;
static volatile u8 fault;
static u64 user_rsp;
static struct frame user_frame;

void trapped(struct frame *f)
{
	if (f->cs & 3) {
		user_frame = *f;
		f->rip = (u64)leave_user;
		f->cs = KERNEL_CODE;
		f->ss = KERNEL_DATA;
		f->rsp = user_rsp;
		f->rflags = 2;
		return;
	}
	fault = (u8)f->vector;
	if (!recover) {
		put_text("FAIL an exception nobody expected: vector ");
		put_number(f->vector);
		put_text(" at ");
		put_hex(f->rip);
		put_text("\n");
		power_off();
	}
	f->rip = recover;
	f->rflags = 2;
}

void cpu_init(void)
{
	for (u64 i = 0; i < GIBS; i++) {
		pdpt[i] = (u64)directories[i] | PRESENT | WRITE;
		for (u64 k = 0; k < 512; k++)
			directories[i][k] = (i << 30) + (k << 21) + (LARGE | PRESENT | WRITE);
	}
	/* and the GiB where Hyper-V has its high MMIO */
	pdpt[HIGH_GIB] = (u64)directories[GIBS] | PRESENT | WRITE;
	for (u64 k = 0; k < 512; k++)
		directories[GIBS][k] = (HIGH_GIB << 30) + (k << 21) + (LARGE | PRESENT | WRITE);
	pml4[0] = (u64)pdpt | PRESENT | WRITE;
	pml4[USER_BASE >> 39] = (u64)user_pdpt | PRESENT | WRITE | USER;
	user_pdpt[0] = (u64)user_pd | PRESENT | WRITE | USER;
	user_pd[0] = (u64)user_pt | PRESENT | WRITE | USER;
	user_pt[0] = (u64)user_code | PRESENT | WRITE | USER;
	user_pt[0x10] = (u64)user_data | PRESENT | WRITE | USER;
	user_pt[0x20] = NO_DEVICE | PRESENT | WRITE | USER;
	__asm__ volatile("mov %0, %%cr3" : : "r"((u64)pml4) : "memory");

	u64 base = (u64)&task;

	gdt[5] = 0x0000890000000067 | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	gdt[6] = base >> 32;
	task.rsp0 = (u64)trap_stack + sizeof(trap_stack);
	for (unsigned i = 0; i < VECTORS; i++) {
		u64 at = (u64)trap_entries + 16 * i;

		/* INT3 and INTO may be said by user mode */
		idt[i] = (struct gate){ (u16)at, KERNEL_CODE, 0, i == 3 || i == 4 ? 0xee : 0x8e, (u16)(at >> 16),
				       (u32)(at >> 32), 0 };
	}
	struct pointer g = { sizeof(gdt) - 1, (u64)gdt }, t = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lgdt %0; lidt %1; pushq $8; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:"
			 "mov %2, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov %%eax, %%ss; ltr %w3"
			 : : "m"(g), "m"(t), "i"(KERNEL_DATA), "r"(TASK) : "rax", "memory");
}

/* an access that may fault: the label behind it is where it goes on */
#define TRY(...) do {                                                          \
	fault = NO_FAULT;                                                      \
	__asm__ volatile("lea 9f(%%rip), %%rax; mov %%rax, %0" : "=m"(recover) : : "rax", "memory"); \
	__VA_ARGS__;                                                           \
	recover = 0;                                                           \
} while (0)

u8 try_read(u64 address, unsigned size, u64 *ret)
{
	u64 value = 0;

	switch (size) {
	case 1: TRY(__asm__ volatile("movb (%1), %b0; 9:" : "+q"(value) : "r"(address) : "memory")); break;
	case 2: TRY(__asm__ volatile("movw (%1), %w0; 9:" : "+r"(value) : "r"(address) : "memory")); break;
	case 4: TRY(__asm__ volatile("movl (%1), %k0; 9:" : "+r"(value) : "r"(address) : "memory")); break;
	default: TRY(__asm__ volatile("movq (%1), %0; 9:" : "+r"(value) : "r"(address) : "memory")); break;
	}
	*ret = value;
	return fault;
}

u8 try_write(u64 address, unsigned size, u64 value)
{
	switch (size) {
	case 1: TRY(__asm__ volatile("movb %b0, (%1); 9:" : : "q"(value), "r"(address) : "memory")); break;
	case 2: TRY(__asm__ volatile("movw %w0, (%1); 9:" : : "r"(value), "r"(address) : "memory")); break;
	case 4: TRY(__asm__ volatile("movl %k0, (%1); 9:" : : "r"(value), "r"(address) : "memory")); break;
	default: TRY(__asm__ volatile("movq %0, (%1); 9:" : : "r"(value), "r"(address) : "memory")); break;
	}
	return fault;
}

u8 try_rdmsr(u32 msr, u64 *ret)
{
	u32 low = 0, high = 0;

	TRY(__asm__ volatile("rdmsr; 9:" : "+a"(low), "+d"(high) : "c"(msr)));
	*ret = (u64)high << 32 | low;
	return fault;
}

u8 try_wrmsr(u32 msr, u64 value)
{
	TRY(__asm__ volatile("wrmsr; 9:" : : "a"((u32)value), "d"((u32)(value >> 32)), "c"(msr)));
	return fault;
}

bool hypercalls_enable(void)
{
	/* the vendor's bit 63 says open source; any value but 0 is a name */
	return try_wrmsr(HV_MSR_GUEST_OS_ID, 0x8100ull << 48 | 1) == NO_FAULT &&
	       try_wrmsr(HV_MSR_HYPERCALL, (u64)hypercall_page | HV_MSR_PAGE_ENABLE) == NO_FAULT;
}

u8 try_hypercall(u64 control, u64 rdx, u64 r8, u64 *ret)
{
	u64 result = 0, stack;
	register u64 eighth __asm__("r8") = r8;

	TRY(__asm__ volatile("mov %%rsp, %4; call *%5; 9: mov %4, %%rsp"
			     : "=a"(result), "+c"(control), "+d"(rdx), "+r"(eighth), "=&b"(stack) : "r"(hypercall_page)
			     : "r9", "r10", "r11", "memory"));
	*ret = result;
	return fault;
}

u8 try_execute(u64 address)
{
	u64 stack;

	/* whatever is there: the fault comes with the stack as it was */
	TRY(__asm__ volatile("mov %%rsp, %0; jmp *%1; 9: mov %0, %%rsp" : "=&b"(stack) : "r"(address) : "memory"));
	return fault;
}

u8 run_user(struct frame *frame)
{
	frame->rip = USER_CODE;
	frame->cs = USER_CODE_SELECTOR;
	frame->ss = USER_DATA_SELECTOR;
	frame->rsp = USER_DATA + 0x800;
	frame->rflags = 2 | RFLAGS_TF;
	enter_user(frame, &user_rsp);
	*frame = user_frame;
	return (u8)frame->vector;
}

u32 port_read(u16 port, unsigned size)
{
	u32 value = 0;

	if (size == 1)
		__asm__ volatile("inb %1, %b0" : "+a"(value) : "Nd"(port));
	else if (size == 2)
		__asm__ volatile("inw %1, %w0" : "+a"(value) : "Nd"(port));
	else
		__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void port_write(u16 port, unsigned size, u32 value)
{
	if (size == 1)
		__asm__ volatile("outb %b0, %1" : : "a"(value), "Nd"(port));
	else if (size == 2)
		__asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"(port));
	else
		__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
