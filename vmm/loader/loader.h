/* Puts VTL0's first program into its memory: Linux by the 64-bit boot protocol, with ACPI tables. Before VTL0 runs. */
#pragma once

#include "spec/bootparam.h"
#include "vmm/hcl/hcl.h"
#include "vmm/mem/guest.h"

struct loader_entry {
	u64 rip, rsi, cr3, gdt_base;
	u16 gdt_limit;
};

/* what the tables must say beside the layout */
struct loader_machine {
	bool pci;      /* bus 0 behind configuration mechanism #1 has functions */
	bool watchdog; /* vmm/chipset/watchdog.h */
	bool tpm;      /* at its places (vmm/mem/places.h) */
};

/* of what is to be loaded, as it lies in VTL0's memory before that: whole pages of the kernel's file */
struct loader_part {
	u64 gpa, len;
};
struct loader_parts {
	struct loader_part kernel, initrd;
	char command_line[BOOT_COMMAND_LINE_SIZE];
};
/* for those who measure it, before loader_load(). Errors as there. */
int loader_parts(struct guest *guest, struct loader_parts *ret) __must_check;

/*
 * Reads the measured config at GPA 0 and loads what it names. -ENOENT: no Linux there; -ENOEXEC: not a 64-bit bzImage;
 * -ENOSPC: it does not fit; all said. Idempotent only on fresh memory.
 */
int loader_load(struct guest *guest, const struct partition_layout *layout, const struct loader_machine *machine,
		struct loader_entry *ret) __must_check;
/* initial registers of VP 0, on its thread */
int loader_set_registers(struct hcl_vp *vp, const struct loader_entry *entry) __must_check;

struct aml;
/* acpi_tpm.c: the TPM's device, with the methods of physical presence, into the open scope */
void acpi_tpm_device(struct aml *a);

/* ---- ACPI: all tables into buf, addresses as if buf were at gpa; len and rsdp, the RSDP's, are filled in. -ENOSPC. */
struct acpi_tables {
	u8 *buf;
	size_t room, len;
	u64 rsdp;
};
int acpi_build(const struct partition_layout *layout, const struct loader_machine *machine, u64 gpa,
	       struct acpi_tables *t) __must_check;
