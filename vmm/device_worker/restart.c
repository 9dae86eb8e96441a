#include "vmm/device_worker/restart.h"

#define SECOND_NS 1000000000ull
#define DELAY_MAX_NS (60 * SECOND_NS)
#define LONG_LIFE_NS (600 * SECOND_NS)

void restart_started(struct restart *r, u64 now_ns)
{
	r->started_ns = now_ns;
}

bool restart_died(struct restart *r, u64 now_ns, u64 *ret_at_ns)
{
	r->deaths++;
	if (r->given_up)
		return false;
	if (now_ns - r->started_ns >= LONG_LIFE_NS)
		r->row = 0;
	r->row++;
	if (r->row > RESTART_ROW_MAX) {
		r->given_up = true;
		return false;
	}
	*ret_at_ns = now_ns + (r->row == 1 ? 0 : MIN(SECOND_NS << (r->row - 2), DELAY_MAX_NS));
	return true;
}
