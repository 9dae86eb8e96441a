/* every malformed tree from the host ends in a message that names node and property */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libfdt.h>

#include "boot/host_tree.h"
#include "host/load/device_tree.h"
#include "tests/lib/load_fixture.h"

#define ROOM 65536

static struct host_tree tree;
static char err[HOST_ERROR_MAX];
static u8 good[ROOM], bad[ROOM];

static int set_up(void **state)
{
	static struct fixture f;

	fixture_init(&f, 1 * GiB);
	u32 len = device_tree_build(&f.request, good, ROOM);

	fixture_fini(&f);
	return len && !fdt_open_into(good, good, ROOM) && host_tree_read(good, ROOM, &tree, err) ? 0 : -1;
}

static int at(const char *path)
{
	memcpy(bad, good, ROOM);
	int node = fdt_path_offset(bad, path);

	assert_true(node >= 0);
	return node;
}

static void expect(const char *node, const char *property)
{
	assert_false(host_tree_read(bad, ROOM, &tree, err));
	assert_non_null(strstr(err, node));
	assert_non_null(strstr(err, property));
}

static void missing_properties(void **state)
{
	static const char *const cases[][2] = {
		{ "/cpus", "#address-cells" }, { "/cpus/cpu@1", "reg" }, { "/cpus/cpu@2", "status" },
		{ "/cpus/cpu@3", "numa-node-id" }, { "/memory@0", "reg" }, { "/memory@0", "numa-node-id" },
		{ "/memory@0", "device_type" }, { "/bus", "ranges" }, { "/bus/vmbus-vtl0@f8000000", "microsoft,vtl" },
		{ "/bus/vmbus-vtl2@fa000000", "#size-cells" },
		{ "/bus/vmbus-vtl2@fa000000", "microsoft,message-connection-id" },
		{ "/openhcl", "memory-allocation-mode" }, { "/openhcl/entropy", "reg" },
		{ "/pio-bus/serial@3e8", "current-speed" }, { "/pio-bus/serial@3e8", "reg" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int node = at(cases[i][0]);

		assert_int_equal(fdt_delprop(bad, node, cases[i][1]), 0);
		expect(strrchr(cases[i][0], '/') + 1, cases[i][1]);
	}
}

static void missing_nodes(void **state)
{
	static const char *const cases[] = { "/cpus", "/openhcl" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int node = at(cases[i]);

		assert_int_equal(fdt_del_node(bad, node), 0);
		expect(cases[i] + 1, "no node");
	}
	assert_int_equal(fdt_del_node(bad, at("/bus/vmbus-vtl2@fa000000")), 0);
	expect("microsoft,vmbus", "2");
	assert_int_equal(fdt_del_node(bad, at("/cpus/cpu@1")), 0);
	expect("cpus", "boot processor");
}

static void wrong_values(void **state)
{
	u64 odd[2] = { cpu_to_fdt64(1), cpu_to_fdt64(4096) };
	u64 on_ram[3] = { cpu_to_fdt64(1 * MiB), cpu_to_fdt64(1 * MiB), cpu_to_fdt64(1 * MiB) };
	u64 crooked[3] = { cpu_to_fdt64(0xFA000000), cpu_to_fdt64(0xFB000000), cpu_to_fdt64(1 * MiB) };

	assert_int_equal(fdt_setprop_u32(bad, at("/cpus/cpu@2"), "reg", 0), 0);
	expect("cpu@2", "reg");
	assert_int_equal(fdt_setprop(bad, at("/memory@0"), "reg", odd, 16), 0);
	expect("memory@0", "reg");
	assert_int_equal(fdt_setprop(bad, at("/memory@0"), "reg", odd, 12), 0);
	expect("memory@0", "reg");
	assert_int_equal(fdt_setprop_u32(bad, at("/bus/vmbus-vtl0@f8000000"), "microsoft,vtl", 1), 0);
	expect("vmbus-vtl0@f8000000", "microsoft,vtl");
	assert_int_equal(fdt_setprop_u32(bad, at("/bus/vmbus-vtl0@f8000000"), "microsoft,vtl", 2), 0);
	expect("vmbus-vtl2@fa000000", "second");
	assert_int_equal(fdt_setprop(bad, at("/bus/vmbus-vtl2@fa000000"), "ranges", on_ram, 24), 0);
	expect("vmbus", "overlaps memory");
	assert_int_equal(fdt_setprop(bad, at("/bus/vmbus-vtl2@fa000000"), "ranges", crooked, 24), 0);
	expect("vmbus-vtl2", "ranges");
	assert_int_equal(fdt_setprop_string(bad, at("/openhcl"), "memory-allocation-mode", "guest"), 0);
	expect("openhcl", "memory-allocation-mode");
	assert_int_equal(fdt_setprop_u32(bad, at("/openhcl"), "memory-size", 4096), 0);
	expect("openhcl", "memory-size");
	assert_int_equal(fdt_setprop_u64(bad, at("/openhcl"), "mmio-size", 4097), 0);
	expect("openhcl", "mmio-size");
	assert_int_equal(fdt_setprop(bad, at("/chosen"), "bootargs", "abc", 3), 0);
	expect("chosen", "bootargs");
}

static void cut_off_and_flipped_trees(void **state)
{
	u32 total = fdt_totalsize(good);
	u32 packed;

	memcpy(bad, good, ROOM);
	assert_int_equal(fdt_pack(bad), 0);
	packed = fdt_totalsize(bad);
	assert_true(packed < total);
	for (u32 n = 0; n < packed; n += 3) {
		u8 *copy = malloc(n + 1);

		memcpy(copy, bad, n);
		assert_false(host_tree_read(copy, n, &tree, err));
		free(copy);
	}
	u8 *copy = malloc(packed);

	memcpy(copy, bad, packed);
	for (u32 bit = 0; bit < packed * 8; bit++) {
		copy[bit / 8] ^= (u8)(1 << bit % 8);
		/* accepted or refused; the sanitizers watch */
		if (!host_tree_read(copy, packed, &tree, err))
			assert_true(strlen(err) > 20);
		copy[bit / 8] ^= (u8)(1 << bit % 8);
	}
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_properties),
		cmocka_unit_test(missing_nodes),
		cmocka_unit_test(wrong_values),
		cmocka_unit_test(cut_off_and_flipped_trees),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
