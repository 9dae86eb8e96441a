/* build → load → what the shim does, on the build machine; libfdt is the witness for both device trees */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libfdt.h>

#include "boot/allocate.h"
#include "boot/boot_params.h"
#include "boot/command_line.h"
#include "boot/kernel_tree.h"
#include "spec/hv_regs.h"
#include "tests/lib/load_fixture.h"

#define BASE (5 * GiB + 6 * MiB)

static struct fixture machine;
static struct host_tree tree;
static struct plan plan;
static const struct shim_params *params;
static u8 *image;
static char err[HOST_ERROR_MAX];

static int set_up(void **state)
{
	struct igvm_file file;
	size_t len;

	fixture_init(&machine, BASE);
	if (fixture_image(&image, &len, err, sizeof(err)) || igvm_open(image, len, &file, err, sizeof(err)) ||
	    fixture_load(&machine, &file)) {
		print_error("%s %s\n", err, machine.err);
		return -1;
	}
	params = fixture_at(&machine, BASE + fixture_register(&machine, HV_X64_REGISTER_RSI, 0), sizeof(*params));
	return 0;
}

static int tear_down(void **state)
{
	free(image);
	fixture_fini(&machine);
	return 0;
}

static void *loaded(u64 offset)
{
	return fixture_at(&machine, BASE + offset, 1);
}

static void parameters_describe_the_image(void **state)
{
	assert_true(plan_check_params(params, err));
	assert_int_equal(*(u8 *)loaded(params->kernel_entry), 0x22);
	assert_int_equal(*(u8 *)loaded(params->kernel_start + params->kernel_size - 1), 0);
	assert_int_equal(*(u8 *)loaded(params->initrd_start + params->initrd_size - 1), 0x33);
	assert_int_equal(fixture_register(&machine, HV_X64_REGISTER_RIP, 0), BASE + 0x10);
	assert_int_equal(*(u8 *)loaded(0x10), 0x11);
	assert_int_equal(*(u8 *)loaded(0x2000), 0);
}

static void host_tree_is_a_tree(void **state)
{
	const void *fdt = loaded(params->device_tree);
	int node = fdt_path_offset(fdt, "/openhcl"), len;

	assert_int_equal(fdt_check_full(fdt, params->device_tree_size), 0);
	assert_string_equal(fdt_getprop(fdt, node, "memory-allocation-mode", &len), "host");
	node = fdt_path_offset(fdt, "/chosen");
	assert_string_equal(fdt_getprop(fdt, node, "bootargs", &len), "from_host=1");
	assert_int_equal(fdt_node_offset_by_compatible(fdt, -1, "nothing"), -FDT_ERR_NOTFOUND);
}

static void host_tree_is_understood(void **state)
{
	assert_true(host_tree_read(loaded(params->device_tree), params->device_tree_size, &tree, err));
	assert_int_equal(tree.cpu_count, 3);
	assert_int_equal(tree.cpus[2].apic_id, 5);
	assert_int_equal(tree.cpus[2].numa_node, 1);
	assert_int_equal(tree.memory_count, 2);
	assert_true(tree.com3);
	assert_int_equal(tree.entropy_len, 16);
	assert_int_equal(tree.vmbus_vtl2.connection_id, 0x800074);
	assert_int_equal(tree.vmbus_vtl2.mmio_count, 2);
	assert_int_equal(tree.vmbus_vtl2.mmio[1].base, 0x3000000000);
}

static void e820_is_vtl2_memory_without_the_log(void **state)
{
	u64 ram = 0;

	assert_true(plan_make(&tree, params, BASE, &plan, err));
	assert_int_equal(plan.e820_count, 3);
	assert_int_equal(plan.e820[0].addr, BASE);
	assert_int_equal(plan.e820[1].addr, BASE + params->log);
	assert_int_equal(plan.e820[1].type, E820_RESERVED);
	for (u32 i = 0; i < 3; i++)
		ram += plan.e820[i].type == E820_RAM ? plan.e820[i].size : 0;
	assert_int_equal(ram, FIXTURE_VTL2_SIZE - params->log_size);
}

static void image_outside_protectable_memory_is_refused(void **state)
{
	struct host_tree other = tree;

	other.memory[1].vtl2 = false;
	assert_false(plan_make(&other, params, BASE, &plan, err));
	assert_non_null(strstr(err, IGVM_DT_IGVM_TYPE));
	assert_false(plan_make(&tree, params, BASE + FIXTURE_VTL2_SIZE - PAGE_SIZE, &plan, err));
	assert_true(plan_make(&tree, params, BASE, &plan, err));
}

#define SELF_BASE (128 * MiB)

/* two nodes of 1 GiB, all VTL0's; no MMIO of VTL2's */
static struct host_tree all_vtl0(u64 granted)
{
	struct host_tree t = { .vtl2_allocates = true, .vtl2_memory_size = granted, .memory_count = 2,
			       .vmbus_vtl0 = { .mmio_count = 2 } };

