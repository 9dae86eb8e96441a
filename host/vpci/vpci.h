/*
 * A virtual PCI bus with one function, offered to VTL2 over VMBus as Hyper-V offers assigned devices. Messages are
 * handled on the loop's thread; configuration window, BARs and interrupt retargeting on any VP's.
 */
#pragma once

#include "host/vmbus/channel.h"
#include "host/vpci/pci.h"

struct vpci;

struct vpci_config {
	struct guid instance;           /* names the device to the guest; Data2 becomes the PCI domain */
	struct pci_function *function;  /* the caller's; init was called, outlives the bus */
	u32 serial;
	u32 vp_count;
	/* any thread */
	void (*interrupt)(void *ctx, u32 vp, u8 vector);
	void *ctx;
};

struct vpci_counters {
	u64 messages, refused, interrupts, interrupts_lost, retargets, window_accesses;
	u32 version, interrupts_used;
	bool in_d0, offered;
};

/* Makes the bus and offers it. Loop thread, or before the loop runs. */
int vpci_create(struct vmbus *vmbus, const struct vpci_config *config, struct vpci **ret) __must_check;
/* after vmbus_destroy(); NULL is fine */
void vpci_destroy(struct vpci *bus);

/* Ask the guest to let go of the device; when it has, the offer is taken back. -EALREADY: no guest has it. Loop thread. */
int vpci_eject(struct vpci *bus) __must_check;
/* Take it away without asking. -EALREADY: it is gone already. Loop thread. */
int vpci_unplug(struct vpci *bus) __must_check;
/* Offer it again. -EALREADY: it is offered, or the guest still holds the old offer. Loop thread. */
int vpci_plug(struct vpci *bus) __must_check;

/* Any VP's thread. false: not this bus's address. */
bool vpci_mmio(struct vpci *bus, u64 address, void *data, u32 len, bool write);
/* HvCallRetargetDeviceInterrupt. HV_STATUS_INVALID_PARAMETER also when the device is not this bus's. Any VP's thread. */
u16 vpci_retarget(struct vpci *bus, const void *input, u32 len);

/* one packet as the channel brings it, payload of p->len bytes; the channel's signal calls it, and so do tests */
void vpci_receive(struct vpci *bus, const struct ring_received *p, const void *payload);

void vpci_read_counters(struct vpci *bus, struct vpci_counters *ret);
const struct guid *vpci_instance(const struct vpci *bus);
