/* saved state from outside: walk records two levels deep */
#include "lib/state/state.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);
int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct loader l = { bytes_of(data, len) }, within;
	struct record r, inner;

	while (loader_next(&l, &r) > 0) {
		within = loader_within(&r);
		while (loader_next(&within, &inner) > 0)
			if (loader_unknown(&inner))
				break;
	}
	return loader_init(&l, data, len) == 0 ? 0 : 0;
}
