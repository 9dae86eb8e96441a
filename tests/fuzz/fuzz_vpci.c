/* Packets, configuration and BAR accesses and retarget calls that a hostile VTL2 could make, in any order. */
#include <string.h>

#include "host/vpci/vpci.h"
#include "lib/core/bytes.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u64 device_read(struct pci_function *f, u32 bar, u64 offset, u32 len) { return offset; }
static void device_write(struct pci_function *f, u32 bar, u64 offset, u32 len, u64 value) {}
static void device_reset(struct pci_function *f) {}
static void *map(void *ctx, u64 gpa, u64 len) { return NULL; }
static bool post(void *ctx, u32 vp, u8 sint, const void *message, u32 len) { return true; }
static void signal_guest(void *ctx, u32 vp, u8 sint, u16 flag) {}

static void on_interrupt(void *ctx, u32 vp, u8 vector)
{
	if (vp >= 2 || vector < 16)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct pci_function_ops ops = { device_read, device_write, device_reset };
	static struct loop *loop;
	struct vmbus_io io = { map, post, signal_guest, 2, NULL };
	struct pci_function f = { .name = "fuzz", .ops = &ops, .bar_size = { 0x4000, 0, 0x1000 }, .vector_count = 3,
		.msix_bar = 2 };
	struct vpci_config config = { GUID(1, 2, 8, 0, 0, 0, 0, 0, 0, 0, 0), &f, 1, 2, on_interrupt, NULL };
	struct bytes b = bytes_of(data, size), part;
	struct vpci *bus;
	u8 op, len;
	u64 address;

	if (!loop)
		loop = loop_create();
	struct vmbus *vmbus = vmbus_create(loop, &io);

	pci_function_init(&f);
	if (vpci_create(vmbus, &config, &bus))
		return 0;
	while (bytes_u8(&b, &op) && bytes_u8(&b, &len) && bytes_take(&b, MIN(len, b.left), &part)) {
		struct ring_received p = { .type = 6, .flags = op & 1, .len = (u32)part.left };
		u8 word[8] = { 0 };

		switch (op >> 1 & 3) {
		case 0: vpci_receive(bus, &p, part.at); break;
		case 1: vpci_retarget(bus, part.at, (u32)part.left); break;
		case 2:
			if (!bytes_u64(&part, &address))
				break;
			memcpy(word, part.at, MIN(part.left, sizeof(word)));
			vpci_mmio(bus, address, word, 1u << (op >> 4 & 3), op & 1);
			break;
		case 3: pci_interrupt(&f, op >> 3); break;
		}
	}
	vmbus_destroy(vmbus);
	vpci_destroy(bus);
	pci_function_fini(&f);
	return 0;
}
