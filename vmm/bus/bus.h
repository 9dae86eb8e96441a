/*
 * Ports and MMIO of VTL0 to devices. Attach everything before the first VP runs: then look-ups need no lock. An access takes
 * the device's lock only. A guest's mistake is all-ones or ignored, a counter and a rate-limited line.
 */
#pragma once

#include "vmm/bus/device.h"

#define BUS_REGIONS_MAX 64
#define BUS_DEVICES_MAX 32

struct bus {
	struct { const struct region *region; struct device *dev; unsigned index; } map[SPACES][BUS_REGIONS_MAX];
	unsigned count[SPACES];
	struct device *devices[BUS_DEVICES_MAX];
	unsigned device_count;
	atomic_uint_fast64_t unclaimed_reads[SPACES], unclaimed_writes[SPACES];
};

enum bus_result { BUS_DONE, BUS_UNCLAIMED, BUS_PENDING };

void bus_init(struct bus *bus);
/* -EEXIST when a region meets another's (both named), -ENOSPC */
int bus_attach(struct bus *bus, struct device *dev) __must_check;
/* any VP thread. *value: in, out; all ones (of size) when nobody answered. BUS_PENDING only with a token. */
enum bus_result bus_access(struct bus *bus, enum space space, u64 address, unsigned size, bool write, u64 *value,
			   struct io_token *token);
/* has somebody this address? Any thread. */
bool bus_claims(const struct bus *bus, enum space space, u64 address);
/* in order of attachment, stop in reverse */
void bus_start(struct bus *bus);
void bus_stop(struct bus *bus);
void bus_reset(struct bus *bus);
void bus_save(struct bus *bus, struct saver *s);
/* every attached device must be there; unknown optional records are skipped. -errno, said. */
int bus_restore(struct bus *bus, struct loader l) __must_check;
void bus_inspect(void *bus, struct inspect *in);
