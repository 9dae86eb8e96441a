#include <errno.h>
#include <stdlib.h>

#include "lib/vmgs/vmgs.h"

int vmgs_run(struct vmgs_operation *op, const struct vmgs_device *device)
{
	struct vmgs_step s = { 0 };
	int r = 0;

	while (vmgs_next(op, &s)) {
		switch (s.kind) {
		case VMGS_READ: r = device->read(device->context, s.offset, s.data, s.len); break;
		case VMGS_WRITE: r = device->write(device->context, s.offset, s.data, s.len); break;
		case VMGS_FLUSH: r = device->flush(device->context); break;
		}
		vmgs_stepped(op, r);
	}
	return op->error;
}

/* an operation is too large for small stacks */
static struct vmgs_operation *new_operation(void)
{
	return malloc(sizeof(struct vmgs_operation));
}

static int finish(struct vmgs_operation *op, const struct vmgs_device *device, int begun)
{
	int r = begun;

	if (!r) {
		r = vmgs_run(op, device);
		vmgs_end(op);
	}
	free(op);
	return r;
}

int vmgs_open(struct vmgs *v, const struct vmgs_device *device)
{
	struct vmgs_operation *op = new_operation();

	return op ? finish(op, device, vmgs_begin_open(op, v, device->capacity, device->sector_size)) : -ENOMEM;
}

int vmgs_format(struct vmgs *v, const struct vmgs_device *device)
{
	struct vmgs_operation *op = new_operation();

	return op ? finish(op, device, vmgs_begin_format(op, v, device->capacity, device->sector_size)) : -ENOMEM;
}

int vmgs_read(struct vmgs *v, const struct vmgs_device *device, u32 id, u64 max, u8 **ret_data, size_t *ret_len)
{
	struct vmgs_operation *op = new_operation();
	int r = op ? vmgs_begin_read(op, v, id, max) : -ENOMEM;

	if (r) {
		free(op);
		return r;
	}
	r = vmgs_run(op, device);
	if (!r) {
		*ret_data = op->data;
		*ret_len = op->len;
		op->data = NULL;
	}
	vmgs_end(op);
	free(op);
	return r;
}

int vmgs_write(struct vmgs *v, const struct vmgs_device *device, u32 id, const void *data, u64 len)
{
	struct vmgs_operation *op = new_operation();

	return op ? finish(op, device, vmgs_begin_write(op, v, id, data, len)) : -ENOMEM;
}

int vmgs_remove(struct vmgs *v, const struct vmgs_device *device, u32 id)
{
	struct vmgs_operation *op = new_operation();

	return op ? finish(op, device, vmgs_begin_remove(op, v, id)) : -ENOMEM;
}
