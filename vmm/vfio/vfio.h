/*
 * A PCI function through VFIO. What the host assigned to VTL2 has no IOMMU there: the device sees physical addresses, and
 * VTL2's are the guest's. A function in an IOMMU group sees what was mapped for it and nothing else. Linux
 * Documentation/driver-api/vfio.rst, include/uapi/linux/vfio.h.
 */
#pragma once

#include "lib/core/guid.h"
#include "lib/inspect/inspect.h"
#include "lib/task/exec.h"

#define VFIO_VECTORS_MAX 128u

struct vfio_device;

/* the functions now bound to vfio-pci, by the vPCI channel's instance; returns how many were written to list */
u32 vfio_find(struct guid *list, u32 max);

/*
 * Opens the function of a vPCI instance: group, container, device (which the kernel resets), bus mastering on. -ENOENT: no
 * such instance, or nothing bound; the rest is said.
 */
int vfio_open(const struct guid *instance, struct vfio_device **ret) __must_check;
/* the same for any function bound to vfio-pci, by its folder in /sys, e.g. /sys/bus/pci/devices/0000:00:04.0 */
int vfio_open_function(const char *folder, struct vfio_device **ret) __must_check;
/* no executor may still wait for its interrupts; NULL is fine */
void vfio_close(struct vfio_device *d);

/* maps a BAR for as long as the device is open; said */
int vfio_map_bar(struct vfio_device *d, u32 bar, void **ret_at, u64 *ret_len) __must_check;

/* MSI-X vectors 0 to count - 1, each with an eventfd; said. Once. */
int vfio_enable_interrupts(struct vfio_device *d, u32 count) __must_check;
u32 vfio_vector_count(const struct vfio_device *d);
/* wake the task on its executor at each interrupt of the vector; on the task's executor or before it runs */
int vfio_listen(struct vfio_device *d, u32 vector, struct task *task) __must_check;
/* wake the task when the kernel wants the device back; it then waits for vfio_release(). As vfio_listen(). */
int vfio_on_request(struct vfio_device *d, struct task *task) __must_check;
/*
 * Gives the device back: BARs are unmapped, descriptors closed, those of interrupts as soon as their executors come to it, which
 * run on. Only vfio_inspect() and vfio_close() may follow.
 */
void vfio_release(struct vfio_device *d);
const char *vfio_address(const struct vfio_device *d);
void vfio_inspect(void *d, struct inspect *in);

/* ---- what the device's addresses mean */
/* false: they are physical */
bool vfio_has_iommu(const struct vfio_device *d);
/*
 * With an IOMMU: the device finds this memory, whole pages, at that address, or at one chosen from the top of what the IOMMU
 * can do down, a multiple of align. Pinned until unmapped or released. Not two at a time. -EOPNOTSUPP without an IOMMU; said.
 */
int vfio_map_dma(struct vfio_device *d, void *at, u64 len, u64 address) __must_check;
int vfio_map_anywhere(struct vfio_device *d, void *at, u64 len, u64 align, u64 *ret_address) __must_check;
/* exactly what was mapped; said */
int vfio_unmap_dma(struct vfio_device *d, u64 address, u64 len) __must_check;

/* ---- memory for DMA that does not move, handed out piece by piece */
struct dma_pool;

/* For this device, which outlives its users; NULL: one without an IOMMU. No memory is taken yet. */
struct dma_pool *dma_pool_create(struct vfio_device *device) __must_check;
/* the device was released before: it may still write */
void dma_pool_destroy(struct dma_pool *pool);
/* whole pages, zeroed, contiguous, at most 2 MiB (of small pages, what lies together in 256 KiB); NULL: none, said */
void *dma_pool_alloc(struct dma_pool *pool, u32 len, u64 *ret_address);
/* a piece as it was handed out; the device has no command left that knows it. It serves for pieces of the same length. */
void dma_pool_free(struct dma_pool *pool, void *at, u32 len, u64 address);
/* pieces that are handed out */
u32 dma_pool_pieces(const struct dma_pool *pool);
void dma_pool_inspect(void *pool, struct inspect *in);
