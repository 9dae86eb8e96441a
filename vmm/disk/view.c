/* Parts and aspects of a disk: read only, a range of its sectors. */
#include <errno.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

struct view {
	struct disk disk;
	u64 first, wanted; /* wanted: sectors of a partition; 0: all */
};

static struct view *of(struct disk *disk)
{
	return container_of(disk, struct view, disk);
}

static void moved_back(struct disk_request *r, struct disk_frame *frame, int result)
{
	r->sector -= of(frame->disk)->first;
	disk_done(r, result);
}

static void view_submit(struct disk *disk, struct disk_request *r)
{
	struct view *v = of(disk);

	if (!v->first || r->op == DISK_FLUSH) {
		disk_pass(v->disk.below, r);
		return;
	}
	if (!disk_push(disk, r, moved_back)) {
		disk_done(r, -EINVAL);
		return;
	}
	r->sector += v->first;
	disk_pass(v->disk.below, r);
}

static void view_inspect(struct disk *disk, struct inspect *in)
{
	inspect_u64(in, "first", of(disk)->first);
	inspect_child(in, "below", disk_inspect, disk->below);
}

static void view_destroy(struct disk *disk)
{
	disk_destroy(disk->below);
	free(of(disk));
}

/* a partition is never more than it was made, and less when the disk below ends within it */
static u64 view_measure(struct disk *disk)
{
	struct view *v = of(disk);
	u64 below = disk_measured(v->disk.below), there = below > v->first ? below - v->first : 0;

	return v->wanted ? MIN(v->wanted, there) : there;
}

static const struct disk_ops ops = {
	.submit = view_submit, .inspect = view_inspect, .destroy = view_destroy, .measure = view_measure,
};

static struct view *create(struct disk *below, const char *kind)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v) {
		log_err(-ENOMEM, "%s view", kind);
		disk_destroy(below);
		return NULL;
	}
	disk_like(&v->disk, &ops, kind, below);
	v->disk.below = below;
	return v;
}

struct disk *disk_read_only(struct disk *below)
{
	struct view *v = create(below, "read_only");

	if (!v)
		return NULL;
	v->disk.read_only = true;
	return &v->disk;
}

struct disk *disk_partition(struct disk *below, u64 first, u64 sectors, const struct guid *id)
{
	struct view *v;

	if (!sectors || !range_within(first, sectors, 0, below->sectors)) {
		log_err(-EINVAL, "partition %llu+%llu of %llu sectors", (unsigned long long)first, (unsigned long long)sectors,
			(unsigned long long)below->sectors);
		disk_destroy(below);
		return NULL;
	}
	v = create(below, "partition");
	if (!v)
		return NULL;
	v->first = first;
	v->wanted = sectors;
	v->disk.sectors = sectors;
	v->disk.id = *id;
	return &v->disk;
}
