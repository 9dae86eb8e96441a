/*
 * Memory whose address stays. Behind an IOMMU it is mapped for the device, which pins it. Without one its physical address must
 * not change: huge pages are neither swapped nor moved by compaction. A small VTL2 has no huge page left once it runs: then
 * locked pages serve, which compaction leaves alone as well (init clears vm.compact_unevictable_allowed); a piece is as long as
 * what happens to lie together.
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
#define SMALL_SIZE (256 * KiB)
#define MAPPINGS_MAX 16u
#define CHUNKS_MAX 256u
/* Documentation/admin-guide/mm/pagemap.rst: the frame's number, and whether there is one */
#define PAGEMAP_FRAME ((1ull << 55) - 1)
#define PAGEMAP_PRESENT BIT(63)

struct dma_pool {
	struct vfio_device *iommu; /* NULL: physical addresses */
	struct {
		u8 *at;
		size_t len;
	} mappings[MAPPINGS_MAX];
	u32 mapping_count, huge_pages;
	/* contiguous for the device */
	struct chunk {
		u8 *at;
		u64 address;
		u32 len, used;
	} chunks[CHUNKS_MAX];
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
	for (u32 i = 0; pool && i < pool->mapping_count; i++)
		munmap(pool->mappings[i].at, pool->mappings[i].len);
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

static void add_chunk(struct dma_pool *pool, u8 *at, u64 address, u32 len)
{
	if (pool->count < CHUNKS_MAX) /* else it lies idle */
		pool->chunks[pool->count++] = (struct chunk){ at, address, len, 0 };
}

/* noted for the pool's end; NULL: errno says why */
static u8 *map(struct dma_pool *pool, size_t len, int flags)
{
	u8 *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	pool->mappings[pool->mapping_count].at = at;
	pool->mappings[pool->mapping_count++].len = len;
	return at;
}

static void unmap_last(struct dma_pool *pool)
{
	pool->mapping_count--;
	munmap(pool->mappings[pool->mapping_count].at, pool->mappings[pool->mapping_count].len);
}

/* small pages, as they lie; 0 also when they do not lie well */
static int grow_small(struct dma_pool *pool)
{
	u8 *at = map(pool, SMALL_SIZE, 0);
	u64 first = 0, address;
	u32 begin = 0;

	if (!at)
		return log_err(-errno, "no memory for DMA: VTL2 has too little");
	/* or the kernel might put another, huge page in their place; without such pages it knows no such advice */
	madvise(at, SMALL_SIZE, MADV_NOHUGEPAGE);
	if (mlock(at, SMALL_SIZE)) {
		int r = log_err(-errno, "no memory for DMA: VTL2 has too little");

		unmap_last(pool);
		return r;
	}
	for (u32 n = 0; n < SMALL_SIZE; n += PAGE_SIZE) {
		int r = physical_address(at + n, &address);

		if (r) {
			unmap_last(pool);
			return log_err(r, "physical address of a page");
		}
		if (n && address != first + (n - begin)) {
			add_chunk(pool, at + begin, first, n - begin);
			begin = n;
		}
		if (n == begin)
			first = address;
	}
	add_chunk(pool, at + begin, first, SMALL_SIZE - begin);
	return 0;
}

static int grow(struct dma_pool *pool, u32 len)
{
	u64 address = 0;

	if (pool->mapping_count == MAPPINGS_MAX)
		return log_err(-ENOSPC, "%u mappings for DMA are used already", MAPPINGS_MAX);
	u8 *at = map(pool, HUGE_SIZE, MAP_POPULATE | (pool->iommu ? 0 : MAP_HUGETLB | MAP_LOCKED));

	if (!at && !pool->iommu && errno == ENOMEM && len <= SMALL_SIZE)
		return grow_small(pool);
	if (!at)
		return log_err(-errno, pool->iommu ? "no memory for DMA" : "no huge page for DMA");
	int r = pool->iommu ? vfio_map_anywhere(pool->iommu, at, HUGE_SIZE, HUGE_SIZE, &address) : huge_address(at, &address);

	if (r) {
		unmap_last(pool);
		return r;
	}
	pool->huge_pages++;
	add_chunk(pool, at, address, HUGE_SIZE);
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

static struct chunk *room_for(struct dma_pool *pool, u32 len)
{
	for (u32 i = pool->count; i-- > 0;)
		if (pool->chunks[i].len - pool->chunks[i].used >= len)
			return &pool->chunks[i];
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
	struct chunk *c = room_for(pool, rounded);

	/* small pages may lie in shorter runs than this: some more of them */
	for (unsigned tries = 0; !c && tries < 4 && !grow(pool, rounded); tries++)
		c = room_for(pool, rounded);
	if (!c) {
		pool->failures++;
		return NULL;
	}
	at = c->at + c->used;
	*ret_address = c->address + c->used;
	c->used += rounded;
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

	u64 used = 0;

	for (u32 i = 0; i < pool->count; i++)
		used += pool->chunks[i].used;
	inspect_u64(in, "huge_pages", pool->huge_pages); /* mappings of that size, behind an IOMMU */
	inspect_u64(in, "mappings_of_small_pages", pool->mapping_count - pool->huge_pages);
	inspect_u64(in, "used_bytes", used);
	inspect_u64(in, "pieces", pool->pieces);
	inspect_u64(in, "spares", pool->spare_count);
	inspect_count(in, "allocations", pool->allocations);
	inspect_count(in, "failures", pool->failures);
}
