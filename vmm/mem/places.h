/* Guest-physical places of ours in VTL0's address space: one table, so that no two features meet. Constant. */
#pragma once

#include "lib/core/types.h"

enum place_kind { PLACE_RAM_LOADER, PLACE_RAM_RESERVED, PLACE_RAM_ACPI, PLACE_MMIO };

struct place {
	const char *name;
	u64 base, len;
	enum place_kind kind; /* RAM_RESERVED and RAM_ACPI are kept from the guest in e820 */
};

enum place_id {
	PLACE_VTL0_CONFIG, PLACE_GDT, PLACE_BOOT_PARAMS, PLACE_PAGE_TABLES, PLACE_COMMAND_LINE, PLACE_EVENT_LOG,
	PLACE_GENERATION_ID, PLACE_ACPI, PLACE_SMBIOS, PLACE_TPM_REGISTERS, PLACE_TPM_BUFFERS,
	PLACE_IOAPIC, PLACE_TPM_CRB, PLACE_LAPIC, PLACE_COUNT
};

extern const struct place places[PLACE_COUNT];

/* there only where there is a TPM */
static inline bool place_is_tpms(const struct place *p)
{
	return p == &places[PLACE_TPM_REGISTERS] || p == &places[PLACE_TPM_BUFFERS] || p == &places[PLACE_EVENT_LOG];
}
