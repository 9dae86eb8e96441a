/*
 * What every VTL0 has around its VPs: the bus with the platform's devices, and the VMBus server, wired to one another and to the
 * VPs of a struct machine. The VPs, guest memory and what ends a machine are the owner's.
 */
#pragma once

#include "vmm/chipset/ide/ide.h"
#include "vmm/chipset/pci.h"
#include "vmm/vmbus/vmbus.h"
#include "vmm/vp/vp.h"

struct board {
	struct machine machine;         /* what is not filled in by the functions below is the owner's */
	struct exec *home;
	struct bus bus;
	struct isa isa;
	struct power power;             /* event: the owner's */
	struct ioapic ioapic;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct pm pm;
	struct legacy legacy;
	struct com com[2];
	struct pci_bus pci;
	struct pci_bridges bridges;
	struct ide *ide;                /* NULL: the guest has no IDE disk, and no PCI */
	struct vmbus *vmbus;
};

/*
 * Zeroed at birth; the owner's fields of machine may be set already. Devices get their timers on home. No device raises a line
 * before board_attach(), nor does one that the owner adds: the bus makes the locks.
 */
void board_init(struct board *b, struct exec *home);
/* before board_attach(), machine.guest being set: the IDE function and its bridges, no drives. -errno */
int board_add_ide(struct board *b) __must_check;
/* the devices above to the bus; the owner may add others after it, and starts it. -errno */
int board_attach(struct board *b) __must_check;
/* the VMBus server for VPs that machine.vp finds, machine.guest being set. -errno */
int board_create_vmbus(struct board *b, u32 vp_count) __must_check;
/* server and IDE controller; nothing may be under way on them */
void board_destroy(struct board *b);

/* bus and VMBus, which must be held: their records, and the way back, with their errors. On home, while no VP runs. */
void board_save(struct board *b, struct saver *s);
int board_restore(struct board *b, struct loader l) __must_check;
