#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/os/file.h"
#include "spec/hv_regs.h"
#include "tests/lib/load_fixture.h"

#define BUILT_AT 0x10000000ull

static struct fixture machine;
static u8 *data;
static struct igvm_file file;

/* files from tests/igvm/make_fixtures.py; tests run in the top folder */
static void open_fixture(const char *path, u64 base)
{
	size_t len;

	free(data);
	data = NULL;
	fixture_fini(&machine);
	fixture_init(&machine, base);
	assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
	assert_int_equal(igvm_open(data, len, &file, machine.err, sizeof(machine.err)), 0);
}

static int tear_down(void **state)
{
	free(data);
	fixture_fini(&machine);
	return 0;
}

static void check_foreign(u64 base)
{
	u64 cr3;
	u8 *area;

	if (fixture_load(&machine, &file))
		fail_msg("%s", machine.err);
	assert_string_equal(fixture_at(&machine, base, 6), "first");
	assert_string_equal(fixture_at(&machine, base + PAGE_SIZE, 7), "second");
	assert_int_equal(*(u8 *)fixture_at(&machine, base + 2 * PAGE_SIZE, 1), 0);
	assert_string_equal(fixture_at(&machine, 0x5000, 6), "below");
	assert_int_equal(fixture_register(&machine, HV_X64_REGISTER_RIP, 0), base + 0x200);
	assert_int_equal(fixture_register(&machine, HV_X64_REGISTER_GDTR, 1), base + PAGE_SIZE);
	assert_int_equal(fixture_register(&machine, HV_X64_REGISTER_RSI, 0), 0x1234);
	cr3 = fixture_register(&machine, HV_X64_REGISTER_CR3, 0);
	assert_int_equal(cr3, base + 0x400000);
	for (u64 at = base; at < base + 0x400000; at += 0x1000)
		assert_int_equal(fixture_translate(&machine, cr3, at), at);
	if (base != BUILT_AT)
		assert_int_equal(fixture_translate(&machine, cr3, BUILT_AT), ~0ull);
	area = fixture_at(&machine, base + 0x100000, 4 * PAGE_SIZE);
	assert_int_equal(*(u32 *)(area + 8), 3);
	assert_string_equal(area + 0x100, "from_host=1");
	struct igvm_memory_map_entry *map = (void *)(area + 0x1000);

	assert_int_equal(map[1].starting_gpa_page_number, base / PAGE_SIZE);
	assert_int_equal(map[1].entry_type, IGVM_MEMORY_TYPE_VTL2_PROTECTABLE);
	assert_int_equal(map[2].number_of_pages, 0);
	assert_int_equal(((struct igvm_mmio_ranges *)(area + 0x2000))->mmio_ranges[0].starting_gpa_page_number, 0xF8000);
}

static void foreign_file_loads_where_built_and_moved(void **state)
{
	/* same tables, neighbouring 1 GiB, and across 1 GiB and 512 GiB borders; also downwards */
	static const u64 bases[] = { BUILT_AT, BUILT_AT + 0x200000, 0x8000000, 1 * GiB, 3 * GiB - 0x200000, 512 * GiB,
				     512 * GiB - 0x200000 };

	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		open_fixture("tests/igvm/fixtures/foreign.igvm", bases[i]);
		assert_int_equal(file.skipped_count, 3);
		check_foreign(bases[i]);
	}
}

static void expect_refusal(const char *word)
{
	assert_int_equal(fixture_load(&machine, &file), -EINVAL);
	assert_non_null(strstr(machine.err, word));
}

static void impossible_requests_are_refused(void **state)
{
	open_fixture("tests/igvm/fixtures/foreign.igvm", 1 * GiB + PAGE_SIZE);
	expect_refusal("aligned");
	open_fixture("tests/igvm/fixtures/foreign.igvm", 1ull << 40);
	expect_refusal("window");
	open_fixture("tests/igvm/fixtures/foreign.igvm", 1 * GiB);
	machine.request.vtl2.size = 2 * MiB;
	expect_refusal("VTL2 memory");
	machine.request.vtl2.size = FIXTURE_VTL2_SIZE;
	machine.ram[1].type = IGVM_MEMORY_TYPE_MEMORY;
	expect_refusal("does not have");
	open_fixture("tests/igvm/fixtures/foreign.igvm", 1 * GiB);
	machine.request.cpu_count = 0;
	expect_refusal("processor");
}

static void file_without_relocation_stays(void **state)
{
	open_fixture("tests/igvm/fixtures/fixed.igvm", BUILT_AT);
	assert_int_equal(fixture_load(&machine, &file), 0);
	assert_string_equal(fixture_at(&machine, BUILT_AT, 6), "fixed");
	open_fixture("tests/igvm/fixtures/fixed.igvm", 1 * GiB);
	expect_refusal("VTL2 memory");
}

static void needs_are_told(void **state)
{
	u64 base, size, align;

	open_fixture("tests/igvm/fixtures/foreign.igvm", 1 * GiB);
	assert_int_equal(igvm_vtl2_needs(&file, &base, &size, &align, machine.err, sizeof(machine.err)), 0);
	assert_int_equal(base, BUILT_AT);
	assert_int_equal(size, 0x600000);
	assert_int_equal(align, 2 * MiB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_file_loads_where_built_and_moved),
		cmocka_unit_test(impossible_requests_are_refused),
		cmocka_unit_test(file_without_relocation_stays),
		cmocka_unit_test(needs_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
