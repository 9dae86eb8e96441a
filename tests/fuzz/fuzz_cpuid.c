/* A CPUID policy as any command line may have it: what is taken is within bounds and says one thing of each bit */
#include <string.h>

#include "lib/core/check.h"
#include "vmm/vp/cpuid.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct cpuid_changes c = { .count = 0 };
	char text[256], why[160] = "";

	size = MIN(size, sizeof(text) - 1);
	memcpy(text, data, size);
	text[size] = 0;
	if (cpuid_parse(text, &c, why, sizeof(why))) {
		CHECK(*why);
		return 0;
	}
	CHECK(c.count && c.count <= CPUID_CHANGES_MAX);
	for (unsigned i = 0; i < c.count; i++) {
		u32 registers[CPUID_REGISTERS] = { 0, ~0u, 0, ~0u };

		cpuid_apply(&c, c.all[i].leaf, c.all[i].subleaf, registers);
		for (unsigned k = 0; k < CPUID_REGISTERS; k++)
			CHECK(!(c.all[i].value[k] & ~c.all[i].mask[k]));
	}
	return 0;
}
