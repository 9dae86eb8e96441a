/*
 * The IDE function of a PIIX4 (8086:7111): two channels at their legacy ports with two drives each, ATA disks or ATAPI CDs
 * over disks of vmm/disk. Accesses come from any VP and never wait: requests to the disks run on home, and their end raises
 * line 14 or 15.
 */
#pragma once

#include "vmm/chipset/pci.h"
#include "vmm/disk/disk.h"
#include "vmm/mem/guest.h"

#define IDE_CHANNELS 2u
#define IDE_DRIVES 2u
/* where the bus master is until the guest moves it: what Hyper-V's first generation shows */
#define IDE_BUS_MASTER_PORT 0xffa0u
#define IDE_BUS_MASTER_LEN 16u

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

struct ide;

struct ide_config {
	struct guest *guest;   /* where DMA goes */
	struct exec *home;     /* the disks' requests */
	struct isa *isa;
};

/* NULL, said: no memory */
struct ide *ide_create(const struct ide_config *config) __must_check;
/* no request may be under way, no access come any more; its disks are destroyed. NULL is fine. */
void ide_destroy(struct ide *ide);
/* for the bus, and for PCI */
struct device *ide_device(struct ide *ide);
struct pci_bus_function *ide_function(struct ide *ide);
/*
 * The disk becomes the drive's, also when this fails. Before the guest runs: IDE knows no hot plug. A CD is read-only whatever
 * the disk is. -EINVAL: sectors of other than 512 bytes, or no drive of that number; -EEXIST: one is there. Said.
 */
int ide_add(struct ide *ide, unsigned channel, unsigned drive, enum ide_kind kind, struct disk *disk) __must_check;
