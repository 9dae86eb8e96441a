#include "vmm/mem/places.h"

const struct place places[PLACE_COUNT] = {
	[PLACE_VTL0_CONFIG] = { "measured VTL0 config", 0x0, 0x1000, PLACE_RAM_LOADER }, /* loader_defs */
	[PLACE_GDT] = { "start-up GDT", 0x7000, 0x1000, PLACE_RAM_LOADER },
	[PLACE_BOOT_PARAMS] = { "boot_params", 0x8000, 0x1000, PLACE_RAM_LOADER },
	[PLACE_PAGE_TABLES] = { "start-up page tables", 0x10000, 0x6000, PLACE_RAM_LOADER },
	[PLACE_COMMAND_LINE] = { "command line", 0x20000, 0x1000, PLACE_RAM_LOADER },
	[PLACE_EVENT_LOG] = { "TCG event log", 0x80000, 0x10000, PLACE_RAM_RESERVED },
	[PLACE_GENERATION_ID] = { "generation ID", 0x91000, 0x1000, PLACE_RAM_RESERVED },
	[PLACE_ACPI] = { "ACPI tables", 0xe0000, 0x10000, PLACE_RAM_ACPI },
	[PLACE_SMBIOS] = { "SMBIOS", 0xf0000, 0x10000, PLACE_RAM_RESERVED },
	/*
	 * Linux gives no driver what an e820 map reserves from below 1 MiB on (arch/x86/kernel/e820.c do_mark_busy); ranges that
	 * meet are one to it.
	 */
	[PLACE_TPM_REGISTERS] = { "TPM registers", 0x200000, 0x1000, PLACE_RAM_RESERVED },
	[PLACE_TPM_BUFFERS] = { "TPM buffers", 0x201000, 0x2000, PLACE_RAM_RESERVED },
	[PLACE_IOAPIC] = { "IO-APIC", 0xfec00000, 0x1000, PLACE_MMIO },
	[PLACE_TPM_CRB] = { "TPM CRB", 0xfed40000, 0x1000, PLACE_MMIO }, /* facts B10; PTP 1.05, 6.5.3 */
	[PLACE_LAPIC] = { "local APIC", 0xfee00000, 0x1000, PLACE_MMIO },
};
