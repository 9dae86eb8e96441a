/*
 * PCI bus 0 behind configuration mechanism #1, with functions that devices of ours put there. Without functions nobody
 * answers, which is what a machine without PCI looks like. Lock order: the bus, then a function's device.
 */
#pragma once

#include "spec/pci.h"
#include "vmm/chipset/chipset.h"

#define PCI_FUNCTIONS_MAX 16
/* where BARs of ports may lie: a BAR elsewhere is stored and not decoded. The DSDT's window is larger, as a PC's is. */
#define PCI_IO_BASE 0xc000u
#define PCI_IO_LEN 0x4000u

struct pci_bus_function {
	const char *name;
	u8 devfn;
	u8 config[PCI_CONFIG_SIZE];
	u8 writable[PCI_CONFIG_SIZE];    /* the bits that the guest may change */
	u8 initial[PCI_CONFIG_SIZE];     /* pci_bus_add() keeps it for the reset */
	struct device *dev;              /* its lock is held around all that changes or asks the function; NULL: no one's */
	u16 io_len[PCI_BAR_COUNT];       /* a power of two; 0: no BAR of ports */
	/* a byte or more from offset on was written or reset; NULL: nobody cares */
	void (*written)(struct pci_bus_function *, unsigned offset, unsigned len);
	/* an access within a BAR of ports that is enabled; offset from its start */
	enum io_status (*io)(struct pci_bus_function *, unsigned bar, struct io_access *);
};

struct pci_bus {
	struct device dev;
	struct power *power;             /* port CF9h resets */
	u32 address;
	struct pci_bus_function *functions[PCI_FUNCTIONS_MAX];
	unsigned count;
	u64 config_reads, config_writes, nobody;
};

void pci_bus_init(struct pci_bus *bus, struct power *power);
/* before bus_attach(). The function outlives the bus. -EEXIST, -ENOSPC, said. */
int pci_bus_add(struct pci_bus *bus, struct pci_bus_function *function) __must_check;
/* identity, class and what every type 0 header lets software change: command, cache line, latency, interrupt line */
void pci_bus_function_init(struct pci_bus_function *function, const char *name, u8 devfn, u16 device, u32 class_code);
/* a BAR of ports at that place; len is a power of two, at least 4 */
void pci_bus_function_io(struct pci_bus_function *function, unsigned bar, u16 base, u16 len);
/* little endian */
static inline u16 pci_config_u16(const struct pci_bus_function *f, unsigned offset)
{
	return (u16)(f->config[offset] | f->config[offset + 1] << 8);
}
void pci_config_put(struct pci_bus_function *function, unsigned offset, u32 value, unsigned len);

/* ---- the two bridges that a PIIX4 machine has: host bridge 00:00.0, ISA bridge 00:07.0. They do nothing but be there. */
struct pci_bridges {
	struct pci_bus_function host, isa;
};
int pci_bridges_add(struct pci_bridges *bridges, struct pci_bus *bus) __must_check;
