/* A namespace of an NVMe controller as a disk. Knows neither who uses the disk nor how the controller is reached. */
#pragma once

#include "vmm/disk/disk.h"
#include "vmm/nvme/nvme.h"

struct nvme_disk_config {
	struct nvme *nvme;         /* ready; outlives the disk */
	u32 nsid;
	struct exec *const *execs; /* the controller's, in its order; copied */
	u32 exec_count;
	/*
	 * Where the device finds these bytes, contiguous there; false: nowhere, they are copied. Any thread. The device goes to
	 * that address unchecked: say yes only to memory that its user, the guest, may read and write.
	 * NULL: all is copied.
	 */
	bool (*address)(void *ctx, const void *at, size_t len, u64 *ret);
	void *ctx;
	struct guid id;            /* of the controller: for a namespace that has no name of its own */
};

/*
 * On the controller's home. NULL, said. Takes at most 4 MiB of DMA memory until it is destroyed (on the controller's home). A
 * request of an executor without a queue goes to queue 0's and back. Transfers that the device can reach go without a copy;
 * others, and buffers of a shape that it cannot take, through bounce buffers. Errors are those of struct nvme_request.
 */
struct disk *nvme_disk_create(const struct nvme_disk_config *config) __must_check;
