/* A disk in a file, through the executor's ring. A short transfer is continued; FUA is a write with a sync behind it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1 /* linux/falloc.h */
#define FALLOC_FL_PUNCH_HOLE 2
#endif

struct file {
	struct disk disk;
	int fd;
	atomic_uint_fast64_t short_transfers;
};

static struct file *of(struct disk *disk)
{
	return container_of(disk, struct file, disk);
}

static void finish(struct disk_request *r, int result)
{
	disk_done(r, result);
}

static void synced(struct op *op, int result)
{
	finish(container_of(op, struct disk_request, io), result);
}

static void transferred(struct op *op, int result);

/*
 * The ring reads the iovecs when it gets to them: what is left of the transfer must be exactly what they say, so the first
 * and the last are cut in place until the result is here. saved keeps the one that `skip` cuts, word[0..1] the last.
 */
static void transfer(struct file *f, struct disk_request *r, struct disk_frame *frame)
{
	u64 len = r->count * f->disk.sector_size, left = len - r->progress;
	size_t at = r->skip + r->progress, have = 0;
	unsigned first = 0, last;

	while (at >= r->iov[first].iov_len)
		at -= r->iov[first++].iov_len;
	for (last = first; have + r->iov[last].iov_len - (last == first ? at : 0) < left; last++)
		have += r->iov[last].iov_len - (last == first ? at : 0);
	r->saved = r->iov[first];
	frame->word[0] = first;
	frame->word[1] = last;
	frame->word[2] = r->iov[last].iov_len;
	r->iov[last].iov_len = (last == first ? at : 0) + left - have;
	r->iov[first].iov_base = (u8 *)r->iov[first].iov_base + at;
	r->iov[first].iov_len -= at;
	r->io.done = transferred;
	u64 off = r->sector * f->disk.sector_size + r->progress;

	if (r->op == DISK_WRITE)
		op_writev(r->exec, &r->io, f->fd, r->iov + first, last - first + 1, off);
	else
		op_readv(r->exec, &r->io, f->fd, r->iov + first, last - first + 1, off);
}

static void uncut(struct disk_request *r, struct disk_frame *frame)
{
	r->iov[frame->word[0]] = r->saved;
	r->iov[frame->word[1]].iov_len = frame->word[2];
}

static void transferred(struct op *op, int result)
{
	struct disk_request *r = container_of(op, struct disk_request, io);
	struct disk_frame *frame = &r->frames[r->depth - 1];
	struct file *f = of(frame->disk);

	uncut(r, frame);
	if (result > 0)
		r->progress += (unsigned)result;
	u64 len = r->count * f->disk.sector_size;

	if (result == -EINTR || result == -EAGAIN || (result > 0 && r->progress < len)) {
		atomic_fetch_add_explicit(&f->short_transfers, 1, memory_order_relaxed);
		transfer(f, r, frame);
		return;
	}
	r->depth--;
	if (result <= 0) {
		finish(r, result ? result : -EIO); /* the file ends before its disk does: somebody cut it */
	} else if (r->op == DISK_WRITE && r->flags & DISK_FUA) {
		r->io.done = synced;
		op_fdatasync(r->exec, &r->io, f->fd);
	} else {
		finish(r, 0);
	}
}

static void allocated(struct op *op, int result)
{
	struct disk_request *r = container_of(op, struct disk_request, io);
	struct disk_frame *frame = &r->frames[--r->depth];
	struct file *f = of(frame->disk);

	if (!result && r->flags & DISK_FUA) {
		r->io.done = synced;
		op_fdatasync(r->exec, &r->io, f->fd);
		return;
	}
	/* unmapping is advice: a file system that cannot punch holes leaves the sectors as they are */
	finish(r, r->op == DISK_UNMAP && result == -EOPNOTSUPP ? 0 : result);
}

static void file_submit(struct disk *disk, struct disk_request *r)
{
	struct file *f = of(disk);
	struct disk_frame *frame;

	if (r->op == DISK_FLUSH) {
		r->io.done = synced;
		op_fdatasync(r->exec, &r->io, f->fd);
		return;
	}
	frame = disk_push(disk, r, NULL);
	if (!frame) {
		finish(r, -EINVAL);
		return;
	}
	r->progress = 0;
	if (r->op == DISK_READ || r->op == DISK_WRITE) {
		transfer(f, r, frame);
		return;
	}
	r->io.done = allocated;
	/* a hole reads as zeroes on every file system that can make one */
	op_fallocate(r->exec, &r->io, f->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, r->sector * disk->sector_size,
		     r->count * disk->sector_size);
}

static void file_inspect(struct disk *disk, struct inspect *in)
{
	inspect_count(in, "short_transfers", atomic_load(&of(disk)->short_transfers));
}

static void file_destroy(struct disk *disk)
{
	close(of(disk)->fd);
	free(of(disk));
}

static const struct disk_ops ops = { .submit = file_submit, .inspect = file_inspect, .destroy = file_destroy };

struct disk *disk_file(int fd, u32 sector_size, bool read_only, const struct guid *id)
{
	struct file *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f || fstat(fd, &st) || st.st_size < (off_t)sector_size) {
		log_err(f ? -EINVAL : -ENOMEM, "file disk: no file of a sector or more");
		close(fd);
		free(f);
		return NULL;
	}
	f->fd = fd;
	f->disk = (struct disk){ .ops = &ops, .kind = "file", .sector_size = sector_size,
				 .sectors = (u64)st.st_size / sector_size, .physical_size = MAX(PAGE_SIZE, sector_size),
				 .unmap_granularity = PAGE_SIZE / sector_size, .unmap_zeroes = true, .read_only = read_only,
				 .id = *id };
	return &f->disk;
}
