/*
 * Group, container and what the device's addresses mean: VFIO type 1, where they are what was mapped, or no IOMMU, where they
 * are physical. Linux Documentation/driver-api/vfio.rst, include/uapi/linux/vfio.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/core/bytes.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "vmm/vfio/internal.h"

LOG_DOMAIN("vfio");

/* what every IOMMU of x86 can translate, where the kernel does not tell */
#define IOVA_TOP_DEFAULT BIT(39)
#define INFO_MAX 65536u

/* the end of the highest range of addresses that may be mapped, from the chain of capabilities; 0: it is not there */
static u64 highest_address(struct bytes info, u32 offset)
{
	struct vfio_iommu_type1_info_cap_iova_range range;
	struct vfio_info_cap_header head;
	u64 top = 0;

	for (u32 links = 0; offset && links < 16; offset = head.next, links++) {
		struct bytes b = info;

		if (!bytes_skip(&b, offset) || !bytes_copy(&b, &head, sizeof(head)))
			return 0;
		if (head.id != VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			continue;
		b = info;
		if (!bytes_skip(&b, offset) || !bytes_copy(&b, &range, sizeof(range)))
			return 0;
		for (u32 i = 0; i < range.nr_iovas; i++) {
			struct vfio_iova_range r;

			if (!bytes_copy(&b, &r, sizeof(r)))
				return 0;
			top = MAX(top, r.end == ~0ull ? ALIGN_DOWN(r.end, (u64)PAGE_SIZE) : r.end + 1);
		}
	}
	return top;
}

static int read_addresses(struct vfio_device *d)
{
	struct vfio_iommu_type1_info first = { .argsz = sizeof(first) };
	_cleanup_free_ struct vfio_iommu_type1_info *info = NULL;

	d->iova_top = IOVA_TOP_DEFAULT;
	if (ioctl(d->container, VFIO_IOMMU_GET_INFO, &first))
		return log_err(-errno, "%s: what the IOMMU can do", d->address);
	if (!(first.flags & VFIO_IOMMU_INFO_CAPS) || first.argsz <= sizeof(first) || first.argsz > INFO_MAX)
		return 0;
	info = calloc(1, first.argsz);
	if (!info)
		return log_err(-ENOMEM, "%s: what the IOMMU can do", d->address);
	info->argsz = first.argsz;
	if (ioctl(d->container, VFIO_IOMMU_GET_INFO, info))
		return log_err(-errno, "%s: what the IOMMU can do", d->address);
	u64 top = highest_address(bytes_of(info, first.argsz), info->cap_offset);

	/* a multiple of a page, and not so high that a driver's sums overflow */
	if (top)
		d->iova_top = MIN(ALIGN_DOWN(top, (u64)PAGE_SIZE), BIT(62));
	return 0;
}

static int open_node(struct vfio_device *d, const char *number)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%.31s", number);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	d->iommu = d->group >= 0 || errno != ENOENT;
	if (!d->iommu) {
		snprintf(path, sizeof(path), "/dev/vfio/noiommu-%.31s", number);
		d->group = open(path, O_RDWR | O_CLOEXEC);
	}
	if (d->group < 0)
		return log_err(-errno, "%s of %s%s", path, d->address,
			       errno == EBUSY ? ": another function of its group is open" : "");
	return 0;
}

static int set_container(struct vfio_device *d, const char *number)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	unsigned long kind = d->iommu ? VFIO_TYPE1v2_IOMMU : VFIO_NOIOMMU_IOMMU;

	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->container < 0)
		return log_err(-errno, "/dev/vfio/vfio");
	if (ioctl(d->group, VFIO_GROUP_GET_STATUS, &status))
		return log_err(-errno, "group %s of %s", number, d->address);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return log_err(-EBUSY, "group %s of %s: the kernel's drivers still have functions of it", number, d->address);
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container))
		return log_err(-errno, "container of %s", d->address);
	if (ioctl(d->container, VFIO_SET_IOMMU, kind))
		return log_err(-errno, "%s with%s an IOMMU", d->address, d->iommu ? "" : "out");
	return d->iommu ? read_addresses(d) : 0;
}

int group_open(struct vfio_device *d, const char *function)
{
	char path[300], number[32];
	int r;

	if (snprintf(path, sizeof(path), "%s/iommu_group", function) >= (int)sizeof(path) ||
	    sysfs_link_name(path, number, sizeof(number)))
		return log_err(-ENOENT,
			"%s has no IOMMU group: is vfio.enable_unsafe_noiommu_mode=1 on the command line?", d->address);
	r = open_node(d, number);
	if (!r)
		r = set_container(d, number);
	if (r)
		return r;
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->address);
	return d->fd < 0 ? log_err(-errno, "device %s", d->address) : 0;
}

/* ---- addresses */

bool vfio_has_iommu(const struct vfio_device *d)
{
	return d->iommu;
}

int vfio_map_dma(struct vfio_device *d, void *at, u64 len, u64 address)
{
	struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m), .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
					      .vaddr = (uintptr_t)at, .iova = address, .size = len };

	if (!d->iommu)
		return log_err(-EOPNOTSUPP, "%s has no IOMMU to map %#lx with", d->address, address);
	if (ioctl(d->container, VFIO_IOMMU_MAP_DMA, &m))
		return log_err(-errno, "%s: %lu bytes at address %#lx of the device%s", d->address, len, address,
			       errno == ENOMEM ? ": RLIMIT_MEMLOCK, perhaps" : "");
	d->maps++;
	d->mapped_bytes += len;
	return 0;
}

int vfio_map_anywhere(struct vfio_device *d, void *at, u64 len, u64 align, u64 *ret_address)
{
	u64 address = d->iova_top < len ? 0 : ALIGN_DOWN(d->iova_top - len, align);

	if (d->iommu && address < align)
		return log_err(-ENOSPC, "%s: %lu bytes of the device's addresses", d->address, len);
	int r = vfio_map_dma(d, at, len, address);

	if (r)
		return r;
	d->iova_top = address;
	*ret_address = address;
	return 0;
}

int vfio_unmap_dma(struct vfio_device *d, u64 address, u64 len)
{
	struct vfio_iommu_type1_dma_unmap m = { .argsz = sizeof(m), .iova = address, .size = len };

	if (!d->iommu || d->container < 0)
		return 0; /* nothing is mapped, or it went with the container */
	if (ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &m))
		return log_err(-errno, "%s: address %#lx of the device", d->address, address);
	if (m.size != len)
		return log_err(-ENOENT, "%s: %#lx bytes were mapped at address %#lx, not %#lx", d->address, (u64)m.size, address,
			       len);
	d->mapped_bytes -= len;
	return 0;
}
