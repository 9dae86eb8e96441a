#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/vpci/pci.h"

static struct {
	u64 last_offset, last_value;
	u32 last_size, reads, writes, resets, sent;
	u64 address;
	u32 data;
} seen;

static u64 device_read(struct pci_function *f, u32 bar, u64 offset, u32 size)
{
	seen.reads++;
	seen.last_offset = offset;
	return 0x1122334455667788ull;
}

static void device_write(struct pci_function *f, u32 bar, u64 offset, u32 size, u64 value)
{
	seen.writes++;
	seen.last_offset = offset;
	seen.last_size = size;
	seen.last_value = value;
}

static void device_reset(struct pci_function *f)
{
	seen.resets++;
}

static void deliver(void *ctx, u64 address, u32 data)
{
	seen.sent++;
	seen.address = address;
	seen.data = data;
}

static const struct pci_function_ops ops = { device_read, device_write, device_reset };

static void fresh(struct pci_function *f)
{
	memset(&seen, 0, sizeof(seen));
	*f = (struct pci_function){ .name = "test", .ops = &ops, .identity = { 0x1414, 0xb111, 0x1414, 1, PCI_CLASS_NVME, 3 },
				    .bar_size = { 0x4000, 0, 0x1000 }, .vector_count = 3, .msix_bar = 2, .deliver = deliver };
	pci_function_init(f);
}

static void write_memory(struct pci_function *f, u64 address, u32 value)
{
	assert_true(pci_mmio(f, address, &value, 4, true));
}

static void place(struct pci_function *f)
{
	pci_config_write(f, PCI_BAR0, 4, 0x10000000);
	pci_config_write(f, PCI_BAR0 + 4, 4, 0xf);
	pci_config_write(f, PCI_BAR0 + 8, 4, 0x20000000);
	pci_config_write(f, PCI_BAR0 + 12, 4, 0xf);
	pci_config_write(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void identity_and_sizing(void **state)
{
	struct pci_function f;

	fresh(&f);
	assert_int_equal(pci_config_read(&f, 0, 4), 0xb1111414);
	assert_int_equal(pci_config_read(&f, PCI_REVISION_ID, 4), 0x01080203);
	pci_config_write(&f, PCI_BAR0, 4, ~0u);
	pci_config_write(&f, PCI_BAR0 + 4, 4, ~0u);
	assert_int_equal(pci_config_read(&f, PCI_BAR0, 4), 0xffffc004);
	assert_int_equal(pci_config_read(&f, PCI_BAR0 + 4, 4), 0xffffffff);
	assert_int_equal(pci_bar_mask(&f, 0), 0xffffc004);
	pci_config_write(&f, PCI_BAR0 + 16, 4, ~0u);
	assert_int_equal(pci_config_read(&f, PCI_BAR0 + 16, 4), 0);
	/* identity is not for writing, the extended space is empty, past it is nothing */
	pci_config_write(&f, 0, 4, 0);
	assert_int_equal(pci_config_read(&f, 0, 2), 0x1414);
	assert_int_equal(pci_config_read(&f, 0x100, 4), 0);
	assert_int_equal(pci_config_read(&f, 0xffe, 4), ~0u);
	assert_int_equal(pci_config_read(&f, ~0u, 4), ~0u);
	/* the list of capabilities: MSI-X, then Express */
	assert_int_equal(pci_config_read(&f, PCI_CAPABILITIES, 1), 0x40);
	assert_int_equal(pci_config_read(&f, 0x40, 4), 0x00026011);
	assert_int_equal(pci_config_read(&f, 0x60, 2), PCI_CAP_EXPRESS);
	pci_function_fini(&f);
}

static void bars_are_decoded(void **state)
{
	struct pci_function f;
	u64 value = 0;

	fresh(&f);
	assert_false(pci_mmio(&f, 0xf10000000ull, &value, 4, false));
	place(&f);
	assert_true(pci_mmio(&f, 0xf10000010ull, &value, 8, false));
	assert_int_equal(value, 0x1122334455667788ull);
	assert_int_equal(seen.last_offset, 0x10);
	write_memory(&f, 0xf10003ffcull, 7);
	assert_int_equal(seen.last_offset, 0x3ffc);
	assert_int_equal(seen.last_value, 7);
	assert_false(pci_mmio(&f, 0xf10003ffcull, &value, 8, false)); /* across the end */
	assert_false(pci_mmio(&f, 0xf10004000ull, &value, 4, false));
	assert_false(pci_mmio(&f, 0xf10000000ull, &value, 3, false));
	pci_config_write(&f, PCI_COMMAND, 2, 0);
	assert_false(pci_mmio(&f, 0xf10000010ull, &value, 4, false));
	pci_function_fini(&f);
}

static void vectors_are_masked_and_kept(void **state)
{
	struct pci_function f;
	u64 pending = 0;

	fresh(&f);
	place(&f);
	pci_interrupt(&f, 1); /* MSI-X is off */
	assert_int_equal(seen.sent, 0);
	write_memory(&f, 0xf20000010ull, 0xfee00000);
	write_memory(&f, 0xf20000018ull, 0x4001);
	pci_config_write(&f, 0x42, 2, PCI_MSIX_CONTROL_ENABLE);
	pci_interrupt(&f, 1); /* the entry is masked */
	assert_int_equal(seen.sent, 0);
	assert_true(pci_mmio(&f, 0xf20000800ull, &pending, 8, false));
	assert_int_equal(pending, 2);
	write_memory(&f, 0xf2000001cull, 0);
	assert_int_equal(seen.sent, 1);
	assert_int_equal(seen.address, 0xfee00000);
	assert_int_equal(seen.data, 0x4001);
	pci_config_write(&f, 0x42, 2, PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL);
	pci_interrupt(&f, 1);
	pci_interrupt(&f, 1);
	assert_int_equal(seen.sent, 1);
	pci_config_write(&f, 0x42, 2, PCI_MSIX_CONTROL_ENABLE);
	assert_int_equal(seen.sent, 2); /* two became one */
	pci_interrupt(&f, 3); /* no such vector */
	pci_interrupt(&f, ~0u);
	assert_int_equal(seen.sent, 2);
	assert_int_equal(pci_config_read(&f, 0x42, 2), PCI_MSIX_CONTROL_ENABLE | 2);
	/* nothing behind the table and the PBA */
	pending = 5;
	assert_true(pci_mmio(&f, 0xf20000ff8ull, &pending, 8, false));
	assert_int_equal(pending, 0);
	pci_function_fini(&f);
}

static void function_level_reset(void **state)
{
	struct pci_function f;

	fresh(&f);
	place(&f);
	pci_config_write(&f, 0x68, 2, PCI_EXPRESS_CONTROL_FLR);
	assert_int_equal(seen.resets, 1);
	assert_int_equal(pci_config_read(&f, PCI_COMMAND, 2), 0);
	assert_int_equal(pci_config_read(&f, PCI_BAR0, 4), PCI_BAR_64);
	assert_int_equal(f.table[0].control, PCI_MSIX_ENTRY_MASKED);
	assert_false(pci_is_master(&f));
	pci_config_write(&f, 0x68, 4, 0x2810);
	assert_int_equal(seen.resets, 1);
	pci_config_write(&f, 0x69, 1, 0x80);
	assert_int_equal(seen.resets, 2);
	pci_function_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_and_sizing), cmocka_unit_test(bars_are_decoded),
		cmocka_unit_test(vectors_are_masked_and_kept), cmocka_unit_test(function_level_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
