/*
 * The guest's watchdog as Hyper-V's second generation has it: registers 27h (configuration), 28h (resolution: seconds) and 29h
 * (count) behind an index port and a data port, told to the guest by an ACPI table (WDAT). When it expires the machine is reset.
 * Sources: openvmm vm/devices/watchdog; mu_msvm MsvmPkg/AcpiTables/Wdat.aslc, Include/BiosInterface.h.
 */
#pragma once

#include "vmm/chipset/chipset.h"

#define WATCHDOG_PORT 0x30        /* index; data is 4 above (chipset_resources DEFAULT_WDAT_PORT_BASE) */
#define WATCHDOG_CONFIG 0x27u
#define WATCHDOG_RESOLUTION 0x28u
#define WATCHDOG_COUNT 0x29u
#define WATCHDOG_CONFIGURED 0x1u  /* of the configuration */
#define WATCHDOG_ENABLED 0x2u
#define WATCHDOG_ONE_SHOT 0x10u
#define WATCHDOG_BOOT_STATUS 0x100u /* the last reset was the watchdog's; writing it clears it */
#define WATCHDOG_MIN_COUNT 5u
#define WATCHDOG_MAX_COUNT 0xffffu

struct watchdog {
	struct device dev;
	struct power *power;
	u32 index, config, count, period; /* count: seconds of the next start; period: as the guest set it */
	u64 deadline_ns;         /* on home's clock; 0: it does not run */
	u64 left_ns;             /* while the device is stopped */
	bool stopped;
	struct timer timer;
	struct op post;
	bool post_busy;
	u64 starts, expired;
};

/* boot_status: it ended the guest's last life */
void watchdog_init(struct watchdog *w, struct exec *home, struct power *power, bool boot_status);
/* the guest does not run, or runs again: its watchdog's time stands still meanwhile. Any thread, without the device lock. */
void watchdog_pause(struct watchdog *w, bool paused);
