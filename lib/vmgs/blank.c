#include <errno.h>
#include <string.h>

#include "lib/vmgs/vmgs.h"

#define BLANK_LEN MiB

/* 1, 0, or -errno */
static int is_zero(const struct vmgs_device *device, u64 from, u64 to)
{
	u8 part[VMGS_BLOCK_SIZE];

	for (; from + sizeof(part) <= to; from += sizeof(part)) {
		int r = device->read(device->context, from, part, sizeof(part));

		if (r || part[0] || memcmp(part, part + 1, sizeof(part) - 1))
			return r;
	}
	return 1;
}

int vmgs_may_be_formatted(const struct vmgs_device *device, bool has_footer)
{
	const u64 tables = VMGS_MIN_FILE_BLOCK * VMGS_BLOCK_SIZE;
	u8 block[VMGS_BLOCK_SIZE];
	struct vmgs_file_entry own;
	int r = device->capacity < VMGS_CAPACITY_MIN ? 0 : is_zero(device, 0, tables);

	if (r <= 0 || has_footer)
		return r;
	r = device->read(device->context, tables, block, sizeof(block));
	if (r)
		return r;
	memcpy(&own, block, sizeof(own));
	if (own.offset == VMGS_MIN_FILE_BLOCK && own.allocation_size == VMGS_FILE_TABLE_BLOCKS &&
	    own.valid_data_size == VMGS_BLOCK_SIZE)
		return 1;
	return is_zero(device, tables + 2 * VMGS_BLOCK_SIZE, MIN(device->capacity, BLANK_LEN));
}