	t.memory[0] = (struct host_memory){ .base = 0, .size = GiB };
	t.memory[1] = (struct host_memory){ .base = GiB, .size = GiB, .numa_node = 1 };
	t.vmbus_vtl0.mmio[0] = (struct host_range){ 0xf8000000, MiB };
	t.vmbus_vtl0.mmio[1] = (struct host_range){ 8 * GiB, GiB };
	return t;
}

static void vtl2_takes_its_memory_itself(void **state)
{
	static struct host_tree t;
	static struct plan taken;
	u64 size = params->memory_size;

	t = all_vtl0(0);
	assert_true(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_int_equal(t.memory_count, 4);
	assert_int_equal(t.memory[1].base, SELF_BASE);
	assert_int_equal(t.memory[1].size, size);
	assert_true(t.memory[1].vtl2 && !t.memory[0].vtl2 && !t.memory[2].vtl2 && !t.memory[3].vtl2);
	assert_int_equal(t.memory[2].base, SELF_BASE + size);
	assert_int_equal(t.memory[2].base + t.memory[2].size, GiB);
	assert_true(plan_make(&t, params, SELF_BASE, &taken, err));
	/* half of the high MMIO */
	assert_int_equal(t.vmbus_vtl0.mmio[1].size, 512 * MiB);
	assert_int_equal(t.vmbus_vtl2.mmio_count, 1);
	assert_int_equal(t.vmbus_vtl2.mmio[0].base, 8 * GiB + 512 * MiB);

	/* more than the image was built for: the highest memory, in units of eight pages */
	t = all_vtl0(size + GiB + PAGE_SIZE);
	assert_true(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_int_equal(t.memory_count, 5);
	assert_true(t.memory[4].vtl2 && t.memory[4].numa_node == 1 && t.memory[4].size == GiB);
	assert_true(t.memory[3].vtl2 && t.memory[3].base == GiB - 8 * PAGE_SIZE);
	assert_true(plan_make(&t, params, SELF_BASE, &taken, err));
}

static void what_vtl2_cannot_take_is_said(void **state)
{
	static struct host_tree t;
	static struct plan taken;

	t = all_vtl0(params->memory_size - PAGE_SIZE);
	assert_false(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_non_null(strstr(err, "memory-size"));
	t = all_vtl0(2 * GiB + PAGE_SIZE);
	assert_false(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_non_null(strstr(err, "not there"));
	t = all_vtl0(0);
	t.vmbus_vtl0.mmio_count = 1;
	assert_false(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_non_null(strstr(err, "MMIO"));
	t = all_vtl0(0);
	t.vtl2_mmio_size = GiB;
	assert_false(allocate_vtl2(&t, params, SELF_BASE, err));
	/* an image that is not in RAM is found by the plan */
	t = all_vtl0(0);
	assert_true(allocate_vtl2(&t, params, 2 * GiB - PAGE_SIZE, err));
	assert_false(plan_make(&t, params, 2 * GiB - PAGE_SIZE, &taken, err));
	/* no room for one more range */
	t = all_vtl0(0);
	t.memory_count = HOST_MEMORY_MAX;
	for (u32 i = 1; i < HOST_MEMORY_MAX; i++)
		t.memory[i] = (struct host_memory){ .base = (i + 1) * GiB, .size = PAGE_SIZE };
	assert_false(allocate_vtl2(&t, params, SELF_BASE, err));
	assert_non_null(strstr(err, "ranges"));
}

static u64 cell64(const void *fdt, int node, const char *name, int index)
{
	int len;
	const fdt64_t *p = fdt_getprop(fdt, node, name, &len);

	assert_non_null(p);
	assert_true(len >= 8 * (index + 1));
	return fdt64_ld(p + index);
}

static u32 cell(const void *fdt, int node, const char *name)
{
	int len;
	const fdt32_t *p = fdt_getprop(fdt, node, name, &len);

	assert_non_null(p);
	assert_int_equal(len, 4);
	return fdt32_ld(p);
}

static void check_kernel_memory(const void *fdt)
{
	int node, openhcl = fdt_path_offset(fdt, "/openhcl"), seen[16] = { 0 };

	assert_string_equal(fdt_getprop(fdt, openhcl, "isolation-type", NULL), "none");
	fdt_for_each_subnode(node, fdt, openhcl) {
		if (strncmp(fdt_get_name(fdt, node, NULL), "memory@", 7))
			continue;
		assert_string_equal(fdt_getprop(fdt, node, "device_type", NULL), "memory-openhcl");
		seen[cell(fdt, node, "openhcl,memory-type") & 15]++;
	}
	assert_int_equal(seen[OPENHCL_MEMORY_VTL0], 1);
	assert_int_equal(seen[OPENHCL_MEMORY_VTL2_RAM], 2);
	assert_int_equal(seen[OPENHCL_MEMORY_BOOTSHIM_LOG], 1);
	assert_int_equal(seen[OPENHCL_MEMORY_VTL0_MMIO], 2);
	assert_int_equal(seen[OPENHCL_MEMORY_VTL2_MMIO], 2);
}

static void kernel_gets_a_tree(void **state)
{
	static u8 fdt[KERNEL_TREE_MAX];
	struct kernel_times times = { true, 100, 200 };
	u32 len = kernel_tree_write(&tree, &plan, &times, fdt, sizeof(fdt));
	int node, bus;

	assert_true(len);
	assert_int_equal(fdt_check_full(fdt, len), 0);
	assert_int_equal(fdt_node_check_compatible(fdt, 0, "microsoft,openvmm"), 0);
	assert_int_equal(cell64(fdt, 0, "reftime_boot_end", 0), 200);
	assert_int_equal(fdt_node_check_compatible(fdt, fdt_path_offset(fdt, "/hypervisor"), "microsoft,hyperv"), 0);
	node = fdt_path_offset(fdt, "/cpus/cpu@3");
	assert_int_equal(cell(fdt, node, "reg"), 5);
	bus = fdt_node_offset_by_compatible(fdt, -1, "simple-bus");
	node = fdt_node_offset_by_compatible(fdt, -1, "microsoft,vmbus");
	assert_int_equal(fdt_parent_offset(fdt, node), bus);
	assert_int_equal(cell(fdt, node, "microsoft,message-connection-id"), 0x800074);
	assert_int_equal(cell64(fdt, node, "ranges", 0), 0xFA000000);
	assert_int_equal(cell64(fdt, node, "ranges", 5), 0x40000000);
	check_kernel_memory(fdt);
	/* too little room is said, not overrun */
	for (u32 room = 0; room < len; room += 7)
		assert_int_equal(kernel_tree_write(&tree, &plan, &times, fdt, room), 0);
}

static void command_line_joins_three_parts(void **state)
{
	struct openhcl_command_line page;
	char line[BOOT_COMMAND_LINE_SIZE], much[3000];

	memcpy(&page, loaded(params->command_line), sizeof(page));
	assert_true(command_line_make(&page, tree.bootargs, line, err));
	assert_non_null(strstr(line, "noxsave "));
	assert_non_null(strstr(line, " quiet image=1 from_host=1"));
	page.policy = OPENHCL_COMMAND_LINE_STATIC;
	assert_true(command_line_make(&page, tree.bootargs, line, err));
	assert_null(strstr(line, "from_host"));
	page.policy = OPENHCL_COMMAND_LINE_APPEND_CHOSEN;
	memset(much, 'x', sizeof(much));
	much[2040] = 0;
	assert_false(command_line_make(&page, much, line, err));
	page.policy = 7;
	assert_false(command_line_make(&page, "", line, err));
}

static void boot_params_are_complete(void **state)
{
	struct boot_places places = { BASE + 0x1000, BASE + params->initrd_start, params->initrd_size, BASE + 0x2000 };
	static struct boot_params bp;

	boot_params_fill(&bp, &plan, &places);
	assert_int_equal(bp.hdr.cmd_line_ptr | (u64)bp.ext_cmd_line_ptr << 32, places.command_line);
	assert_int_equal(bp.hdr.ramdisk_image | (u64)bp.ext_ramdisk_image << 32, places.initrd);
	assert_int_equal(bp.hdr.ramdisk_size, 5000);
	assert_int_equal(bp.hdr.setup_data, places.setup_data);
	assert_int_equal(bp.e820_entries, 3);
	assert_int_equal(bp.sentinel, 0);
}

static void page_tables_map_vtl2_to_itself(void **state)
{
	u64 cr3 = fixture_register(&machine, HV_X64_REGISTER_CR3, 0);

	for (u64 at = BASE; at < BASE + params->used_size - 64 * KiB; at += PAGE_SIZE)
		assert_int_equal(fixture_translate(&machine, cr3, at), at);
	assert_int_equal(fixture_translate(&machine, cr3, params->link_base), ~0ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_describe_the_image),
		cmocka_unit_test(host_tree_is_a_tree),
		cmocka_unit_test(host_tree_is_understood),
		cmocka_unit_test(e820_is_vtl2_memory_without_the_log),
		cmocka_unit_test(image_outside_protectable_memory_is_refused),
		cmocka_unit_test(vtl2_takes_its_memory_itself),
		cmocka_unit_test(what_vtl2_cannot_take_is_said),
		cmocka_unit_test(kernel_gets_a_tree),
		cmocka_unit_test(command_line_joins_three_parts),
		cmocka_unit_test(boot_params_are_complete),
		cmocka_unit_test(page_tables_map_vtl2_to_itself),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
