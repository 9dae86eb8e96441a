#include "boot/machine.h"

#define CPUID_HYPERVISOR BIT(31) /* leaf 1 ECX */
#define HV_LEAF_BASE 0x40000000u
#define HV_LEAF_FEATURES 0x40000003u
#define HV_SIGNATURE_EBX 0x7263694Du /* "Micr" */
#define HV_SIGNATURE_ECX 0x666F736Fu /* "osof" */
#define HV_SIGNATURE_EDX 0x76482074u /* "t Hv" */
#define HV_FEATURE_TIME_REF_COUNT BIT(1) /* EAX */
#define HV_FEATURE_CRASH_MSRS BIT(10) /* EDX */

#define HV_MSR_TIME_REF_COUNT 0x40000020u
#define HV_MSR_CRASH_P0 0x40000100u
#define HV_MSR_CRASH_CTL 0x40000105u
#define HV_CRASH_MESSAGE BIT(62)
#define HV_CRASH_NOTIFY BIT(63)

#define COM3 0x3E8u
#define UART_DATA 0u
#define UART_INTERRUPT 1u
#define UART_FIFO 2u
#define UART_LINE_CONTROL 3u
#define UART_MODEM_CONTROL 4u
#define UART_LINE_STATUS 5u
#define UART_LCR_8N1 0x03u
#define UART_LCR_DIVISOR 0x80u
#define UART_LSR_EMPTY 0x20u

static bool has_time, has_crash;

struct cpuid_result {
	u32 eax, ebx, ecx, edx;
};

static struct cpuid_result cpuid(u32 leaf)
{
	struct cpuid_result r;

	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
	return r;
}

static u64 read_msr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (u64)high << 32;
}

static void write_msr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static u8 in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void machine_detect(void)
{
	struct cpuid_result r;

	if (!(cpuid(1).ecx & CPUID_HYPERVISOR))
		return;
	r = cpuid(HV_LEAF_BASE);
	if (r.eax < HV_LEAF_FEATURES || r.ebx != HV_SIGNATURE_EBX || r.ecx != HV_SIGNATURE_ECX || r.edx != HV_SIGNATURE_EDX)
		return;
	r = cpuid(HV_LEAF_FEATURES);
	has_time = r.eax & HV_FEATURE_TIME_REF_COUNT;
	has_crash = r.edx & HV_FEATURE_CRASH_MSRS;
}

bool machine_reference_time(u64 *ret)
{
	if (has_time)
		*ret = read_msr(HV_MSR_TIME_REF_COUNT);
	return has_time;
}

void machine_report_crash(u64 code, u64 rip, const char *text, u32 len)
{
	u64 control = HV_CRASH_NOTIFY;

	if (!has_crash)
		return;
	if (read_msr(HV_MSR_CRASH_CTL) & HV_CRASH_MESSAGE)
		control |= HV_CRASH_MESSAGE;
	write_msr(HV_MSR_CRASH_P0, code);
	write_msr(HV_MSR_CRASH_P0 + 1, rip);
	write_msr(HV_MSR_CRASH_P0 + 2, 0);
	write_msr(HV_MSR_CRASH_P0 + 3, control & HV_CRASH_MESSAGE ? (u64)text : 0);
	write_msr(HV_MSR_CRASH_P0 + 4, control & HV_CRASH_MESSAGE ? len : 0);
	write_msr(HV_MSR_CRASH_CTL, control);
}

_Noreturn void machine_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void serial_init(void)
{
	out8(COM3 + UART_INTERRUPT, 0);
	out8(COM3 + UART_LINE_CONTROL, UART_LCR_DIVISOR | UART_LCR_8N1);
	out8(COM3 + UART_DATA, 1);
	out8(COM3 + UART_INTERRUPT, 0);
	out8(COM3 + UART_LINE_CONTROL, UART_LCR_8N1);
	out8(COM3 + UART_FIFO, 1);
	out8(COM3 + UART_MODEM_CONTROL, 3);
}

static void write_byte(u8 byte)
{
	/* bounded: a dead port must not keep VTL2 from booting */
	for (u32 tries = 0; tries < 10000 && !(in8(COM3 + UART_LINE_STATUS) & UART_LSR_EMPTY); tries++)
		__asm__ volatile("pause");
	out8(COM3 + UART_DATA, byte);
}

void serial_write(const char *text, u32 len)
{
	for (u32 i = 0; i < len; i++) {
		if (text[i] == '\n')
			write_byte('\r');
		write_byte((u8)text[i]);
	}
}
