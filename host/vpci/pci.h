/*
 * One PCI function as a host offers it: configuration space, BARs, MSI-X and function-level reset are here; what is
 * behind the BARs is the device's, by struct pci_function_ops. The bus that carries the function (host/vpci/vpci.h) says
 * where its interrupts go.
 */
#pragma once

#include <pthread.h>

#include "spec/pci.h"

struct pci_function;

struct pci_function_ops { /* any thread, several at a time; the device locks for itself */
	/* size 1, 2, 4 or 8, within the BAR; little endian */
	u64 (*read)(struct pci_function *f, u32 bar, u64 offset, u32 size);
	void (*write)(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value);
	/*
	 * Function-level reset, or the bus goes away. When it returns the device does no DMA and raises no interrupt until
	 * it is set up again.
	 */
	void (*reset)(struct pci_function *f);
};

#define PCI_VECTORS_MAX 128u

struct pci_identity {
	u16 vendor, device, subsystem_vendor, subsystem;
	u32 class_code; /* base, sub-class, interface */
	u8 revision;
};

struct pci_function {
	const char *name;
	const struct pci_function_ops *ops;
	struct pci_identity identity;
	u64 bar_size[PCI_BAR_COUNT]; /* powers of two, 0: none; each is a 64-bit BAR and takes the next one's place too */
	u32 vector_count;
	u32 msix_bar; /* the BAR that holds table and PBA, nothing else */
	/* the message is sent; any thread, the function's lock is held: do not call back */
	void (*deliver)(void *ctx, u64 address, u32 data);
	void *deliver_ctx;
	/* private */
	pthread_mutex_t lock;
	u8 config[PCI_CONFIG_SIZE];
	struct pci_msix_entry table[PCI_VECTORS_MAX];
	u64 pending[PCI_VECTORS_MAX / 64];
	u64 config_reads, config_writes, interrupts, interrupts_masked, resets, strays;
};

/* identity, ops, bar_size, vector_count and msix_bar are filled in; CHECKs that they make sense */
void pci_function_init(struct pci_function *f);
void pci_function_fini(struct pci_function *f);
/* back to its state after power-on; also the device's */
void pci_function_reset(struct pci_function *f);

/* any size of 1, 2, 4; what is outside the space reads all ones. Any thread. */
u32 pci_config_read(struct pci_function *f, u32 offset, u32 size);
void pci_config_write(struct pci_function *f, u32 offset, u32 size, u32 value);
/* false: the address is not in an enabled BAR of this function. Any thread. */
bool pci_mmio(struct pci_function *f, u64 address, void *data, u32 len, bool write);
/* what BAR i would read after all ones were written, flags included */
u32 pci_bar_mask(const struct pci_function *f, u32 i);

/* raise an MSI-X vector: sent, kept pending while masked, dropped while MSI-X is off. Any thread. */
void pci_interrupt(struct pci_function *f, u32 vector);
/* may the function access memory? */
bool pci_is_master(struct pci_function *f);
