/* x87 and SSE registers over exits: VTLs share them, and the firmware uses them between two exits of the guest. */
#include "tests/guests/bare/bare.h"

#define ROUNDS 50u
#define CONTROL 0 /* of an FXSAVE area: x87's control word, MXCSR, ST0 to ST7, XMM0 to XMM15 */
#define MXCSR 24
#define ST 32
#define XMM 160
#define XMM_END 416
#define MXCSR_INIT 0x1f80u
#define ECX1_XSAVE BIT(26)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXSAVE (1ull << 18)
#define TEST_MEMORY 0xff000200ull /* vmm/chipset/testdev.h */

struct area {
	u8 b[1024];
} __attribute__((aligned(64)));

static struct area wanted, got;

static void enable(void)
{
	u64 cr0, cr4;

	__asm__ volatile("mov %%cr0, %0\n\tmov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
	__asm__ volatile("mov %0, %%cr0\n\tmov %1, %%cr4" : : "r"((cr0 | CR0_MP) & ~CR0_EM), "r"(cr4 | CR4_OSFXSR));
}

static void save(struct area *a)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*a));
}

static void load(const struct area *a)
{
	__asm__ volatile("fxrstor64 %0" : : "m"(*a));
}

/* other values in all of them */
static void fill(void)
{
	u32 mxcsr = MXCSR_INIT | (u32)(next_random() & 3) << 13;
	u16 control = (u16)(0x037f | (next_random() & 3) << 10);

	save(&wanted);
	for (unsigned i = ST; i < XMM_END; i += 8) {
		u64 value = next_random();

		memcpy(wanted.b + i, &value, 8);
	}
	for (unsigned i = ST; i < XMM; i += 16)
		memset(wanted.b + i + 10, 0, 6); /* behind 80 bits there is nothing */
	memcpy(wanted.b + CONTROL, &control, sizeof(control));
	memcpy(wanted.b + MXCSR, &mxcsr, sizeof(mxcsr));
	load(&wanted);
}

static u64 differing_bytes(void)
{
	u64 n = 0;

	save(&got);
	for (unsigned i = 0; i < XMM_END; i++)
		if (i < 2 || (i >= MXCSR && i < MXCSR + 4) || i >= ST)
			n += got.b[i] != wanted.b[i];
	return n;
}

static void exit_port(void)
{
	port_write(0x80, 1, port_read(0x408, 4) & 0xff);
}

static void exit_mmio(void)
{
	u64 value;

	try_read(0xfec00000, 4, &value);
	try_write(0xfec00000, 4, 1);
}

static void exit_msr(void)
{
	u64 value;

	try_rdmsr(0x1b, &value);
	try_wrmsr(0x40000100, 0); /* HV_X64_MSR_CRASH_P0 */
}

static u32 cpuid_1_ecx(void)
{
	u32 a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c;
}

static void exit_cpuid(void)
{
	cpuid_1_ecx();
}

/* whoever takes the processor away: the firmware's timer, the host's scheduler */
static void exit_any(void)
{
	for (volatile u32 i = 0; i < 100000; i++)
		;
}

static const struct {
	const char *name;
	void (*exit)(void);
} exits[] = {
	{ "port", exit_port }, { "MMIO", exit_mmio }, { "MSR", exit_msr }, { "CPUID", exit_cpuid },
	{ "what interrupts it", exit_any },
};

/* after prepare() the registers are as `wanted` says, and after each exit */
static void over_exits(void (*prepare)(void), const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(exits); i++) {
		u64 differ = 0;

		for (unsigned k = 0; k < ROUNDS; k++) {
			prepare();
			exits[i].exit();
			differ += differing_bytes();
		}
		put_text(exits[i].name);
		put_text(": ");
		expect(name, differ, 0);
	}
}

/* all in their initial state, by XRSTOR of an image that has none of them; something else was there */
static void initialise(void)
{
	u32 mxcsr = MXCSR_INIT;
	u16 control = 0x037f;
	static struct area none;

	fill();
	memcpy(none.b + MXCSR, &mxcsr, sizeof(mxcsr));
	__asm__ volatile("xrstor64 %0" : : "m"(none), "a"(3), "d"(0));
	wanted = none;
	memcpy(wanted.b + CONTROL, &control, sizeof(control));
}

static void initial_over_exits(void)
{
	u64 cr4;

	if (!(cpuid_1_ecx() & ECX1_XSAVE)) {
		put_text("no XSAVE: registers in their initial state are not tried\n");
		return;
	}
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
	__asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
	over_exits(initialise, "registers in their initial state after it");
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
}

void vectors_run(void)
{
	enable();
	over_exits(fill, "x87 and SSE registers after it");
	initial_over_exits();
}

/* a register that the firmware's emulator reads, and one that it writes: the others are as they were */
void vectors_memory_run(void)
{
	u64 differ = 0;

	enable();
	for (unsigned k = 0; k < ROUNDS; k++) {
		fill();
		__asm__ volatile("movdqu %%xmm5, (%0)\n\tmovdqu (%0), %%xmm11" : : "r"(TEST_MEMORY) : "memory");
		memcpy(wanted.b + XMM + 11 * 16, wanted.b + XMM + 5 * 16, 16);
		differ += differing_bytes();
	}
	expect("an SSE register to a device's memory and back into another", differ, 0);
}
