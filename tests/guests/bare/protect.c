/* Memory that is not the guest's: wherever it is touched, and by whoever is asked to, there are ones and nothing else. */
#include "spec/hv.h"
#include "spec/hv_msr.h"
#include "tests/guests/bare/bare.h"

#define UNIT (2 * MiB)
#define TOP (16 * GiB)
#define MMIO_BASE 0xf8000000ull

static u8 input[4096] __attribute__((aligned(4096)));

static bool is_ram(u64 at, u64 len)
{
	for (u32 i = 0; i < boot_params->e820_entries; i++) {
		const struct e820_entry *e = &boot_params->e820_table[i];

		if (e->type == E820_RAM && ranges_overlap(at, len, e->addr, e->size))
			return true;
	}
	return false;
}

/* every 2 MiB of what the memory map leaves out; the first one found below the MMIO gap, or 0 */
static u64 look_everywhere(void)
{
	u64 units = 0, others = 0, faults = 0, first = 0;

	for (u64 at = UNIT; at < TOP; at += UNIT) {
		u64 value = 0, again = 0;

		if (is_ram(at, UNIT) || (at >= MMIO_BASE && at < 4 * GiB))
			continue;
		if (!first)
			first = at;
		units++;
		faults += try_read(at + 0x1238, 8, &value) != NO_FAULT;
		faults += try_write(at + 0x1238, 8, 0x5555555555555555) != NO_FAULT;
		faults += try_read(at + 0x1238, 8, &again) != NO_FAULT;
		others += value != ~0ull || again != ~0ull;
	}
	put_number(units);
	put_text(" units of 2 MiB are not the guest's\n");
	expect("there is memory that is not the guest's", units > 0, 1);
	expect("all of it reads as ones, also after a write", others, 0);
	expect("none of it faults", faults, 0);
	return first;
}

static void over_the_edge(void)
{
	for (u32 i = 0; i < boot_params->e820_entries; i++) {
		const struct e820_entry *e = &boot_params->e820_table[i];
		u64 end = e->addr + e->size, value;

		if (e->type != E820_RAM || end < 16 * MiB || end >= TOP || is_ram(end, 8))
			continue;
		expect("an access over the end of RAM: does not fault", try_write(end - 4, 8, 0x1122334455667788), NO_FAULT);
		expect("reads it back", try_read(end - 4, 8, &value), NO_FAULT);
		expect("half of it is memory", value, 0xffffffff55667788);
	}
}

static u64 call(u32 code, u32 reps, u64 in, u64 out)
{
	u64 result = ~0ull;

	if (try_hypercall(code | (u64)reps << 32, in, out, &result) != NO_FAULT)
		return ~0ull;
	return result & 0xffff;
}

static void ask_the_hypervisor(u64 foreign)
{
	static const struct { const char *name; u32 code, reps; } calls[] = {
		{ "HvModifyVtlProtectionMask", HVCALL_MODIFY_VTL_PROTECTION_MASK, 1 },
		{ "HvEnablePartitionVtl", HVCALL_ENABLE_PARTITION_VTL, 0 }, { "HvEnableVpVtl", HVCALL_ENABLE_VP_VTL, 0 },
		{ "HvInstallIntercept", HVCALL_INSTALL_INTERCEPT, 0 }, { "HvGetVpRegisters", HVCALL_GET_VP_REGISTERS, 1 },
		{ "HvSetVpRegisters", HVCALL_SET_VP_REGISTERS, 1 },
		{ "HvTranslateVirtualAddress", HVCALL_TRANSLATE_VIRTUAL_ADDRESS, 0 },
		{ "HvRegisterInterceptResult", HVCALL_REGISTER_INTERCEPT_RESULT, 0 },
		{ "HvAssertVirtualInterrupt", HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0 },
		{ "HvStartVirtualProcessor", HVCALL_START_VP, 0 },
		{ "HvSignalEventDirect", HVCALL_SIGNAL_EVENT_DIRECT, 0 },
		{ "HvPostMessageDirect", HVCALL_POST_MESSAGE_DIRECT, 0 },
		{ "HvVtlReturn", HVCALL_VTL_RETURN, 0 }, { "HvVtlCall", HVCALL_VTL_CALL, 0 },
	};

	expect("there are hypercalls", hypercalls_enable(), true);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		memset(input, 0, sizeof(input));
		*(u64 *)input = ~0ull;                     /* this partition */
		*(u32 *)(input + 8) = 0xfffffffe;          /* this VP */
		input[12] = input[13] = input[16] = 0x12;  /* VTL2, wherever the call has it */
		expect(calls[i].name, call(calls[i].code, calls[i].reps, (u64)input, (u64)input + 2048) == 0, 0);
	}
	expect("a message out of VTL2's memory", call(HVCALL_POST_MESSAGE, 0, foreign, 0) == 0, 0);
	memset(input, 0, sizeof(input));
	*(u64 *)input = ~0ull;
	expect("an answer into VTL2's memory", call(HVCALL_GET_VP_INDEX_FROM_APIC_ID, 1, (u64)input, foreign) == 0, 0);
	expect("an answer into the guest's own", call(HVCALL_GET_VP_INDEX_FROM_APIC_ID, 1, (u64)input, (u64)input + 2048), 0);
}

/* pages that the hypervisor or the firmware writes by itself; there is nobody to tell but the machine, which goes on */
static void place_pages(u64 foreign)
{
	static const u32 pages[] = { HV_MSR_REFERENCE_TSC, HV_MSR_VP_ASSIST_PAGE,
				     HV_MSR_SIEFP, HV_MSR_SIMP, HV_MSR_HYPERCALL };
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		(void)try_wrmsr(pages[i], foreign | 1);
		expect("its memory reads as ones still", try_read(foreign, 8, &value) == NO_FAULT && value == ~0ull, 1);
	}
	/* a timer message for a page that is VTL2's */
	(void)try_wrmsr(HV_MSR_SCONTROL, 1);
	(void)try_wrmsr(HV_MSR_SINT0 + 4, 0x40);
	(void)try_wrmsr(HV_MSR_STIMER0_CONFIG, 1 | 1 << 3 | 4 << 16);
	(void)try_wrmsr(HV_MSR_STIMER0_CONFIG + 1, 1);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		(void)try_wrmsr(pages[i], 0);
	(void)try_wrmsr(HV_MSR_STIMER0_CONFIG, 0);
}

void protect_run(void)
{
	u64 foreign = look_everywhere();

	if (!foreign)
		return;
	over_the_edge();
	/* ones are no instruction */
	expect("it cannot be executed", try_execute(foreign), 6);
	ask_the_hypervisor(foreign);
	place_pages(foreign);
}
