/* ELF64 x86-64 executables, read strictly. Errors: -EINVAL and one line in err. */
#pragma once

#include "lib/core/types.h"

#define ELF_SEGMENT_MAX 16u

struct elf_segment {
	const u8 *bytes;
	u64 file_size, memory_size;
	u64 address; /* physical, as linked */
};

struct elf_image {
	struct elf_segment segments[ELF_SEGMENT_MAX];
	u32 segment_count;
	u64 entry; /* from the header; physical for a vmlinux */
	u64 low, high; /* bounds of all segments */
};

/*
 * what names the file in messages; borrows data. The segments do not overlap and the entry lies in one of
 * them.
 */
int elf_read(const char *what, const u8 *data, size_t len, struct elf_image *ret, char *err, size_t err_len) __must_check;
