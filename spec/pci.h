/*
 * PCI functions as software sees them. Sources: PCI Local Bus Specification 3.0, chapter 6 (configuration space, MSI-X);
 * PCI Express Base Specification 4.0, 7.5.3 (the Express capability); PCI Code and ID Assignment 1.11 (class codes).
 */
#pragma once

#include "lib/core/types.h"

/* ---- configuration space of a type 0 function */
#define PCI_CONFIG_SIZE 256u
#define PCI_EXPRESS_CONFIG_SIZE 4096u
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION_ID 0x08
#define PCI_CLASS_PROG 0x09
#define PCI_CLASS_SUB 0x0a
#define PCI_CLASS_BASE 0x0b
#define PCI_CACHE_LINE_SIZE 0x0c
#define PCI_LATENCY_TIMER 0x0d
#define PCI_BAR0 0x10
#define PCI_BAR_COUNT 6u
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID 0x2e
#define PCI_HEADER_TYPE 0x0e
#define PCI_HEADER_MULTIFUNCTION 0x80u
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3c

#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_COMMAND_INTX_DISABLE BIT(10)
#define PCI_STATUS_CAPABILITIES BIT(4)
#define PCI_BAR_IO 1u      /* ports; bits 0-1 are no address */
#define PCI_BAR_IO_FLAGS 3u
#define PCI_BAR_64 4u      /* memory, anywhere in 64 bits */
#define PCI_BAR_FLAGS 0xfu /* of a memory BAR */

/* NVM Express controller: mass storage, non-volatile memory, NVM Express I/O */
#define PCI_CLASS_NVME 0x010802u

/* ---- MSI-X (PCI 3.0, 6.8.2); offsets within the capability */
#define PCI_CAP_MSIX 0x11
#define PCI_MSIX_CONTROL 2
#define PCI_MSIX_TABLE 4
#define PCI_MSIX_PBA 8
#define PCI_MSIX_CAP_SIZE 12
#define PCI_MSIX_CONTROL_SIZE 0x7ffu
#define PCI_MSIX_CONTROL_MASK_ALL BIT(14)
#define PCI_MSIX_CONTROL_ENABLE BIT(15)

struct pci_msix_entry {
	u64 address;
	u32 data;
	u32 control; /* bit 0: masked */
};
_Static_assert(sizeof(struct pci_msix_entry) == 16, "PCI 3.0, 6.8.2.6");
#define PCI_MSIX_ENTRY_MASKED BIT(0)

/* ---- Express capability */
#define PCI_CAP_EXPRESS 0x10
#define PCI_EXPRESS_FLAGS 2 /* version 0-3, device type 4-7 */
#define PCI_EXPRESS_DEVICE_CAPS 4
#define PCI_EXPRESS_DEVICE_CONTROL 8
#define PCI_EXPRESS_DEVICE_STATUS 10
#define PCI_EXPRESS_CAP_SIZE 60
#define PCI_EXPRESS_CAPS_ROLE_BASED_ERRORS BIT(15)
#define PCI_EXPRESS_CAPS_FLR BIT(28)
#define PCI_EXPRESS_CONTROL_FLR BIT(15)

/* ---- configuration mechanism #1 (PCI 3.0, 3.2.2.3.2): address at CF8h, data at CFCh */
#define PCI_CONFIG_ADDRESS_PORT 0xcf8
#define PCI_CONFIG_DATA_PORT 0xcfc
#define PCI_RESET_CONTROL_PORT 0xcf9 /* of the chipset: a byte within the address */
#define PCI_RESET_CONTROL_CPU 0x04u
#define PCI_ADDRESS_ENABLE 0x80000000u
#define PCI_ADDRESS_BUS 0x00ff0000u
#define PCI_ADDRESS_DEVFN 0x0000ff00u
#define PCI_ADDRESS_REGISTER 0x000000fcu
#define PCI_DEVFN(device, function) ((u8)((device) << 3 | (function)))

/* ---- the functions of a machine of Hyper-V's first generation: Intel 440BX and PIIX4 (datasheets 290633, 290562) */
#define PCI_VENDOR_INTEL 0x8086
#define PCI_DEVICE_440BX 0x7192
#define PCI_DEVICE_PIIX4_ISA 0x7110
#define PCI_DEVICE_PIIX4_IDE 0x7111
#define PCI_CLASS_HOST_BRIDGE 0x060000u
#define PCI_CLASS_ISA_BRIDGE 0x060100u
#define PCI_CLASS_IDE_BUS_MASTER 0x010180u /* both channels at their legacy ports, bus master */
