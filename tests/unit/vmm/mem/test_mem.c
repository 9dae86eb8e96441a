#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "vmm/hcl/fake.h"
#include "vmm/mem/guest.h"
#include "vmm/mem/places.h"
#include "vmm/mem/protect.h"
#include "vmm/mem/walk.h"

static void put_memory(void *fdt, const char *name, u64 base, u64 len, u32 type)
{
	fdt_begin_node(fdt, name);
	fdt_property_string(fdt, "device_type", "memory-openhcl");
	fdt64_t reg[2] = { cpu_to_fdt64(base), cpu_to_fdt64(len) };

	fdt_property(fdt, "reg", reg, sizeof(reg));
	fdt_property_u32(fdt, "numa-node-id", 0);
	fdt_property_u32(fdt, "openhcl,memory-type", type);
	fdt_end_node(fdt);
}

static void make_tree(void *fdt, bool overlap)
{
	fdt_create(fdt, 8192);
	fdt_finish_reservemap(fdt);
	fdt_begin_node(fdt, "");
	fdt_begin_node(fdt, "cpus");
	for (u32 i = 0; i < 2; i++) {
		fdt_begin_node(fdt, i ? "cpu@2" : "cpu@1");
		fdt_property_string(fdt, "device_type", "cpu");
		fdt_property_u32(fdt, "reg", i * 4);
		fdt_end_node(fdt);
	}
	fdt_end_node(fdt);
	fdt_begin_node(fdt, "openhcl");
	fdt_property_string(fdt, "isolation-type", "none");
	fdt_property_string(fdt, "memory-allocation-mode", "host");
	put_memory(fdt, "memory@8000000", 0x8000000, 0x201000, OPENHCL_MEMORY_VTL2_RAM);
	put_memory(fdt, "memory@0", 0, overlap ? 0x8001000 : 0x8000000, OPENHCL_MEMORY_VTL0);
	put_memory(fdt, "memory@f8000000", 0xf8000000, 0x1000000, OPENHCL_MEMORY_VTL0_MMIO);
	fdt_end_node(fdt);
	fdt_end_node(fdt);
	fdt_finish(fdt);
}

static void layout_and_protection(void **state)
{
	void *fdt = malloc(8192);
	struct partition_layout *l = malloc(sizeof(*l));
	struct hcl_fake *f = malloc(sizeof(*f));
	u64 pages;

	make_tree(fdt, false);
	assert_int_equal(layout_parse(fdt, 8192, l), 0);
	assert_int_equal(l->vp_count, 2);
	assert_int_equal(l->apic_ids[1], 4);
	assert_int_equal(l->range_count, 3);
	assert_int_equal(l->ranges[0].type, OPENHCL_MEMORY_VTL0);
	assert_int_equal(l->vtl0_ram_top, 0x8000000);
	assert_false(l->isolated);
	hcl_fake_init(f, true);
	assert_int_equal(protect_vtl2(&f->hcl, l, &pages), 0);
	assert_int_equal(pages, 513);
	assert_int_equal(f->call_count, 2);
	struct hv_modify_vtl_protection_mask *in = (void *)f->calls[0].in;

	assert_int_equal(FIELD_GET(HV_HYPERCALL_REP_COUNT, f->calls[0].control), 510);
	assert_int_equal(in->map_flags, 0);
	assert_int_equal(in->input_vtl, 0x10);
	assert_int_equal(in->gpa_pages[1], 0x8001);
	f->refuse_code = HVCALL_MODIFY_VTL_PROTECTION_MASK;
	assert_int_equal(protect_vtl2(&f->hcl, l, &pages), -EIO);
	make_tree(fdt, true);
	assert_int_equal(layout_parse(fdt, 8192, l), -EPROTO);
	assert_int_equal(layout_parse(fdt, 20, l), -EPROTO);
	/* a version whose root has a path for a name: found by tests/mutate */
	free(fdt);
	fdt = calloc(1, 8192);
	fdt_create(fdt, 8192);
	fdt_finish_reservemap(fdt);
	fdt_begin_node(fdt, "");
	fdt_end_node(fdt);
	fdt_finish(fdt);
	fdt_set_version(fdt, 2);
	fdt_set_last_comp_version(fdt, 2);
	assert_int_equal(layout_parse(fdt, 8192, l), -EPROTO);
	free(fdt);
	free(l);
	free(f);
}

static void pieces_are_gib_where_they_can(void **state)
{
	assert_int_equal(layout_piece(0, 3 * GiB + MiB), 3 * GiB);
	assert_int_equal(layout_piece(3 * GiB, 3 * GiB + MiB), 3 * GiB + MiB);
	assert_int_equal(layout_piece(MiB, 3 * GiB), GiB);
	assert_int_equal(layout_piece(0, MiB), MiB);
}

