/* IDE disks of VTL0: there when it starts, or not at all */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("assemble");

#define IDE_WAIT_NS 30000000000ull /* for controllers below a disk; then VTL0 starts without it */

static int add_ram(struct worker *w, struct storage_disk *d)
{
	struct guid id = GUID(0x9c0a4cd1, 0x5d3e, 0x4a1b, 0x8e, 0x2f, 0x50, 0x56, 0x49, 0x44, 0x45, 0x00);

	id.data4[7] = (u8)(1 + d->channel * IDE_DRIVES + d->location);
	struct disk *disk = storage_disk(d, &id);
	int r = disk ? assemble_ide_add(w, d, disk) : -ENOMEM;

	d->attached = !r;
	return r;
}

int assemble_ide(struct worker *w)
{
	int r;

	if (!storage_has(&w->storage, STORAGE_IDE))
		return 0;
	w->ide = ide_create(&(struct ide_config){ w->machine.guest, w->main, &w->isa });
	if (!w->ide)
		return -ENOMEM;
	r = pci_bridges_add(&w->bridges, &w->pci);
	if (!r)
		r = pci_bus_add(&w->pci, ide_function(w->ide));
	for (unsigned i = 0; i < w->storage.count && !r; i++) {
		struct storage_disk *d = &w->storage.disks[i];

		if (d->bus == STORAGE_IDE && d->kind == STORAGE_RAM)
			r = add_ram(w, d);
	}
	return r;
}

int assemble_ide_add(struct worker *w, struct storage_disk *d, struct disk *disk)
{
	if (w->released) {
		disk_destroy(disk);
		return log_err(-EBUSY, "IDE drive %u:%u comes too late: VTL0 runs", d->channel, d->location);
	}
	return ide_add(w->ide, d->channel, d->location, d->dvd ? IDE_CD : IDE_DISK, disk);
}

void assemble_ide_wait(struct worker *w)
{
	bool missing = false;

	for (unsigned i = 0; i < w->storage.count; i++)
		missing |= w->storage.disks[i].bus == STORAGE_IDE && !w->storage.disks[i].attached;
	if (!missing)
		worker_release(w);
	else if (!w->holds)
		worker_hold(w, IDE_WAIT_NS);
}
