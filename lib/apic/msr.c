#include "lib/apic/lapic.h"

static bool write_icr(struct lapic *apic, u64 value)
{
	/* in x2APIC mode the register is one of 64 bits */
	return (apic->x2apic || lapic_write(apic, LAPIC_ICR_HIGH, value >> 32)) && lapic_write(apic, LAPIC_ICR, value);
}

bool lapic_owns_msr(u32 msr)
{
	return msr == LAPIC_MSR_TSC_DEADLINE || (msr >= LAPIC_MSR_X2APIC_FIRST && msr <= LAPIC_MSR_X2APIC_LAST) ||
	       msr == HV_MSR_APIC_FREQUENCY || (msr >= HV_MSR_EOI && msr <= HV_MSR_TPR);
}

bool lapic_msr(struct lapic *apic, u32 msr, bool write, u64 *value)
{
	switch (msr) {
	case HV_MSR_APIC_FREQUENCY:
		if (!write)
			*value = apic->timer_hz;
		return !write;
	case HV_MSR_EOI:
		return write && lapic_write(apic, LAPIC_EOI, 0);
	case HV_MSR_ICR:
		if (!write)
			*value = apic->icr;
		return !write || write_icr(apic, *value);
	case HV_MSR_TPR:
		return write ? lapic_write(apic, LAPIC_TPR, *value) : lapic_read(apic, LAPIC_TPR, value);
	case LAPIC_MSR_TSC_DEADLINE:
		if (write)
			lapic_set_tsc_deadline(apic, *value);
		*value = apic->tsc_deadline;
		return true;
	}
	if (!apic->x2apic)
		return false;
	msr -= LAPIC_MSR_X2APIC_FIRST;
	return write ? lapic_write(apic, msr, *value) : lapic_read(apic, msr, value);
}