static void the_gate_has_edges(void **state)
{
	struct guest *g;
	u32 word = 7;

	assert_int_equal(guest_create_fake(MiB, MiB, &g), 0);
	assert_int_equal(guest_write(g, MiB - 4, &word, 4), 0);
	assert_int_equal(guest_write(g, MiB - 3, &word, 4), -EFAULT);
	assert_int_equal(guest_read(g, 4 * GiB, &word, 4), 0);
	assert_int_equal(guest_read(g, 4 * GiB - 1, &word, 4), -EFAULT);
	assert_int_equal(guest_read(g, ~0ull - 1, &word, 4), -EFAULT);
	assert_false(guest_range(g, 0, ~0ull));
	guest_destroy(g);
}

static void walks_all_shapes(void **state)
{
	struct guest *g;
	u64 gpa, e;
	u32 error, e32;

	assert_int_equal(guest_create_fake(MiB, 0, &g), 0);
	/* 4-level: 2 MiB page at linear 0xffffffff80200000, 1 GiB page at 0x40000000, 4 KiB at 0 */
	const struct { u64 at, entry; } t[] = {
		{ 0x1000 + 511 * 8, 0x2003 }, { 0x2000 + 510 * 8, 0x3003 }, { 0x3000 + 1 * 8, 0x600000 | 0x83 },
		{ 0x1000, 0x4007 }, { 0x4000 + 8, 0x80000000ull | 0x83 }, { 0x4000, 0x5007 }, { 0x5000, 0x6007 },
		{ 0x6000, 0x9000 | 0x5 | BIT(63) },
	};
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(guest_write(g, t[i].at, &t[i].entry, 8), 0);
	struct walk_state s = { .cr0 = BIT(31) | 1 | BIT(16), .cr3 = 0x1000, .cr4 = BIT(5), .efer = BIT(10) | BIT(11) };

	assert_int_equal(walk(g, &s, 0xffffffff80234567, WALK_FETCH, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x634567);
	assert_int_equal(walk(g, &s, 0x40001234, WALK_WRITE, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x80001234);
	assert_int_equal(walk(g, &s, 0x10, WALK_USER, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x9010);
	assert_int_equal(walk(g, &s, 0x10, WALK_WRITE, &gpa, &error), WALK_FAULT);
	assert_int_equal(error, 3);
	assert_int_equal(walk(g, &s, 0x10, WALK_FETCH | WALK_USER, &gpa, &error), WALK_FAULT);
	assert_int_equal(error, 1 | 4 | 16);
	assert_int_equal(walk(g, &s, 0x1000, 0, &gpa, &error), WALK_FAULT);
	assert_int_equal(error, 0);
	s.efer = BIT(10);
	assert_int_equal(walk(g, &s, 0x1000, WALK_FETCH, &gpa, &error), WALK_FAULT);
	assert_int_equal(error, 0);
	s.cr4 |= BIT(20);
	assert_int_equal(walk(g, &s, 0x1000, WALK_FETCH, &gpa, &error), WALK_FAULT);
	assert_int_equal(error, 16);
	/* 5-level: the same below one more table */
	e = 0x1003;
	assert_int_equal(guest_write(g, 0xd000 + 0xaa * 8, &e, 8), 0);
	s = (struct walk_state){ .cr0 = BIT(31) | 1, .cr3 = 0xd000, .cr4 = BIT(5) | BIT(12), .efer = BIT(10) };
	assert_int_equal(walk(g, &s, 0x00aaffff80234567, 0, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x634567);
	assert_int_equal(walk(g, &s, 0x00abffff80234567, 0, &gpa, &error), WALK_FAULT);
	assert_true(walk_any(g, s, 0x00aa000040001234, &gpa));
	assert_int_equal(gpa, 0x80001234);
	assert_false(walk_any(g, s, 0x00ab000040001234, &gpa));
	/* legacy with PSE */
	e32 = 0x00400000 | 0x83;
	assert_int_equal(guest_write(g, 0xa000 + 4, &e32, 4), 0);
	s = (struct walk_state){ .cr0 = BIT(31) | 1, .cr3 = 0xa000, .cr4 = BIT(4) };
	assert_int_equal(walk(g, &s, 0x00412345, 0, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x00412345);
	/* PAE */
	e = 0xc001;
	assert_int_equal(guest_write(g, 0xb020, &e, 8), 0);
	e = 0x83;
	assert_int_equal(guest_write(g, 0xc000, &e, 8), 0);
	s = (struct walk_state){ .cr0 = BIT(31) | 1, .cr3 = 0xb020, .cr4 = BIT(5) };
	assert_int_equal(walk(g, &s, 0x12345, WALK_WRITE, &gpa, &error), WALK_OK);
	assert_int_equal(gpa, 0x12345);
	s.cr3 = 0xfffff000;
	assert_int_equal(walk(g, &s, 0x12345, 0, &gpa, &error), WALK_NO_MEMORY);
	guest_destroy(g);
}

static void places_do_not_meet(void **state)
{
	for (unsigned i = 0; i < PLACE_COUNT; i++)
		for (unsigned k = i + 1; k < PLACE_COUNT; k++)
			assert_false(ranges_overlap(places[i].base, places[i].len, places[k].base, places[k].len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_and_protection),
		cmocka_unit_test(pieces_are_gib_where_they_can),
		cmocka_unit_test(the_gate_has_edges),
		cmocka_unit_test(walks_all_shapes),
		cmocka_unit_test(places_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
