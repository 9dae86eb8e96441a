/* A function once its group is open: BARs, interrupts, and giving it back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "spec/pci.h"
#include "vmm/vfio/internal.h"

LOG_DOMAIN("vfio");

/* ---- open */

static int open_device(struct vfio_device *d)
{
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	u16 command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	d->config = (struct vfio_region_info){ .argsz = sizeof(d->config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &d->config))
		return log_err(-errno, "%s: configuration space", d->address);
	if (ioctl(d->fd, VFIO_DEVICE_GET_IRQ_INFO, &irq))
		return log_err(-errno, "%s: interrupts", d->address);
	d->vectors_offered = MIN(irq.count, VFIO_VECTORS_MAX);
	if (pwrite(d->fd, &command, sizeof(command), (off_t)d->config.offset + PCI_COMMAND) != sizeof(command))
		return log_err(-EIO, "%s: bus mastering", d->address);
	return 0;
}

int vfio_open_function(const char *function, struct vfio_device **ret)
{
	const char *slash = strrchr(function, '/'), *address = slash ? slash + 1 : function;
	struct vfio_device *d;
	int r;

	if (strlen(address) >= sizeof(d->address))
		return log_err(-ENAMETOOLONG, "%.64s is no function's folder", function);
	d = calloc(1, sizeof(*d));
	if (!d)
		return log_err(-ENOMEM, "%s", address);
	d->container = d->group = d->fd = -1;
	memcpy(d->address, address, strlen(address) + 1);
	r = group_open(d, function);
	if (!r)
		r = open_device(d);
	if (r) {
		vfio_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

int vfio_open(const struct guid *instance, struct vfio_device **ret)
{
	char function[256], address[16];
	int r = sysfs_function(instance, function, sizeof(function), address);

	return r ? r : vfio_open_function(function, ret);
}

static void close_device(struct vfio_device *d)
{
	int *const fds[] = { &d->fd, &d->group, &d->container }; /* the device first: it stops its DMA */

	for (u32 i = 0; i < d->mapping_count; i++)
		munmap(d->mappings[i].at, d->mappings[i].len);
	d->mapping_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static void vector_close(struct vector *v)
{
	close(v->fd);
	v->fd = -1;
}

static void end_there(struct op *op, int ignored)
{
	struct vector *v = container_of(op, struct vector, end);

	op_cancel(v->task->home, &v->op);
}

void vfio_release(struct vfio_device *d)
{
	close_device(d);
	if (d->released)
		return;
	d->released = true;
	for (u32 i = 0; i < d->vector_count; i++)
		if (d->vectors[i].task)
			exec_post(d->vectors[i].task->home, &d->vectors[i].end, end_there, 0);
		else
			vector_close(&d->vectors[i]);
	if (d->request.task)
		exec_post(d->request.task->home, &d->request.end, end_there, 0);
}

void vfio_close(struct vfio_device *d)
{
	if (!d)
		return;
	close_device(d);
	if (d->request.task && d->request.fd >= 0)
		close(d->request.fd);
	for (u32 i = 0; i < d->vector_count; i++)
		if (d->vectors[i].fd >= 0)
			close(d->vectors[i].fd);
	free(d);
}

int vfio_map_bar(struct vfio_device *d, u32 bar, void **ret_at, u64 *ret_len)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX + bar };

	if (d->mapping_count == MAPPINGS_MAX)
		return -ENOSPC;
	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		return log_err(-errno, "%s: BAR %u", d->address, bar);
	if (!info.size || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return log_err(-ENODEV, "%s: BAR %u is not memory that can be mapped", d->address, bar);
	void *at = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, (off_t)info.offset);

	if (at == MAP_FAILED)
		return log_err(-errno, "%s: BAR %u of %llu bytes", d->address, bar, info.size);
	d->mappings[d->mapping_count].at = at;
	d->mappings[d->mapping_count++].len = info.size;
	*ret_at = at;
	*ret_len = info.size;
	return 0;
}

/* ---- interrupts */

int vfio_enable_interrupts(struct vfio_device *d, u32 count)
{
	struct {
		struct vfio_irq_set set;
		s32 fds[VFIO_VECTORS_MAX];
	} m = { .set = { .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = VFIO_PCI_MSIX_IRQ_INDEX } };

	if (d->vector_count || !count || count > d->vectors_offered)
		return log_err(-EINVAL, "%s: %u vectors of %u", d->address, count, d->vectors_offered);
	for (; d->vector_count < count; d->vector_count++) {
		int fd = eventfd(0, EFD_CLOEXEC);

		if (fd < 0)
			return log_err(-errno, "%s: eventfd", d->address);
		d->vectors[d->vector_count].fd = m.fds[d->vector_count] = fd;
		d->vectors[d->vector_count].device = d;
	}
	m.set.count = count;
	m.set.argsz = (u32)(sizeof(m.set) + count * sizeof(m.fds[0]));
	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &m) ? log_err(-errno, "%s: %u MSI-X vectors", d->address, count) : 0;
}

u32 vfio_vector_count(const struct vfio_device *d)
{
	return d->vectors_offered;
}

static void interrupted(struct op *op, int result)
{
	struct vector *v = container_of(op, struct vector, op);

	if (result < 0) {
		log_at(LOG_DEBUG, "%s: a vector is not listened to any more: %d", v->device->address, result);
		vector_close(v);
		return;
	}
	v->interrupts++;
	task_wake(v->task);
}

static void listen_there(struct op *op, int ignored)
{
	struct vector *v = container_of(op, struct vector, op);

	v->op.done = interrupted;
	op_event(v->task->home, &v->op, v->fd);
}

int vfio_listen(struct vfio_device *d, u32 vector, struct task *task)
{
	if (vector >= d->vector_count || d->vectors[vector].task)
		return log_err(-EINVAL, "%s: vector %u", d->address, vector);
	struct vector *v = &d->vectors[vector];

	v->task = task;
	exec_post(task->home, &v->op, listen_there, 0);
	return 0;
}

int vfio_on_request(struct vfio_device *d, struct task *task)
{
	struct {
		struct vfio_irq_set set;
		s32 fd;
	} m = { .set = { .argsz = sizeof(m), .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			 .index = VFIO_PCI_REQ_IRQ_INDEX, .count = 1 } };
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0)
		return log_err(-errno, "%s: eventfd", d->address);
	m.fd = fd;
	d->request = (struct vector){ .device = d, .fd = fd, .task = task };
	if (ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &m))
		return log_err(-errno, "%s: request interrupt", d->address);
	exec_post(task->home, &d->request.op, listen_there, 0);
	return 0;
}

const char *vfio_address(const struct vfio_device *d)
{
	return d->address;
}

void vfio_inspect(void *object, struct inspect *in)
{
	struct vfio_device *d = object;

	inspect_str(in, "address", d->address);
	inspect_bool(in, "iommu", d->iommu);
	inspect_count(in, "maps", d->maps);
	inspect_count(in, "mapped_bytes", d->mapped_bytes);
	inspect_u64(in, "vectors_offered", d->vectors_offered);
	for (u32 i = 0; i < d->vector_count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "interrupts_%u", i);
		if (d->vectors[i].task)
			inspect_count(in, name, d->vectors[i].interrupts);
	}
}
