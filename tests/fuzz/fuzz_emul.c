/* any bytes in any mode: no crash, RIP moves by at most 15, refusals leave the registers alone */
#include <string.h>

#include "lib/core/check.h"
#include "vmm/emul/emul.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static enum emul_access touch(void *context, u64 linear, u64 *value, unsigned size, bool write)
{
	unsigned *left = context;

	CHECK(size == 1 || size == 2 || size == 4 || size == 8);
	if (!write)
		*value = linear * 0x9e3779b97f4a7c15ull;
	return (*left)-- ? EMUL_ACCESS_OK : EMUL_ACCESS_FAULT;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static const unsigned modes[] = { 16, 32, 64 };
	struct emul_state s = { .rflags = 2, .rip = 0x1000 }, before;
	unsigned left;

	if (len < 2)
		return 0;
	s.mode = modes[data[0] % 3];
	left = data[1] % 200;
	struct emul_memory m = { touch, &left };

	for (int i = 0; i < 16; i++)
		s.gpr[i] = 0x0101010101010101ull * (u64)(data[i % len] ^ i);
	before = s;
	enum emul_result r = emul_run(&s, data + 2, len - 2, &m);

	CHECK(s.rip - before.rip <= 15);
	if (r == EMUL_UNSUPPORTED || r == EMUL_TRUNCATED)
		CHECK(!memcmp(&s, &before, sizeof(s)));
	return 0;
}
