#include "host/nvme/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log/log.h"

LOG_DOMAIN("backing");

#define ZEROES_SIZE 65536u

static int open_file(struct backing *b, const char *path, bool buffered)
{
	int flags = (b->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;

	b->fd = open(path, flags);
	if (b->fd < 0)
		return log_err(-errno, "--nvme %s cannot be opened for %s: give an existing file%s", path,
			       b->readonly ? "reading" : "writing",
			       errno == EACCES ||
				errno == EROFS ? ", or add ,readonly=on" : " ('truncate -s 1G FILE' makes one)");
	if (fstat(b->fd, &st))
		return log_err(-errno, "--nvme %s", path);
	if (S_ISBLK(st.st_mode)) {
		off_t end = lseek(b->fd, 0, SEEK_END);

		b->size = end > 0 ? (u64)end : 0;
	} else if (S_ISREG(st.st_mode)) {
		b->size = (u64)st.st_size;
	} else {
		return log_err(-EINVAL, "--nvme %s is neither a file nor a block device", path);
	}
	if (!buffered)
		b->direct_fd = open(path, flags | O_DIRECT); /* tmpfs and some others refuse: the page cache does */
	return 0;
}

int backing_open(struct backing *b, const char *path, u64 ram_size, bool readonly, bool buffered)
{
	*b = (struct backing){ .fd = -1, .direct_fd = -1, .readonly = readonly };
	if (!ram_size)
		return open_file(b, path, buffered);
	void *at = mmap(NULL, ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return log_err(-errno, "--nvme %s: %lu MiB of memory", path, ram_size / MiB);
	b->ram = at;
	b->size = ram_size;
	return 0;
}

void backing_close(struct backing *b)
{
	if (b->ram)
		munmap(b->ram, b->size);
	if (b->fd >= 0)
		close(b->fd);
	if (b->direct_fd >= 0)
		close(b->direct_fd);
	*b = (struct backing){ .fd = -1, .direct_fd = -1 };
}

static bool is_aligned(const struct iovec *iov, u32 count, u64 offset)
{
	u64 all = offset;

	for (u32 i = 0; i < count; i++)
		all |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return IS_ALIGNED(all, BACKING_DIRECT_ALIGN);
}

static void advance(struct iovec **iov, u32 *count, size_t done)
{
	while (*count && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (u8 *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

static int ram_transfer(struct backing *b, const struct iovec *iov, u32 count, u64 offset, bool write)
{
	for (u32 i = 0; i < count; i++) {
		if (write)
			memcpy(b->ram + offset, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, b->ram + offset, iov[i].iov_len);
		offset += iov[i].iov_len;
	}
	return 0;
}

static int transfer(struct backing *b, struct iovec *iov, u32 count, u64 offset, bool write, bool through)
{
	if (b->ram)
		return ram_transfer(b, iov, count, offset, write);
	bool direct = b->direct_fd >= 0 && is_aligned(iov, count, offset);

	*(direct ? &b->direct : &b->buffered) += 1;
	while (count) {
		int fd = direct ? b->direct_fd : b->fd;
		ssize_t n = write ? pwritev2(fd, iov, (int)count, (off_t)offset, through ? RWF_DSYNC : 0)
				  : preadv(fd, iov, (int)count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && direct) { /* the disk below has larger blocks than we thought */
			direct = false;
			continue;
		}
		if (n < 0)
			return -errno;
		if (!n && !write) { /* the file was cut short under us: say so rather than hand out what is not there */
			return -EIO;
		}
		offset += (u64)n;
		advance(&iov, &count, (size_t)n);
		direct = direct && is_aligned(iov, count, offset);
	}
	return 0;
}

int backing_read(struct backing *b, struct iovec *iov, u32 count, u64 offset)
{
	return transfer(b, iov, count, offset, false, false);
}

int backing_write(struct backing *b, struct iovec *iov, u32 count, u64 offset, bool through)
{
	return b->readonly ? -EROFS : transfer(b, iov, count, offset, true, through);
}

int backing_flush(struct backing *b)
{
	b->flushes++;
	return b->ram || b->readonly || !fdatasync(b->fd) ? 0 : -errno;
}

int backing_zero(struct backing *b, u64 offset, u64 len, bool release, bool through)
{
	static const u8 zeroes[ZEROES_SIZE];

	if (b->readonly)
		return -EROFS;
	if (b->ram) {
		memset(b->ram + offset, 0, len);
		return 0;
	}
	int mode = FALLOC_FL_KEEP_SIZE | (release ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	if (!len)
		return 0;
	if (!fallocate(b->fd, mode, (off_t)offset, (off_t)len) ||
	    (!release && !fallocate(b->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)offset, (off_t)len)))
		return through ? backing_flush(b) : 0;
	if (errno != EOPNOTSUPP && errno != ENODEV)
		return -errno;
	while (len) {
		u64 part = MIN(len, (u64)ZEROES_SIZE);
		struct iovec iov = { (void *)zeroes, part };
		int r = transfer(b, &iov, 1, offset, true, through);

		if (r)
			return r;
		offset += part;
		len -= part;
	}
	return 0;
}
