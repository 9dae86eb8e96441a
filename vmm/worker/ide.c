/* The IDE controller of VTL0, and what it waits for: its disks are there when VTL0 starts, or not at all. */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/worker/worker.h"

LOG_DOMAIN("assemble");

#define IDE_WAIT_NS 30000000000ull /* for controllers below a disk; then VTL0 starts without it */

int assemble_ide_add(struct worker *w, struct storage_disk *d, struct disk *disk)
{
	if (w->came & WORKER_WAIT_DISKS) {
		disk_destroy(disk);
		return log_err(-EBUSY, "IDE drive %u:%u comes too late: VTL0 runs", d->channel, d->location);
	}
	return ide_add(w->board.ide, d->channel, d->location, d->dvd ? IDE_CD : IDE_DISK, disk);
}

void assemble_ide_wait(struct worker *w)
{
	const struct storage_controller *c = storage_ide(&w->disks.config);
	bool missing = false;

	for (u32 i = 0; c && i < c->count; i++)
		missing |= c->disks[i].kind == STORAGE_NVME && !c->disks[i].attached;
	if (!missing)
		worker_release(w, WORKER_WAIT_DISKS);
	else if (!((w->waits_for | w->came) & WORKER_WAIT_DISKS))
		worker_hold(w, WORKER_WAIT_DISKS, IDE_WAIT_NS);
}
