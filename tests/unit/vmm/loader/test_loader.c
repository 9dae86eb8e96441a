#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spec/bootparam.h"
#include "vmm/hcl/fake.h"
#include "vmm/loader/loader.h"
#include "vmm/mem/places.h"

static struct partition_layout layout;
static const struct loader_machine machine;

static void make_layout(void)
{
	memset(&layout, 0, sizeof(layout));
	layout.vp_count = 3;
	layout.apic_ids[1] = 2;
	layout.apic_ids[2] = 300;
	layout.ranges[0] = (struct layout_range){ 0, 256 * MiB, OPENHCL_MEMORY_VTL0, 0, 0 };
	layout.ranges[1] = (struct layout_range){ 256 * MiB, 64 * MiB, OPENHCL_MEMORY_VTL2_RAM, 0, 0 };
	layout.ranges[2] = (struct layout_range){ 0xf8000000, 0x3f00000, OPENHCL_MEMORY_VTL0_MMIO, 0, 0 };
	layout.ranges[3] = (struct layout_range){ 0xfe0000000ull, 0x10000000, OPENHCL_MEMORY_VTL0_MMIO, 0, 0 };
	layout.range_count = 4;
	layout.vp_nodes[2] = 1;
	layout.node_count = 2;
}

static struct guest *make_guest(u16 version)
{
	struct guest *g;
	struct setup_header h = { .setup_sects = 1, .syssize = 0x200, .boot_flag = BOOT_FLAG, .header = BOOT_HEADER_MAGIC,
				  .version = version, .xloadflags = BOOT_XLF_KERNEL_64, .init_size = 32 * MiB,
				  .pref_address = 16 * MiB, .initrd_addr_max = 0x7fffffff, .cmdline_size = 2047 };
	struct openhcl_vtl0_config c = { .magic = OPENHCL_VTL0_CONFIG_MAGIC, .supported_vtl0 = OPENHCL_VTL0_LINUX };

	c.linux_info.kernel_region = (struct page_region){ 96 * MiB >> 12, 4 };
	c.linux_info.initrd_region = (struct page_region){ 20 * MiB >> 12, 1 };
	c.linux_info.initrd_size = 5;
	c.linux_info.command_line = (struct page_region){ 1, 1 };
	assert_int_equal(guest_create_fake(256 * MiB, 0, &g), 0);
	assert_int_equal(guest_write(g, 0, &c, sizeof(c)), 0);
	assert_int_equal(guest_write(g, 96 * MiB + 0x1f1, &h, sizeof(h)), 0);
	assert_int_equal(guest_write(g, 96 * MiB + 1024, "KERNEL", 6), 0);
	assert_int_equal(guest_write(g, 20 * MiB, "initr", 5), 0);
	assert_int_equal(guest_write(g, 4096, "console=ttyS0", 14), 0);
	return g;
}

/* a state: with a TPM */
static void linux_is_loaded(void **state)
{
	static const struct loader_machine with_tpm = { .tpm = true };
	bool with = *state != NULL;
	struct guest *g = make_guest(0x20f);
	struct boot_params bp;
	struct loader_entry e;
	char text[32];
	u64 rsdp;

	make_layout();
	assert_int_equal(loader_load(g, &layout, with ? &with_tpm : &machine, &e), 0);
	assert_int_equal(e.rip, 16 * MiB + 0x200);
	assert_int_equal(guest_read(g, 16 * MiB, text, 6), 0);
	assert_memory_equal(text, "KERNEL", 6);
	assert_int_equal(guest_read(g, e.rsi, &bp, sizeof(bp)), 0);
	/* the initrd lay in the kernel's room and was moved */
	assert_true(bp.hdr.ramdisk_image >= 48 * MiB);
	assert_int_equal(guest_read(g, bp.hdr.ramdisk_image, text, 5), 0);
	assert_memory_equal(text, "initr", 5);
	assert_int_equal(guest_read(g, bp.hdr.cmd_line_ptr, text, 14), 0);
	assert_string_equal(text, "console=ttyS0");
	u64 last = 0;

	for (unsigned i = 0; i < bp.e820_entries; i++) {
		struct e820_entry *r = &bp.e820_table[i];

		assert_true(r->addr >= last);
		last = r->addr + r->size;
		if (r->type == E820_RAM) {
			assert_false(with && ranges_overlap(r->addr, r->size, places[PLACE_TPM_REGISTERS].base, 0x3000));
			assert_false(ranges_overlap(r->addr, r->size, 256 * MiB, 64 * MiB));
			assert_false(ranges_overlap(r->addr, r->size, 0xa0000, 0x60000));
		}
	}
	memcpy(&rsdp, (u8 *)&bp + 0x70, 8);
	assert_int_equal(rsdp, places[PLACE_ACPI].base);
	guest_destroy(g);
	g = make_guest(0x204);
	assert_int_equal(loader_load(g, &layout, &machine, &e), -ENOEXEC);
	guest_destroy(g);
}

