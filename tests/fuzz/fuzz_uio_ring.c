/* a channel's ring with any content: receive until it refuses or is empty, then send */
#include <string.h>

#include "vmm/uio/ring.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);
int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static u8 memory[8192] __attribute__((aligned(4096)));
	u8 buf[1024];
	struct uio_ring r;
	bool signal;

	memset(memory, 0, sizeof(memory));
	memcpy(memory, data, len < 16 ? len : 16);
	if (len > 16)
		memcpy(memory + 4096, data + 16, len - 16 < 4096 ? len - 16 : 4096);
	if (!uio_ring_init(&r, memory, sizeof(memory)))
		return 0;
	for (int i = 0; i < 300 && uio_ring_receive(&r, buf, sizeof(buf), &signal) > 0; i++)
		;
	return uio_ring_send(&r, buf, sizeof(buf) / 2, &signal) ? 0 : 0;
}
