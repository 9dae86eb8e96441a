/* Random accesses of every kind. What the guest sees is a value or a fault that the architecture has; what else must hold, that
 * nobody dies of it, is seen from outside. Left out is what would end the guest itself, or write over it. */
#include "spec/hv.h"
#include "spec/hv_msr.h"
#include "tests/guests/bare/bare.h"

static u8 buffer[3 * 4096] __attribute__((aligned(4096)));
static u64 counts[5], vectors[5][256];
enum { PORTS, MMIO, MSRS, HYPERCALLS, INSTRUCTIONS };
static const char *const names[] = { "ports", "MMIO", "MSRs", "hypercalls", "instructions" };

static u32 pick(u32 limit)
{
	return (u32)(next_random() >> 33) % limit;
}

static unsigned random_size(unsigned bits)
{
	return 1u << pick(bits);
}

/* ---- ports: a write to these resets, sleeps, or garbles the console */
static bool is_dangerous_port(u32 port)
{
	return (port >= 0x3f5 && port < 0x400) || (port >= 0x3fd && port < 0x400) || (port >= 0x61 && port <= 0x64) ||
	       (port >= 0x8f && port <= 0x92) || (port >= 0xcf6 && port <= 0xcff) || (port >= 0x3fd && port < 0x438);
}

static u8 one_port(void)
{
	u16 port = (u16)(pick(4) ? pick(0x1000) : pick(0x10000));
	unsigned size = random_size(3);

	if (pick(2) && !is_dangerous_port(port))
		port_write(port, size, (u32)next_random());
	else
		(void)port_read(port, size);
	return NO_FAULT;
}

/* ---- MMIO */
static u8 one_mmio(void)
{
	static const u64 places[] = { 0xf8000000, 0xfe000000, 0xfec00000, 0xfee00000, 0xffff0000, 0xfe0000000, 0x300000000 };
	u64 at = places[pick(ARRAY_SIZE(places))] + pick(0x1008), value;
	bool apic = at >= 0xfec00000 - 8 && at < 0xfee02000;
	unsigned size = random_size(4);

	return pick(2) && !apic ? try_write(at, size, next_random()) : try_read(at, size, &value);
}

/* ---- MSRs */
static bool is_dangerous_msr(u32 msr)
{
	static const u32 list[] = {
		0x1b, 0xc0000080, /* APIC base, EFER */
		HV_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL, HV_MSR_RESET,
		HV_MSR_REFERENCE_TSC, HV_MSR_ICR, HV_MSR_VP_ASSIST_PAGE, HV_MSR_SIMP, HV_MSR_SIEFP,
		HV_MSR_CRASH_CTL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (list[i] == msr)
			return true;
	return false;
}

static u8 one_msr(void)
{
	static const u32 bases[] = { 0, 0x800, 0x40000000, 0xc0000000, 0xc0010000, 0x4b564d00, 0xffffff00 };
	u32 msr = bases[pick(ARRAY_SIZE(bases))] + pick(0x300);
	u64 value = pick(2) ? next_random() : pick(64);

	if (msr == 0x400000f0) /* reading it is a HLT */
		return NO_FAULT;
	return pick(2) && !is_dangerous_msr(msr) ? try_wrmsr(msr, value) : try_rdmsr(msr, &value);
}

/* ---- hypercalls */
static u64 random_place(void)
{
	switch (pick(6)) {
	case 0: return next_random();
	case 1: return 0xfec00000;
	case 2: return (u64)buffer + 4096 + pick(4096);
	case 3: return 15 * GiB + (next_random() & 0xfffff000);
	default: return (u64)buffer + 4096;
	}
}

static u8 one_hypercall(void)
{
	u64 control = pick(0x140), result, out = pick(4) ? (u64)buffer + 8192 : 15 * GiB + pick(65536) * 8;

	if (!pick(3))
		control |= BIT(16);
	if (!pick(4))
		control |= (u64)pick(1024) << 17;
	if (pick(2))
		control |= (u64)pick(pick(2) ? 4 : 4096) << 32;
	if (!pick(4))
		control |= (u64)pick(4096) << 48;
	for (unsigned i = 0; i < 16; i++)
		((u64 *)(buffer + 4096))[i] = pick(2) ? next_random() : pick(2) ? ~0ull : pick(256);
	u64 in = control & BIT(16) ? next_random() : random_place();

	return try_hypercall(control, in, control & BIT(16) ? next_random() : out, &result);
}

/* ---- instructions, in user mode */
static u64 random_register(void)
{
	switch (pick(8)) {
	case 0: return next_random();
	case 1: return pick(256);
	case 2: return USER_DATA + 4096 - pick(16);
	case 3: return USER_DATA + pick(4096);
	case 4: return USER_MMIO + 4096 - pick(16);
	default: return USER_MMIO + pick(4096);
	}
}

static u8 *put_opcode(u8 *at)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x3e, 0x64, 0x65, 0x26 };

	for (u32 n = pick(3); n; n--)
		*at++ = prefixes[pick(sizeof(prefixes))];
	if (pick(2))
		*at++ = (u8)(0x40 | pick(16));
	if (pick(2))
		*at++ = 0x0f;
	*at++ = (u8)next_random();
	*at++ = (u8)(pick(2) ? pick(64) & ~7u : next_random()) | (u8)pick(8);
	return at;
}

