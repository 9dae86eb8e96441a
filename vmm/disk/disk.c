#include "vmm/disk/disk.h"

#include <errno.h>

#include "lib/core/check.h"

const char *disk_op_name(enum disk_op op)
{
	static const char *const names[DISK_OPS] = { "read", "write", "flush", "unmap", "write_zeroes" };

	return op < DISK_OPS ? names[op] : "?";
}

static int refusal(const struct disk *disk, const struct disk_request *r)
{
	if (r->op >= DISK_OPS)
		return -EINVAL;
	if (disk->read_only && r->op != DISK_READ && r->op != DISK_FLUSH)
		return -EROFS;
	return range_within(r->sector, r->count, 0, disk->sectors) ? 0 : -EINVAL;
}

void disk_submit(struct disk *disk, struct disk_request *r)
{
	int error = refusal(disk, r);

	r->depth = 0;
	if (error || (!r->count && r->op != DISK_FLUSH))
		disk_done(r, error);
	else
		disk->ops->submit(disk, r);
}

void disk_done(struct disk_request *r, int result)
{
	if (!r->depth) {
		r->done(r, result);
		return;
	}
	struct disk_frame *frame = &r->frames[--r->depth];

	frame->done(r, frame, result);
}

struct disk_frame *disk_push(struct disk *layer, struct disk_request *r,
			     void (*done)(struct disk_request *, struct disk_frame *, int))
{
	if (r->depth == DISK_FRAMES_MAX)
		return NULL;
	struct disk_frame *frame = &r->frames[r->depth++];

	*frame = (struct disk_frame){ .done = done, .disk = layer };
	return frame;
}

void disk_destroy(struct disk *disk)
{
	if (disk)
		disk->ops->destroy(disk);
}

void disk_like(struct disk *layer, const struct disk_ops *ops, const char *kind, const struct disk *below)
{
	*layer = *below;
	layer->ops = ops;
	layer->kind = kind;
	layer->below = NULL;
}

bool disk_measure(struct disk *disk)
{
	u64 sectors = disk->ops->measure ? disk->ops->measure(disk) : disk->below ? disk_measured(disk->below) : 0;

	if (!sectors || sectors == disk->sectors)
		return false;
	disk->sectors = sectors;
	return true;
}

u64 disk_measured(struct disk *below)
{
	disk_measure(below);
	return below->sectors;
}

void disk_inspect(void *object, struct inspect *in)
{
	struct disk *disk = object;
	char id[GUID_STRLEN + 1];

	guid_format(&disk->id, id);
	inspect_str(in, "kind", disk->kind);
	inspect_str(in, "id", id);
	inspect_u64(in, "sector_size", disk->sector_size);
	inspect_u64(in, "sectors", disk->sectors);
	inspect_bool(in, "read_only", disk->read_only);
	if (disk->ops->inspect)
		disk->ops->inspect(disk, in);
}

struct disk_cursor disk_cursor(const struct disk_request *r, u64 len)
{
	struct disk_cursor c = { r->iov, r->iov_count, r->skip, (size_t)len };

	while (c.count && c.at >= c.iov->iov_len) {
		c.at -= c.iov->iov_len;
		c.iov++;
		c.count--;
	}
	return c;
}

bool disk_cursor_next(struct disk_cursor *c, size_t max, struct iovec *ret)
{
	while (c->count && c->at == c->iov->iov_len) {
		c->at = 0;
		c->iov++;
		c->count--;
	}
	if (!c->left || !max)
		return false;
	CHECK(c->count); /* whoever built the request promised enough bytes */
	size_t len = MIN(MIN(c->left, max), c->iov->iov_len - c->at);

	*ret = (struct iovec){ (u8 *)c->iov->iov_base + c->at, len };
	c->at += len;
	c->left -= len;
	return true;
}
