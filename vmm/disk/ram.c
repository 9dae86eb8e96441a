/* A disk in memory: pages come from the kernel at first write, and go back when they are unmapped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

struct ram {
	struct disk disk;
	u8 *data;
};

static void zero(struct ram *ram, u64 from, u64 len)
{
	u64 first = ALIGN_UP(from, (u64)PAGE_SIZE), last = ALIGN_DOWN(from + len, (u64)PAGE_SIZE);

	if (first >= last || madvise(ram->data + first, last - first, MADV_DONTNEED)) {
		memset(ram->data + from, 0, len);
		return;
	}
	memset(ram->data + from, 0, first - from);
	memset(ram->data + last, 0, from + len - last);
}

static void ram_submit(struct disk *disk, struct disk_request *r)
{
	struct ram *ram = container_of(disk, struct ram, disk);
	u64 at = r->sector * disk->sector_size, len = r->count * disk->sector_size;
	struct disk_cursor c;
	struct iovec piece;

	switch (r->op) {
	case DISK_READ:
	case DISK_WRITE:
		c = disk_cursor(r, len);
		for (; disk_cursor_next(&c, SIZE_MAX, &piece); at += piece.iov_len)
			if (r->op == DISK_READ)
				memcpy(piece.iov_base, ram->data + at, piece.iov_len);
			else
				memcpy(ram->data + at, piece.iov_base, piece.iov_len);
		break;
	case DISK_UNMAP:
	case DISK_WRITE_ZEROES:
		zero(ram, at, len);
		break;
	default:
		break; /* there is no cache to flush */
	}
	disk_done(r, 0);
}

static void ram_destroy(struct disk *disk)
{
	struct ram *ram = container_of(disk, struct ram, disk);

	munmap(ram->data, disk_bytes(disk));
	free(ram);
}

static const struct disk_ops ops = { .submit = ram_submit, .destroy = ram_destroy };

struct disk *disk_ram(u64 bytes, u32 sector_size, const struct guid *id)
{
	struct ram *ram = calloc(1, sizeof(*ram));
	u64 sectors = bytes / sector_size;

	if (!ram || !sectors) {
		log_err(ram ? -EINVAL : -ENOMEM, "RAM disk of %llu bytes", (unsigned long long)bytes);
		free(ram);
		return NULL;
	}
	ram->disk = (struct disk){ .ops = &ops, .kind = "ram", .sector_size = sector_size, .sectors = sectors,
				   .physical_size = PAGE_SIZE, .unmap_granularity = PAGE_SIZE / sector_size,
				   .unmap_zeroes = true, .id = *id };
	ram->data = mmap(NULL, disk_bytes(&ram->disk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);
	if (ram->data == MAP_FAILED) {
		log_err(-errno, "RAM disk of %llu bytes", (unsigned long long)bytes);
		free(ram);
		return NULL;
	}
	return &ram->disk;
}