static void registers_are_long_mode(void **state)
{
	struct hcl_fake *f = malloc(sizeof(*f));
	struct hcl_vp vp;
	struct loader_entry e = { .rip = 0x1000200, .rsi = 0x8000, .cr3 = 0x10000 };

	hcl_fake_init(f, true);
	assert_int_equal(hcl_vp_open(&f->hcl, 0, &vp), 0);
	f->page.dirty = 3;
	assert_int_equal(loader_set_registers(&vp, &e), 0);
	assert_int_equal(hcl_fake_register(f, HV_X64_REGISTER_RIP), 0x1000200);
	assert_int_equal(hcl_fake_register(f, HV_X64_REGISTER_EFER), 0x500);
	assert_int_equal(f->run.context.rsi, 0x8000);
	assert_int_equal(f->page.dirty, 0);
	free(f);
}

static u32 at(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }

/* a state: with PCI and a TPM */
static void tables_are_what_iasl_reads(void **state)
{
	static u8 buf[0x10000];
	bool pci = *state != NULL;
	struct loader_machine with = { .pci = pci, .tpm = pci, .watchdog = true };
	struct acpi_tables tables = { .buf = buf, .room = 200 };
	char dir[] = "/tmp/acpiXXXXXX", path[64], command[256];

	make_layout();
	assert_int_equal(acpi_build(&layout, &with, 0xe0000, &tables), -ENOSPC);
	tables.room = sizeof(buf);
	assert_int_equal(acpi_build(&layout, &with, 0xe0000, &tables), 0);
	assert_int_equal(memmem(buf, tables.len, "PCI0", 4) != NULL, pci);
	assert_int_equal(memmem(buf, tables.len, "MSFT0101", 8) != NULL, pci);
	if (access("/usr/bin/iasl", X_OK)) {
		skip();
		return;
	}
	assert_non_null(mkdtemp(dir));
	u32 xsdt = at(buf + 24) - 0xe0000, fadt = at(buf + xsdt + 36) - 0xe0000;
	u32 madt = at(buf + xsdt + 44) - 0xe0000;
	u32 dsdt = at(buf + fadt + 140) - 0xe0000;
	u32 srat = at(buf + xsdt + 52) - 0xe0000, slit = at(buf + xsdt + 60) - 0xe0000;
	u32 wdat = at(buf + xsdt + 68) - 0xe0000, tpm2 = pci ? at(buf + xsdt + 76) - 0xe0000 : 0;
	const struct { const char *name; u32 at; const char *must; } t[] = {
		{ "dsdt", dsdt, "\"VMBUS\"" }, { "facp", fadt, "Reset Register" }, { "apic", madt, "I/O APIC" },
		{ "srat", srat, "Apic ID : 0000012C" }, { "slit", slit, "14 0A" },
		{ "wdat", wdat, "Timer Period : 000003E8" }, { "dsdt", dsdt, "_E00" },
		{ "tpm2", tpm2, "Start Method : 07" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t) - !pci; i++) {
		u8 sum = 0;

		for (u32 k = 0; k < at(buf + t[i].at + 4); k++)
			sum += buf[t[i].at + k];
		assert_int_equal(sum, 0);
		snprintf(path, sizeof(path), "%s/%s.dat", dir, t[i].name);
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		assert_int_equal(fwrite(buf + t[i].at, 1, at(buf + t[i].at + 4), f), at(buf + t[i].at + 4));
		fclose(f);
		/* -d: back to source; then the DSDT's source must compile without a warning */
		snprintf(command, sizeof(command),
			 "cd %s && iasl -d %s.dat >log 2>&1 && grep -q '%s' %s.dsl && ! grep -qi 'invalid\\|error' %s.dsl", dir,
			 t[i].name, t[i].must, t[i].name, t[i].name);
		assert_int_equal(system(command), 0);
	}
	snprintf(command, sizeof(command), "cd %s && iasl dsdt.dsl >log 2>&1; ! grep '^Error' log | grep -qv 6033 && "
		 "grep -q '1 Errors, 0 Warn' log && rm -rf %s",
		 dir, dir); /* 6033: Hyper-V's _HID "VMBUS" is no proper id, and Linux looks for just that */
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(linux_is_loaded, NULL), cmocka_unit_test_prestate(linux_is_loaded, &layout),
		cmocka_unit_test(registers_are_long_mode),
		cmocka_unit_test_prestate(tables_are_what_iasl_reads, NULL),
		cmocka_unit_test_prestate(tables_are_what_iasl_reads, &layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
