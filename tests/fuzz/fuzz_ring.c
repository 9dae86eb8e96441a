/* A ring whose every byte the other side chose, read until it has nothing more to say. */
#include <string.h>

#include "lib/vmbus/ring.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 memory[3][PAGE_SIZE] __attribute__((aligned(4096)));
	u8 *pages[3] = { memory[0], memory[1], memory[2] }, out[512];
	struct ring r;
	struct ring_received got;
	bool signal;

	memset(memory, 0, sizeof(memory));
	if (size < 24)
		return 0;
	memcpy(memory[0], data, 16);
	memcpy(&((struct vmbus_ring_control *)memory[0])->feature_bits, data + 16, 4);
	memcpy(memory[1], data + 24, MIN(size - 24, 2 * (size_t)PAGE_SIZE));
	if (ring_init(&r, pages, 3, true))
		return 0;
	for (int i = 0; i < 2000 && ring_read(&r, out, sizeof(out), &got, &signal) == RING_OK; i++)
		if (got.len > sizeof(out))
			__builtin_trap();
	if (ring_init(&r, pages, 3, false))
		return 0;
	for (int i = 0; i < 100; i++)
		if (ring_write(&r, 6, 0, 1, data, (u32)MIN(size, 300u), NULL, 0, &signal) != RING_OK)
			break;
	return 0;
}
