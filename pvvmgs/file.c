#include "pvvmgs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/os/cleanup.h"
#include "lib/vhd/vhd.h"

static int say(const char *path, const char *what, const char *advice)
{
	fprintf(stderr, "pvvmgs: %s: %s%s%s\n", path, what, advice ? "; " : "", advice ? advice : "");
	return PVVMGS_TROUBLE;
}

static int device_read(void *context, u64 offset, void *data, size_t len)
{
	u8 *to = data;

	while (len) {
		ssize_t n = pread(((struct file *)context)->fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		to += n;
		offset += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

static int device_write(void *context, u64 offset, const void *data, size_t len)
{
	const u8 *from = data;

	while (len) {
		ssize_t n = pwrite(((struct file *)context)->fd, from, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		offset += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

/* who only looks has written nothing */
static int device_flush(void *context)
{
	struct file *f = context;

	return (fcntl(f->fd, F_GETFL) & O_ACCMODE) == O_RDONLY || !fdatasync(f->fd) ? 0 : -errno;
}

static bool is_signed(struct file *f, u64 offset)
{
	u64 signature = 0;

	return pread(f->fd, &signature, sizeof(signature), (off_t)offset) == sizeof(signature) && signature == VMGS_SIGNATURE;
}

static void make_device(struct file *f, u64 size)
{
	/* the second header is in the second sector, and tells how long sectors were for who wrote it */
	u32 sector = is_signed(f, VMGS_BLOCK_SIZE) && !is_signed(f, 512) ? VMGS_BLOCK_SIZE : 512;

	f->device = (struct vmgs_device){ device_read, device_write, device_flush, f, size, sector };
}

static int lock(struct file *f, bool exclusive)
{
	if (!flock(f->fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return say(f->path, strerror(errno), NULL);
	return say(f->path, "in use by a running machine",
		   exclusive ? "end it first" : "end it first, or look with --live, which may see half a change");
}

int file_open(struct file *f, const char *path, enum file_mode mode)
{
	struct vhd_footer footer;
	struct stat st;

	*f = (struct file){ .path = path };
	f->fd = open(path, (mode == FILE_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (f->fd < 0)
		return say(path, strerror(errno), errno == ENOENT ? "pvvmgs create makes one" : NULL);
	if (fstat(f->fd, &st) || !S_ISREG(st.st_mode))
		return say(path, "not a file", NULL);
	int r = mode == FILE_LOOK_LIVE ? 0 : lock(f, mode == FILE_CHANGE);

	if (r)
		return r;
	u64 size = (u64)st.st_size;

	if (size >= sizeof(footer) && pread(f->fd, &footer, sizeof(footer), (off_t)(size - sizeof(footer))) == sizeof(footer))
		size = vhd_disk_size(&footer, size);
	make_device(f, size);
	f->has_footer = size != (u64)st.st_size;
	return 0;
}

int file_open_store(struct file *f, struct vmgs *ret)
{
	int r = vmgs_open(ret, &f->device);

	if (r == -ENODATA && f->device.capacity % VMGS_BLOCK_SIZE) {
		snprintf(ret->problem, sizeof(ret->problem), "%lu bytes are no whole blocks of 4096: was it cut short?",
			 f->device.capacity);
		return -EINVAL;
	}
	if (r == -ENODATA && vmgs_may_be_formatted(&f->device, f->has_footer) <= 0) {
		snprintf(ret->problem, sizeof(ret->problem),
			 "it begins with zeroes, as file systems do, and is not empty behind them");
		return -EINVAL;
	}
	return r;
}

static int write_footer(struct file *f, u64 size)
{
	struct vhd_footer footer;
	u8 unique_id[16];

	if (getrandom(unique_id, sizeof(unique_id), 0) != sizeof(unique_id))
		return -EIO;
	vhd_footer_make(&footer, size, "pvv ", unique_id, (u64)time(NULL));
	return device_write(f, size, &footer, sizeof(footer));
}

int file_create(struct file *f, const char *path, u64 size, bool raw)
{
	*f = (struct file){ .path = path };
	f->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return say(path, strerror(errno), errno == EEXIST ? "remove it, or make it empty again with --force" : NULL);
	int r = lock(f, true);

	if (r)
		return r;
	r = -posix_fallocate(f->fd, 0, (off_t)size);
	if (!r && !raw)
		r = write_footer(f, size);
	if (r) {
		unlink(path);
		return say(path, strerror(-r), NULL);
	}
	make_device(f, size);
	return 0;
}

void file_close(struct file *f)
{
	fd_close(&f->fd);
}
