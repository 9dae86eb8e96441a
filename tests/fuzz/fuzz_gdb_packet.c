/* The gdbstub's packets: whatever comes in, each packet is answered and nothing outside of its machine is touched */
#include <stdlib.h>

#include "tests/lib/fake_gdb_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* the first byte: how; then pieces of packets, the checksum being ours where the byte FFh stands */
static void feed(struct fake_gdb_target *t, const u8 *data, size_t size)
{
	u8 sum = 0;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == 0xff) {
			char end[4];

			snprintf(end, sizeof(end), "#%02x", sum);
			fake_gdb_feed(t, end, 3);
			if (t->gdb.running)
				gdb_stopped(&t->gdb, &(struct gdb_stop){ .vp = i % FAKE_VPS,
									 .reason = i % (GDB_STOP_FAULT + 1) });
			gdb_sent(&t->gdb, t->gdb.out.len);
			continue;
		}
		sum = data[i] == '$' ? 0 : (u8)(sum + data[i]);
		fake_gdb_feed(t, &data[i], 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_gdb_target t;

	if (!size)
		return 0;
	memset(t.regs, 0, sizeof(t.regs));
	memset(t.breaks, 0, sizeof(t.breaks));
	t.slow = data[0] & 1;
	t.refuse_put = data[0] & 2;
	t.asked = false;
	gdb_init(&t.gdb, &fake_gdb_ops, &t);
	t.gdb.no_ack = data[0] & 4;
	feed(&t, data + 1, size - 1);
	if (!t.gdb.ended && t.gdb.packets && !t.gdb.running && !t.gdb.out.failed && t.gdb.replies < t.gdb.packets)
		abort(); /* a packet without an answer */
	gdb_fini(&t.gdb);
	return 0;
}
