#include "lib/vhd/vhd.h"

#include <string.h>

#define EPOCH_S 946684800ull /* 2000-01-01 after 1970-01-01 */

static u32 checksum(const struct vhd_footer *f)
{
	struct vhd_footer copy = *f;
	u32 sum = 0;

	copy.checksum = 0;
	for (size_t i = 0; i < sizeof(copy); i++)
		sum += ((const u8 *)&copy)[i];
	return ~sum;
}

void vhd_footer_make(struct vhd_footer *f, u64 size, const char *creator, const u8 *unique_id, u64 now)
{
	*f = (struct vhd_footer){
		.features = __builtin_bswap32(VHD_FEATURES_RESERVED),
		.file_format_version = __builtin_bswap32(VHD_FORMAT_VERSION), .data_offset = UINT64_MAX,
		.time_stamp = __builtin_bswap32((u32)(now - EPOCH_S)), .original_size = __builtin_bswap64(size),
		.current_size = __builtin_bswap64(size), .disk_type = __builtin_bswap32(VHD_TYPE_FIXED),
	};
	memcpy(f->cookie, VHD_COOKIE, sizeof(f->cookie));
	memcpy(f->creator_application, creator, sizeof(f->creator_application));
	memcpy(f->unique_id, unique_id, sizeof(f->unique_id));
	f->checksum = __builtin_bswap32(checksum(f));
}

u64 vhd_disk_size(const struct vhd_footer *f, u64 file_size)
{
	u64 size = __builtin_bswap64(f->current_size);

	if (memcmp(f->cookie, VHD_COOKIE, sizeof(f->cookie)) || __builtin_bswap32(f->checksum) != checksum(f) ||
	    __builtin_bswap32(f->disk_type) != VHD_TYPE_FIXED || file_size < sizeof(*f) || size > file_size - sizeof(*f))
		return file_size;
	return size;
}
