/*
 * Whether it was the guest's watchdog that ended its last life: a byte in the machine's own state, since a reset takes all else.
 * Belongs to the store's executor; one of the two functions at a time.
 * Source: openvmm vm/devices/watchdog/watchdog_vmgs_format (the byte), watchdog_core (asked and cleared in one).
 */
#pragma once

#include "vmm/vmgs/store.h"

struct boot_status {
	bool watchdog;                /* it was */
	/* private */
	struct store *store;
	struct store_request request;
	void (*done)(void *context);
	void *context;
	u8 value;
};

/*
 * At the start of a life: fills b->watchdog, and clears what was kept: the next reset may have another cause. store may be NULL:
 * no. done() comes once, perhaps before this returns; what cannot be read or cleared is said, and taken for no.
 */
void boot_status_take(struct boot_status *b, struct store *store, void (*done)(void *context), void *context);
/* the watchdog expired, and a reset follows done(), which comes once, also when it could not be kept (said) */
void boot_status_keep(struct boot_status *b, struct store *store, void (*done)(void *context), void *context);
