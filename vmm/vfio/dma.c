/*
 * Memory whose address stays. Behind an IOMMU it is mapped for the device, which pins it. Without one its physical address must
 * not change: huge pages are neither swapped nor moved by compaction.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "vmm/vfio/vfio.h"

LOG_DOMAIN("dma");

#define HUGE_SIZE (2 * MiB)
#define HUGE_MAX 16u
/* Documentation/admin-guide/mm/pagemap.rst: the frame's number, and whether there is one */
#define PAGEMAP_FRAME ((1ull << 55) - 1)
#define PAGEMAP_PRESENT BIT(63)

struct dma_pool {
	struct vfio_device *iommu; /* NULL: physical addresses */
	struct {
		u8 *at;
		u64 address;
		u32 used;
	} pages[HUGE_MAX];
	u32 count;
	/* pieces that came back; listed here and not in themselves, where the device could write */
	struct spare {
		u8 *at;
		u64 address;
		u32 len;
	} *spares;
	u32 spare_count, spare_room, pieces;
	u64 allocations, failures;
};

struct dma_pool *dma_pool_create(struct vfio_device *device)
{
	struct dma_pool *pool = calloc(1, sizeof(*pool));

	if (pool && device && vfio_has_iommu(device))
		pool->iommu = device;
	return pool;
}

void dma_pool_destroy(struct dma_pool *pool)
{
	for (u32 i = 0; pool && i < pool->count; i++)
		munmap(pool->pages[i].at, HUGE_SIZE);
	if (pool)
		free(pool->spares);
	free(pool);
}

static int physical_address(const void *at, u64 *ret)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	u64 entry;

	if (fd < 0)
		return -errno;
	if (pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)at / PAGE_SIZE * sizeof(entry))) != sizeof(entry))
		return -EIO;
	/* without the right to see it, the kernel shows frame 0 */
	if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_FRAME))
		return -EPERM;
	*ret = (entry & PAGEMAP_FRAME) * PAGE_SIZE;
	return 0;
}

/* of a huge page, which is contiguous */
static int huge_address(u8 *at, u64 *ret)
{
	u64 first = 0, last = 0;
	int r = physical_address(at, &first);

	if (!r)
		r = physical_address(at + HUGE_SIZE - PAGE_SIZE, &last);
	if (!r && last != first + HUGE_SIZE - PAGE_SIZE)
		r = -EFAULT;
	if (r)
		return log_err(r, "physical address of a huge page");
	*ret = first;
	return 0;
}

static int grow(struct dma_pool *pool)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | (pool->iommu ? 0 : MAP_HUGETLB | MAP_LOCKED);
	u64 address = 0;

	if (pool->count == HUGE_MAX)
		return log_err(-ENOSPC, "%u huge pages are used already", HUGE_MAX);
	u8 *at = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (at == MAP_FAILED)
		return log_err(-errno, pool->iommu ? "no memory for DMA" :
			"no huge page for DMA: /proc/sys/vm/nr_overcommit_hugepages, or too little memory for VTL2");
	memset(at, 0, HUGE_SIZE);
	int r = pool->iommu ? vfio_map_anywhere(pool->iommu, at, HUGE_SIZE, HUGE_SIZE, &address) : huge_address(at, &address);

	if (r) {
		munmap(at, HUGE_SIZE);
		return r;
	}
	pool->pages[pool->count].at = at;
	pool->pages[pool->count].used = 0;
	pool->pages[pool->count++].address = address;
	return 0;
}

static u8 *take_spare(struct dma_pool *pool, u32 len, u64 *ret_address)
{
	for (u32 i = 0; i < pool->spare_count; i++) {
		struct spare s = pool->spares[i];

		if (s.len != len)
			continue;
		pool->spares[i] = pool->spares[--pool->spare_count];
		memset(s.at, 0, len);
		*ret_address = s.address;
		return s.at;
	}
	return NULL;
}

void *dma_pool_alloc(struct dma_pool *pool, u32 len, u64 *ret_address)
{
	u32 rounded = ALIGN_UP(len, PAGE_SIZE);

	if (!len || len > HUGE_SIZE)
		return NULL;
	u8 *at = take_spare(pool, rounded, ret_address);

	if (at) {
		pool->allocations++;
		pool->pieces++;
		return at;
	}
	if ((!pool->count || pool->pages[pool->count - 1].used + rounded > HUGE_SIZE) && grow(pool)) {
		pool->failures++;
		return NULL;
	}
	at = pool->pages[pool->count - 1].at + pool->pages[pool->count - 1].used;

	*ret_address = pool->pages[pool->count - 1].address + pool->pages[pool->count - 1].used;
	pool->pages[pool->count - 1].used += rounded;
	pool->allocations++;
	pool->pieces++;
	return at;
}

void dma_pool_free(struct dma_pool *pool, void *at, u32 len, u64 address)
{
	if (pool->spare_count == pool->spare_room) {
		u32 room = pool->spare_room ? 2 * pool->spare_room : 64;
		struct spare *grown = realloc(pool->spares, room * sizeof(*grown));

		if (!grown)
			return; /* it stays unused, and counts as handed out */
		pool->spares = grown;
		pool->spare_room = room;
	}
	pool->spares[pool->spare_count++] = (struct spare){ at, address, ALIGN_UP(len, PAGE_SIZE) };
	pool->pieces--;
}

u32 dma_pool_pieces(const struct dma_pool *pool)
{
	return pool->pieces;
}

void dma_pool_inspect(void *object, struct inspect *in)
{
	struct dma_pool *pool = object;

	inspect_u64(in, "huge_pages", pool->count); /* pieces of that size, behind an IOMMU */
	inspect_u64(in, "used_in_last", pool->count ? pool->pages[pool->count - 1].used : 0);
	inspect_u64(in, "pieces", pool->pieces);
	inspect_u64(in, "spares", pool->spare_count);
	inspect_count(in, "allocations", pool->allocations);
	inspect_count(in, "failures", pool->failures);
}