static u8 one_instruction(void)
{
	u8 *code = (u8 *)USER_CODE, *at = code;
	struct frame f = { 0 };
	u64 *registers[] = { &f.rax, &f.rbx, &f.rcx, &f.rdx, &f.rsi, &f.rdi, &f.rbp, &f.r8, &f.r9, &f.r10, &f.r11, &f.r12, &f.r13,
			     &f.r14, &f.r15 };

	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		*registers[i] = random_register();
	if (!pick(4))
		f.rcx = pick(5);
	if (pick(3))
		at = put_opcode(at);
	while (at < code + 16)
		*at++ = (u8)next_random();
	memset(at, 0xcc, 16);
	return run_user(&f);
}

/* ---- all */
static bool is_possible(unsigned kind, u8 vector)
{
	static const u64 user = 1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 11 |
		1ull << 12 | 1ull << 13 | 1ull << 14 | 1ull << 16 | 1ull << 17 | 1ull << 19;

	switch (kind) {
	case INSTRUCTIONS: return vector < 32 && user >> vector & 1;
	case MSRS: return vector == NO_FAULT || vector == 13;
	case HYPERCALLS: return vector == NO_FAULT || vector == 6;
	}
	return vector == NO_FAULT;
}

/* an instruction of one byte behind OUT to port 7Eh, which KVM by default skips for the host */
static bool goes_on_behind(void)
{
	u64 flags;

	__asm__ volatile("cld; out %%eax, %%dx; std; pushfq; cld; pop %0" : "=r"(flags) : "a"(0), "d"(0x7e) : "memory", "cc");
	return flags & BIT(10);
}

void sweep_run(u64 count, u64 kinds)
{
	static u8 (*const each[])(void) = { one_port, one_mmio, one_msr, one_hypercall, one_instruction };
	u64 wrong = 0;

	expect("there are hypercalls", hypercalls_enable(), true);
	expect("the instruction behind OUT to port 7Eh is not skipped", goes_on_behind(), true);
	for (u64 i = 0; i < count; i++) {
		unsigned kind = pick(5);

		if (!(kinds >> kind & 1))
			continue;
		u8 vector = each[kind]();

		counts[kind]++;
		vectors[kind][vector]++;
		if (!is_possible(kind, vector) && wrong++ < 10) {
			put_text("case ");
			put_number(i);
			put_text(", ");
			put_text(names[kind]);
			put_text(": vector ");
			put_number(vector);
			for (unsigned k = 0; kind == INSTRUCTIONS && k < 16; k++) {
				put_text(k ? " " : ": ");
				put_hex(((u8 *)USER_CODE)[k]);
			}
			put_text("\n");
		}
	}
	for (unsigned kind = 0; kind < ARRAY_SIZE(names); kind++) {
		put_text(names[kind]);
		put_text(": ");
		put_number(counts[kind]);
		for (unsigned v = 0; v < 256; v++)
			if (vectors[kind][v]) {
				put_text(v == NO_FAULT ? ", no fault " : ", vector ");
				if (v != NO_FAULT) {
					put_number(v);
					put_text(" ");
				}
				put_number(vectors[kind][v]);
			}
		put_text("\n");
	}
	expect("faults that the architecture does not have", wrong, 0);
}
