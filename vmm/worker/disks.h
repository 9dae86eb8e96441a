/*
 * VTL0's disks as they come and go: controllers made at the start, LUNs attached when what is behind them is ready, and
 * changed when the host sends other settings. Belongs to the main executor.
 */
#pragma once

#include "vmm/worker/storage.h"

struct nvme;
struct worker;

#define DISKS_CONTROLLERS_MAX 64u /* NVMe controllers that were ready once */

struct disks {
	struct worker *worker;
	struct storage_config config;
	struct storvsp *scsi[STORAGE_CONTROLLERS_MAX]; /* in the configuration's order; NULL: none, or not SCSI */
	struct disks_ready {
		struct nvme *nvme;
		u32 index;
		struct guid instance;
	} ready[DISKS_CONTROLLERS_MAX];
	u32 ready_count;
	struct timer late;
	u64 changes, refused;
};

/*
 * Reads the configuration, so that it is known which controllers there are. One that makes no sense is said and left out: a
 * guest without disks is of more use than none. settings: the host's document, may be empty.
 */
void disks_configure(struct disks *d, struct worker *w, const void *settings, size_t len);
/* offers the controllers, with what needs no device; VMBus and the IDE controller are there. -errno, said. */
int disks_create(struct disks *d) __must_check;
/* before main runs, with the NVMe controllers opened */
void disks_watch(struct disks *d);
/* other settings while VTL0 may run: all of it or, -EINVAL with *error filled, nothing */
int disks_change(struct disks *d, const void *settings, size_t len, struct settings_error *error) __must_check;
void disks_inspect(void *disks, struct inspect *in);
