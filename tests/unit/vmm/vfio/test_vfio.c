/*
 * VFIO without the kernel: open() of /dev/vfio and ioctl() are played here, a function's folder is made in /tmp, and the
 * device's regions lie in a memfd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "spec/pci.h"
#include "vmm/vfio/vfio.h"

#define CONFIG_OFFSET 0x100000u
#define BAR_SIZE 0x4000u
#define GROUP "26"

static struct {
	bool no_iommu, busy, not_viable, no_capabilities, bad_capabilities, no_set_iommu, no_map;
	int group, container, device, pagemap;
	unsigned long iommu;
	u32 irq_count, vectors, mapped;
	int eventfds[VFIO_VECTORS_MAX], request;
	struct {
		u64 iova, len;
	} maps[64];
	u64 top; /* the last address that may be mapped */
} kernel;

/* where a page lies, told by nobody but root's kernel: here seven at a time lie together */
static u64 frame_of(u64 page)
{
	return 0x100000 + page / 7 % 0x10000 * 16 + page % 7;
}

/* takes the place of the library's */
ssize_t pread(int fd, void *to, size_t len, off_t at)
{
	if (fd < 0 || fd != kernel.pagemap)
		return syscall(SYS_pread64, fd, to, len, at);
	*(u64 *)to = frame_of((u64)at / sizeof(u64)) | BIT(63);
	return sizeof(u64);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	int mode = flags & O_CREAT ? va_arg(args, int) : 0;

	va_end(args);
	if (!strcmp(path, "/proc/self/pagemap"))
		return kernel.pagemap = memfd_create("pagemap", 0);
	if (strncmp(path, "/dev/vfio/", 10))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (!strcmp(path + 10, "vfio"))
		return kernel.container = memfd_create("container", 0);
	if (strcmp(path + 10, kernel.no_iommu ? "noiommu-" GROUP : GROUP)) {
		errno = ENOENT;
		return -1;
	}
	if (kernel.busy) {
		errno = EBUSY;
		return -1;
	}
	return kernel.group = memfd_create("group", 0);
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

static int get_info(struct vfio_iommu_type1_info *info)
{
	struct {
		struct vfio_iommu_type1_info info;
		struct vfio_iommu_type1_info_cap_migration other; /* one that is passed over */
		struct {
			struct vfio_iommu_type1_info_cap_iova_range head;
			struct vfio_iova_range ranges[2];
		} cap;
	} all = { .info = { .argsz = sizeof(all), .flags = VFIO_IOMMU_INFO_PGSIZES, .iova_pgsizes = 4096 } };

	if (!kernel.no_capabilities) {
		all.info.flags |= VFIO_IOMMU_INFO_CAPS;
		all.info.cap_offset = offsetof(typeof(all), other);
		all.other.header = (struct vfio_info_cap_header){ VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1,
								  offsetof(typeof(all), cap) };
		all.cap.head.header = (struct vfio_info_cap_header){ VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0 };
		all.cap.head.nr_iovas = kernel.bad_capabilities ? 0xffffffff : 2;
		all.cap.ranges[0] = (struct vfio_iova_range){ 0, 0xfedfffff };
		all.cap.ranges[1] = (struct vfio_iova_range){ 0xfef00000, kernel.top };
		if (kernel.bad_capabilities)
			all.other.header.next = offsetof(typeof(all), other); /* a chain without end */
	}
	memcpy(info, &all, MIN(info->argsz, (u32)sizeof(all)));
	return 0;
}

static int map_dma(const struct vfio_iommu_type1_dma_map *m)
{
	if (kernel.no_map)
		return refuse(ENOMEM);
	if (!m->size || (m->size | m->iova | m->vaddr) & 0xfff || m->iova + m->size - 1 > kernel.top)
		return refuse(EINVAL);
	for (u32 i = 0; i < kernel.mapped; i++)
		if (m->iova < kernel.maps[i].iova + kernel.maps[i].len && kernel.maps[i].iova < m->iova + m->size)
			return refuse(EEXIST);
	kernel.maps[kernel.mapped].iova = m->iova;
	kernel.maps[kernel.mapped++].len = m->size;
	return 0;
}

static int unmap_dma(struct vfio_iommu_type1_dma_unmap *m)
{
	u64 size = 0;

	for (u32 i = 0; i < kernel.mapped; i++)
		if (kernel.maps[i].iova == m->iova && kernel.maps[i].len == m->size) {
			size = m->size;
			kernel.maps[i] = kernel.maps[--kernel.mapped];
		}
	m->size = size;
	return 0;
}

static int set_irqs(const struct vfio_irq_set *set)
{
	if (set->flags != (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER) ||
	    set->argsz != sizeof(*set) + set->count * sizeof(int))
		return refuse(EINVAL);
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX) {
		memcpy(&kernel.request, set->data, sizeof(int));
		return 0;
	}
	kernel.vectors = set->count;
	memcpy(kernel.eventfds, set->data, set->count * sizeof(int));
	return 0;
}

