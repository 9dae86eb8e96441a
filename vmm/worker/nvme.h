/* The NVMe controllers that the host assigned to VTL2, each driven through VFIO. */
#pragma once

#include "lib/core/guid.h"
#include "vmm/nvme/nvme.h"

struct nvme_devices;

typedef void (*nvme_ready_fn)(void *ctx, struct nvme *n, u32 index, const struct guid *instance);

/*
 * Opens every controller bound to vfio-pci and starts its bring-up on home; queue i of each runs on execs[i]. Looks again
 * each second for ten seconds and while one is away, and when vm/nvme/look is written; one that came back is a new controller.
 * A controller that cannot be opened is said and left out. Home, or before it runs. -ENOMEM else 0.
 */
int nvme_devices_open(struct exec *home, struct exec *const *execs, u32 exec_count, struct nvme_devices **ret) __must_check;
/*
 * Before home runs: ready() on home, each time a controller may be used after a start or a reset, or its namespaces changed.
 * index: its place among those found, which it keeps when it comes back.
 */
void nvme_devices_watch(struct nvme_devices *d, nvme_ready_fn ready, void *ctx);
/* home: shuts all controllers down as far as they answer, then done->done() on home. d may be NULL. */
void nvme_devices_shutdown(struct nvme_devices *d, struct exec *home, struct op *done);
/* home: looks for controllers that came since; those found are opened */
void nvme_devices_look(struct nvme_devices *d);
/* NULL: no controller of that vPCI instance. Its state says whether it may be used. */
struct nvme *nvme_devices_find(struct nvme_devices *d, const struct guid *instance);
void nvme_devices_inspect(void *devices, struct inspect *in);
