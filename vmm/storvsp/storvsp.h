/*
 * A SCSI controller of VTL0 over VMBus: one channel, and sub-channels as the guest asks, each on its target VP's executor.
 * The controller belongs to its home executor, the server's.
 */
#pragma once

#include "vmm/storvsp/scsi.h"
#include "vmm/vmbus/vmbus.h"

struct storvsp;

/* offers the controller; NULL, said. max_sub_channels: 0 takes multi-channel away */
struct storvsp *storvsp_create(struct vmbus *bus, struct guest *guest, struct exec *home, const struct guid *instance,
			       unsigned max_sub_channels) __must_check;
/* its channels must be closed and nothing under way; for tests and the end of the process */
void storvsp_destroy(struct storvsp *s);
/*
 * On home; a running guest is told to look. The disk is the controller's from then on, also at an error; identity may be NULL.
 * -EEXIST, -EINVAL, -ENOMEM
 */
int storvsp_add(struct storvsp *s, unsigned lun, struct disk *disk, const struct scsi_identity *identity) __must_check;
/* on home. What is under way ends as it may, new commands find no unit, the guest is told to look; then the disk goes. -ENOENT */
int storvsp_remove(struct storvsp *s, unsigned lun) __must_check;
/*
 * On home, which is also that of what the unit's disk stands on: is the disk as large as it was? If not, the guest is told to
 * look, and hears of it as a unit attention. The sectors that it has now; 0: nothing has changed.
 */
u64 storvsp_measure(struct storvsp *s, unsigned lun);
void storvsp_inspect(void *storvsp, struct inspect *in);