static int region_info(struct vfio_region_info *r)
{
	if (r->index == VFIO_PCI_CONFIG_REGION_INDEX) {
		r->offset = CONFIG_OFFSET;
		r->size = 4096;
	} else if (r->index == VFIO_PCI_BAR0_REGION_INDEX) {
		r->offset = 0;
		r->size = BAR_SIZE;
		r->flags = VFIO_REGION_INFO_FLAG_MMAP;
	} else if (r->index == 4) {
		r->size = 32; /* ports */
	} else {
		r->size = 0;
	}
	return 0;
}

static int of_group(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = kernel.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER: return *(int *)arg == kernel.container ? 0 : refuse(EBADF);
	case VFIO_GROUP_GET_DEVICE_FD:
		if (strcmp(arg, "0000:00:04.0"))
			return refuse(ENODEV);
		kernel.device = memfd_create("device", 0);
		return ftruncate(kernel.device, 2 * MiB) ? -1 : kernel.device;
	}
	return refuse(ENOTTY);
}

static int of_container(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_SET_IOMMU:
		kernel.iommu = (uintptr_t)arg;
		return kernel.no_set_iommu ? refuse(ENODEV) : 0;
	case VFIO_IOMMU_GET_INFO: return get_info(arg);
	case VFIO_IOMMU_MAP_DMA: return map_dma(arg);
	case VFIO_IOMMU_UNMAP_DMA: return unmap_dma(arg);
	}
	return refuse(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	void *arg = va_arg(args, void *);

	va_end(args);
	if (fd == kernel.group)
		return of_group(request, arg);
	if (fd == kernel.container)
		return of_container(request, arg);
	if (fd == kernel.device && request == VFIO_DEVICE_GET_REGION_INFO)
		return region_info(arg);
	if (fd == kernel.device && request == VFIO_DEVICE_GET_IRQ_INFO) {
		((struct vfio_irq_info *)arg)->count = kernel.irq_count;
		return 0;
	}
	return fd == kernel.device && request == VFIO_DEVICE_SET_IRQS ? set_irqs(arg) : refuse(ENOTTY);
}

/* ---- */

static char folder[] = "/tmp/paravane-vfio-XXXXXX";
static char function[64];

static void fresh(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.group = kernel.container = kernel.device = -1;
	kernel.irq_count = 9;
	kernel.top = (1ull << 39) - 1;
}

