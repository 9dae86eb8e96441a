/* IGVM files from anywhere: open, walk, and load into a small machine */
#include "tests/lib/load_fixture.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static struct fixture machine;

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct igvm_file file;
	u8 *copy = malloc(len + 1);
	char err[256];

	if (!machine.vtl0)
		fixture_init(&machine, 1 * GiB);
	memcpy(copy, data, len);
	fixture_seal(copy, len);
	if (!igvm_open(copy, len, &file, err, sizeof(err)) && fixture_load(&machine, &file) && !machine.err[0])
		abort();
	free(copy);
	return 0;
}
