/*
 * fsx FILE [OPERATIONS [SEED]]: random reads, writes, mapped accesses, truncations and holes in one file, each checked against a
 * copy in memory. The first difference is told with its offset and the seed; exit status 1 then, 2 when the file cannot be used.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)
#define PIECE_MAX (96u << 10)
#define PAGE 4096u

static unsigned char good[FILE_MAX], got[PIECE_MAX];
static size_t file_len;
static int fd;
static unsigned long long seed, at;
static unsigned operation;

static unsigned draw(unsigned below)
{
	/* splitmix64 */
	unsigned long long z = (at += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (unsigned)((z ^ (z >> 31)) % below);
}

static _Noreturn void broken(const char *what)
{
	printf("fsx: %s (%s), operation %u, seed %llu\n", what, strerror(errno), operation, seed);
	exit(2);
}

static void compare(size_t offset, const unsigned char *data, size_t len, const char *how)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != good[offset + i]) {
			printf("fsx: %s at %zu of %zu: %#x instead of %#x, operation %u, seed %llu\n", how, offset + i,
			       file_len, data[i],
			       good[offset + i], operation, seed);
			exit(1);
		}
}

static void do_read(size_t offset, size_t len)
{
	ssize_t n = pread(fd, got, len, (off_t)offset);

	if (n < 0)
		broken("read");
	if ((size_t)n != (offset < file_len ? (file_len - offset < len ? file_len - offset : len) : 0))
		broken("short read");
	compare(offset, got, (size_t)n, "read");
}

static void fill(size_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		good[offset + i] = (unsigned char)(draw(256) + offset + i);
	if (offset + len > file_len)
		file_len = offset + len;
}

static void do_write(size_t offset, size_t len)
{
	fill(offset, len);
	if (pwrite(fd, good + offset, len, (off_t)offset) != (ssize_t)len)
		broken("write");
}

static void do_map(size_t offset, size_t len, bool write)
{
	size_t skip = offset % PAGE;

	if (offset >= file_len)
		return;
	len = file_len - offset < len ? file_len - offset : len;
	unsigned char *map = mmap(NULL, len + skip, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset - skip));

	if (map == MAP_FAILED)
		broken("mmap");
	if (write) {
		fill(offset, len);
		memcpy(map + skip, good + offset, len);
	} else {
		compare(offset, map + skip, len, "mapped read");
	}
	munmap(map, len + skip);
}

static void do_truncate(size_t len)
{
	if (len < file_len)
		memset(good + len, 0, file_len - len);
	if (ftruncate(fd, (off_t)len))
		broken("truncate");
	file_len = len;
}

static void do_hole(size_t offset, size_t len, int mode)
{
	if (offset >= file_len)
		return;
	len = file_len - offset < len ? file_len - offset : len;
	if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len)) {
		if (errno == EOPNOTSUPP)
			return;
		broken("fallocate");
	}
	memset(good + offset, 0, len);
}

static void step(void)
{
	size_t offset = draw(FILE_MAX), len = 1 + draw(PIECE_MAX);

	if (offset + len > FILE_MAX)
		len = FILE_MAX - offset;
	switch (draw(12)) {
	case 0: do_truncate(draw(FILE_MAX)); break;
	case 1: do_hole(offset, len, FALLOC_FL_PUNCH_HOLE); break;
	case 2: do_hole(offset, len, FALLOC_FL_ZERO_RANGE); break;
	case 3: do_map(offset, len, true); break;
	case 4:
	case 5: do_map(offset, len, false); break;
	case 6:
		if (draw(8) == 0 && fsync(fd))
			broken("fsync");
		/* what is read next comes from the disk */
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		break;
	case 7:
	case 8:
	case 9: do_write(offset, len); break;
	default: do_read(offset, len); break;
	}
}

int main(int argc, char **argv)
{
	unsigned operations = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1000;
	struct stat s;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "Usage: fsx FILE [OPERATIONS [SEED]]\n");
		return 2;
	}
	at = seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		broken(argv[1]);
	for (operation = 0; operation < operations; operation++)
		step();
	if (fsync(fd))
		broken("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (fstat(fd, &s) || (size_t)s.st_size != file_len)
		broken("size");
	for (size_t offset = 0; offset < file_len; offset += PIECE_MAX)
		do_read(offset, PIECE_MAX);
	printf("fsx: %u operations, seed %llu: all as it should be\n", operations, seed);
	return 0;
}