static void with_an_iommu(void **state)
{
	struct vfio_device *d;
	struct dma_pool *pool;
	u64 address, second, len;
	u16 command;
	void *bar, *port;

	fresh();
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(kernel.iommu, VFIO_TYPE1v2_IOMMU);
	assert_true(vfio_has_iommu(d));
	assert_string_equal(vfio_address(d), "0000:00:04.0");
	assert_int_equal(pread(kernel.device, &command, 2, CONFIG_OFFSET + PCI_COMMAND), 2);
	assert_int_equal(command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(vfio_map_bar(d, 0, &bar, &len), 0);
	assert_int_equal(len, BAR_SIZE);
	assert_int_equal(vfio_map_bar(d, 4, &port, &len), -ENODEV);
	assert_int_equal(vfio_map_bar(d, 2, &port, &len), -ENODEV);
	/* the pool's memory is mapped at the top, in pieces of 2 MiB */
	pool = dma_pool_create(d);
	assert_non_null(pool);
	assert_int_equal(kernel.mapped, 0);
	u8 *at = dma_pool_alloc(pool, 5000, &address), *next = dma_pool_alloc(pool, 4096, &second);

	assert_non_null(at);
	assert_int_equal(address, (1ull << 39) - 2 * MiB);
	assert_ptr_equal(next, at + 8192);
	assert_int_equal(second, address + 8192);
	assert_int_equal(kernel.mapped, 1);
	assert_non_null(dma_pool_alloc(pool, 2 * MiB, &second));
	assert_int_equal(second, (1ull << 39) - 4 * MiB);
	assert_null(dma_pool_alloc(pool, 2 * MiB + 1, &second));
	assert_null(dma_pool_alloc(pool, 0, &second));
	/* memory at a place of the caller's choice */
	assert_int_equal(vfio_map_dma(d, at, 4096, 0x1000), 0);
	assert_int_equal(vfio_map_dma(d, at, 4096, 0x1000), -EEXIST);
	assert_int_equal(vfio_map_dma(d, at, 4096, 1ull << 39), -EINVAL);
	assert_int_equal(vfio_unmap_dma(d, 0x1000, 8192), -ENOENT);
	assert_int_equal(vfio_unmap_dma(d, 0x1000, 4096), 0);
	assert_int_equal(kernel.mapped, 2);
	kernel.no_map = true;
	assert_null(dma_pool_alloc(pool, 2 * MiB, &second));
	kernel.no_map = false;
	assert_non_null(dma_pool_alloc(pool, 2 * MiB, &second));
	assert_int_equal(second, (1ull << 39) - 6 * MiB); /* a failure takes no address */
	/* a piece that came back serves again, zeroed, for its length only */
	u32 pieces = dma_pool_pieces(pool);

	memset(at, 0x5a, 8192);
	dma_pool_free(pool, at, 5000, address);
	assert_int_equal(dma_pool_pieces(pool), pieces - 1);
	assert_ptr_not_equal(dma_pool_alloc(pool, 4096, &second), at);
	assert_ptr_equal(dma_pool_alloc(pool, 8192, &second), at);
	assert_int_equal(second, address);
	assert_int_equal(at[0] | at[8191], 0);
	assert_int_equal(dma_pool_pieces(pool), pieces + 1);
	vfio_release(d);
	assert_int_equal(vfio_unmap_dma(d, 0x1000, 4096), 0);
	vfio_close(d);
	dma_pool_destroy(pool);
}

/* no IOMMU and no huge page: pieces of small pages that lie together, and do not overlap */
static void memory_of_small_pages(void **state)
{
	struct dma_pool *pool = dma_pool_create(NULL);
	struct { u8 *at; u32 len; } pieces[60];
	u32 count = 0;

	assert_non_null(pool);
	for (u32 i = 0; i < ARRAY_SIZE(pieces); i++) {
		u32 len = i % 3 ? PAGE_SIZE : 16 * KiB;
		u64 address;
		u8 *at = dma_pool_alloc(pool, len, &address);

		assert_non_null(at);
		for (u32 n = 0; n < len; n += PAGE_SIZE)
			assert_int_equal(frame_of((uintptr_t)(at + n) / PAGE_SIZE) * PAGE_SIZE, address + n);
		for (u32 k = 0; k < count; k++)
			assert_true(pieces[k].at + pieces[k].len <= at || at + len <= pieces[k].at);
		memset(at, 1, len);
		pieces[count].at = at;
		pieces[count++].len = len;
	}
	u64 address;

	assert_null(dma_pool_alloc(pool, 8 * PAGE_SIZE, &address)); /* no eight lie together */
	assert_null(dma_pool_alloc(pool, 1 * MiB, &address));
	assert_int_equal(dma_pool_pieces(pool), count);
	dma_pool_destroy(pool);
	kernel.pagemap = -1;
}

static void without_one(void **state)
{
	struct vfio_device *d;
	u64 address;
	char page;

	fresh();
	kernel.no_iommu = true;
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(kernel.iommu, VFIO_NOIOMMU_IOMMU);
	assert_false(vfio_has_iommu(d));
	assert_int_equal(vfio_map_dma(d, &page, 4096, 0), -EOPNOTSUPP);
	assert_int_equal(vfio_map_anywhere(d, &page, 4096, 4096, &address), -EOPNOTSUPP);
	vfio_close(d);
}

static void what_the_iommu_says(void **state)
{
	struct vfio_device *d;
	u64 address;
	void *page = aligned_alloc(4096, 4096);

	fresh();
	kernel.no_capabilities = true; /* an old kernel */
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(vfio_map_anywhere(d, page, 4096, 4096, &address), 0);
	assert_int_equal(address, (1ull << 39) - 4096);
	vfio_close(d);
	fresh();
	kernel.bad_capabilities = true; /* nothing of it is followed out of its bytes, or for ever */
	assert_int_equal(vfio_open_function(function, &d), 0);
	vfio_close(d);
	fresh();
	kernel.top = ~0ull;
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(vfio_map_anywhere(d, page, 4096, 2 * MiB, &address), 0);
	assert_int_equal(address, (1ull << 62) - 2 * MiB);
	vfio_close(d);
	fresh();
	kernel.top = 0xfef01fff; /* two pages above, then what lies below is not looked at */
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(vfio_map_anywhere(d, page, 4096, 4096, &address), 0);
	assert_int_equal(address, 0xfef01000);
	assert_int_equal(vfio_map_anywhere(d, page, 1ull << 40, 4096, &address), -ENOSPC);
	vfio_close(d);
	free(page);
}

static void what_may_be_wrong(void **state)
{
	struct vfio_device *d = NULL;

	fresh();
	assert_int_equal(vfio_open_function("/tmp/there/is/none", &d), -ENOENT);
	assert_int_equal(vfio_open_function("/tmp/a-name-that-is-longer-than-any", &d), -ENAMETOOLONG);
	kernel.busy = true;
	assert_int_equal(vfio_open_function(function, &d), -EBUSY);
	fresh();
	kernel.not_viable = true;
	assert_int_equal(vfio_open_function(function, &d), -EBUSY);
	fresh();
	kernel.no_set_iommu = true;
	assert_int_equal(vfio_open_function(function, &d), -ENODEV);
	assert_null(d);
	vfio_close(NULL);
	fresh();
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(vfio_vector_count(d), 9);
	assert_int_equal(vfio_enable_interrupts(d, 10), -EINVAL);
	assert_int_equal(vfio_enable_interrupts(d, 0), -EINVAL);
	assert_int_equal(vfio_listen(d, 0, NULL), -EINVAL);
	vfio_close(d);
}

static struct exec *exec;

static void woken(struct task *task)
{
	exec_stop(exec);
}

static void interrupts(void **state)
{
	static struct task task, request;
	struct vfio_device *d;
	u64 one = 1;

	fresh();
	assert_int_equal(vfio_open_function(function, &d), 0);
	assert_int_equal(vfio_enable_interrupts(d, 3), 0);
	assert_int_equal(kernel.vectors, 3);
	exec = exec_create("test", -1);
	assert_non_null(exec);
	task_init(&task, exec, "task", woken);
	task_init(&request, exec, "request", woken);
	assert_int_equal(vfio_listen(d, 2, &task), 0);
	assert_int_equal(vfio_listen(d, 2, &task), -EINVAL);
	assert_int_equal(vfio_listen(d, 3, &task), -EINVAL);
	assert_int_equal(vfio_on_request(d, &request), 0);
	assert_int_equal(write(kernel.eventfds[2], &one, 8), 8);
	assert_int_equal(exec_run(exec), 0);
	assert_int_equal(task.runs, 1);
	assert_int_equal(request.runs, 0);
	/* given back: the eventfds are closed, also those that an executor reads, and nobody is woken for it */
	struct task later;

	task_init(&later, exec, "later", woken);
	vfio_release(d);
	assert_int_equal(fcntl(kernel.eventfds[0], F_GETFD), -1);
	assert_int_not_equal(fcntl(kernel.eventfds[2], F_GETFD), -1);
	for (u32 i = 0; i < 100 && fcntl(kernel.eventfds[2], F_GETFD) != -1; i++) {
		task_wake(&later);
		assert_int_equal(exec_run(exec), 0);
		usleep(1000);
	}
	assert_int_equal(fcntl(kernel.eventfds[2], F_GETFD), -1);
	assert_int_equal(task.runs, 1);
	assert_int_equal(request.runs, 0);
	exec_destroy(exec);
	vfio_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_an_iommu), cmocka_unit_test(without_one), cmocka_unit_test(what_the_iommu_says),
		cmocka_unit_test(what_may_be_wrong), cmocka_unit_test(interrupts), cmocka_unit_test(memory_of_small_pages),
	};
	char path[128];

	if (!mkdtemp(folder))
		return 1;
	snprintf(function, sizeof(function), "%s/0000:00:04.0", folder);
	snprintf(path, sizeof(path), "%s/iommu_group", function);
	if (mkdir(function, 0700) || symlink("../../kernel/iommu_groups/" GROUP, path))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(path);
	rmdir(function);
	rmdir(folder);
	return failed;
}
