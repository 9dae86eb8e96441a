/* any bytes in any mode: no crash, RIP moves by at most 15 (branches aside), refusals and faults leave the registers alone */
#include <string.h>

#include "lib/core/check.h"
#include "vmm/emul/emul.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

struct world {
	unsigned translations, accesses; /* left until one fails */
	bool touched;
};

static enum emul_access translate(void *context, u64 linear, unsigned size, unsigned access, u64 *ret_place,
				  struct emul_exception *ret)
{
	struct world *w = context;

	CHECK(!w->touched && size && size <= 16 && (linear & (PAGE_SIZE - 1)) + size <= PAGE_SIZE && access && access < 4);
	*ret_place = linear;
	*ret = (struct emul_exception){ EMUL_PF, true, 2, linear };
	return w->translations-- ? EMUL_ACCESS_OK : EMUL_ACCESS_FAULT;
}

static enum emul_access touch(void *context, u64 place, void *data, unsigned size, bool write)
{
	struct world *w = context;

	CHECK(size && size <= 16);
	if (!write)
		for (unsigned i = 0; i < size; i++)
			((u8 *)data)[i] = (u8)((place + i) * 0x9e3779b97f4a7c15ull >> 56);
	w->touched = true;
	return w->accesses-- ? EMUL_ACCESS_OK : EMUL_ACCESS_AGAIN;
}

static enum emul_access exchange(void *context, u64 place, const void *expected, const void *desired, unsigned size)
{
	struct world *w = context;

	CHECK(size <= 16 && IS_ALIGNED(place, size));
	w->touched = false; /* a lost race begins from the beginning */
	return place & 0x1000 ? EMUL_ACCESS_CHANGED : EMUL_ACCESS_OK;
}

static bool branches(const u8 *bytes, size_t len)
{
	return memchr(bytes, 0xff, len);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static const unsigned modes[] = { 16, 32, 64 };
	struct emul_state s = { .rflags = 2, .rip = 0x1000 }, before;

	if (len < 4)
		return 0;
	struct world w = { data[1] % 5, data[2] % 5, false };
	struct emul_memory m = { translate, touch, exchange, &w };

	s.mode = modes[data[0] % 3];
	s.real = data[3] & 1;
	s.la57 = data[3] & 2;
	for (int i = 0; i < 16; i++)
		s.gpr[i] = 0x0101010101010101ull * (u64)(data[i % len] ^ i);
	for (int i = 0; i < EMUL_SEGMENTS; i++)
		s.segment[i] = (struct hv_segment){ .base = (u64)i << 8, .limit = data[3] & 4 ? ~0u : 0xffff,
						    .attributes = (u16)(0xc090 | (data[3] >> 4)) };
	before = s;
	for (unsigned n = 0; n < 20; n++) {
		enum emul_result r = emul_run(&s, data + 4, len - 4, &m);

		CHECK(s.rip - before.rip <= 15 || branches(data + 4, len - 4));
		CHECK(r != EMUL_FAULT || s.exception.vector);
		if (r == EMUL_FAULT)
			before.exception = s.exception;
		if (r != EMUL_DONE && r != EMUL_MORE)
			CHECK(!memcmp(&s, &before, sizeof(s)));
		if (r != EMUL_MORE)
			break;
		before = s;
		w.touched = false;
	}
	return 0;
}
