/* IGVM files from anywhere: open, walk, and load into a small machine */
#include "tests/lib/load_fixture.h"
#include "lib/core/crc32.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static struct fixture machine;

/* a checksum that fits, or the fuzzer would not get past it */
static void seal(u8 *data, size_t len)
{
	struct igvm_fixed_header h;
	u32 crc;

	if (len < sizeof(h))
		return;
	memcpy(&h, data, sizeof(h));
	if (!range_within(h.variable_header_offset, h.variable_header_size, 0, len))
		return;
	h.total_file_size = (u32)len;
	h.checksum = 0;
	crc = crc32_update(0, &h, sizeof(h));
	h.checksum = crc32_update(crc, data + h.variable_header_offset, h.variable_header_size);
	memcpy(data, &h, sizeof(h));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct igvm_file file;
	u8 *copy = malloc(len + 1);
	char err[256];

	if (!machine.vtl0)
		fixture_init(&machine, 1 * GiB);
	memcpy(copy, data, len);
	seal(copy, len);
	if (!igvm_open(copy, len, &file, err, sizeof(err)) && fixture_load(&machine, &file) && !machine.err[0])
		abort();
	free(copy);
	return 0;
}
