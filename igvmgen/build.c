#include "igvmgen/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "igvmgen/page_table.h"
#include "lib/os/cleanup.h"
#include "spec/hv_regs.h"
#include "spec/loader_defs.h"

#define CR0_PE BIT(0)
#define CR0_NE BIT(5)
#define CR0_PG BIT(31)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define PAT_AT_RESET 0x0007040600070406ull

/* selectors 0x10 and 0x18 are what the Linux boot protocol asks for */
static const u64 gdt[] = { 0, 0, 0x00AF9B000000FFFFull, 0x00CF93000000FFFFull };
#define SELECTOR_CODE 0x10u
#define SELECTOR_DATA 0x18u

static void put_init_headers(struct igvm_writer *w, const struct build_inputs *in, const struct layout *l)
{
	struct igvm_supported_platform platform = {
		.compatibility_mask = BUILD_MASK,
		.highest_vtl = 2,
		.platform_type = IGVM_PLATFORM_VSM_ISOLATION,
		.platform_version = IGVM_PLATFORM_VERSION,
	};
	struct igvm_relocatable_region region = {
		.compatibility_mask = BUILD_MASK,
		.vtl = 2,
		.flags = IGVM_RELOCATABLE_IS_VTL2 | IGVM_RELOCATABLE_APPLY_RIP | IGVM_RELOCATABLE_APPLY_GDTR,
		.relocation_alignment = OPENHCL_RELOCATION_ALIGNMENT,
		.relocation_region_gpa = l->base,
		.relocation_region_size = l->tables - l->base,
		.minimum_relocation_gpa = OPENHCL_DEFAULT_BASE,
		.maximum_relocation_gpa = OPENHCL_RELOCATION_MAX,
	};
	struct igvm_page_table_relocation tables = {
		.compatibility_mask = BUILD_MASK,
		.vtl = 2,
		.gpa = l->tables,
		.size = l->tables_size,
		.used_size = (u64)l->tables_used * PAGE_SIZE,
	};
	struct igvm_required_memory required = {
		.gpa = l->base,
		.compatibility_mask = BUILD_MASK,
		.number_of_bytes = (u32)in->vtl2_memory,
		.flags = IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE,
	};

	igvm_writer_header(w, IGVM_SUPPORTED_PLATFORM, &platform, sizeof(platform));
	igvm_writer_header(w, IGVM_RELOCATABLE_REGION, &region, sizeof(region));
	igvm_writer_header(w, IGVM_PAGE_TABLE_RELOCATION_REGION, &tables, sizeof(tables));
	igvm_writer_header(w, IGVM_REQUIRED_MEMORY, &required, sizeof(required));
}

/*
 * segments may share a page (one ends where the next starts), so an image is flattened before it is cut
 * into pages
 */
static int put_elf(struct igvm_writer *w, const struct elf_image *elf, u64 gpa)
{
	u64 size = elf->high - elf->low;
	_cleanup_free_ u8 *flat = calloc(1, size);

	if (!flat)
		return -ENOMEM;
	for (u32 i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *s = &elf->segments[i];

		memcpy(flat + (s->address - elf->low), s->bytes, s->file_size);
	}
	layout_put(w, gpa, flat, size, size);
	return 0;
}

static void put_params(struct igvm_writer *w, const struct build_inputs *in, const struct layout *l)
{
	struct shim_params p = {
		.magic = SHIM_PARAMS_MAGIC,
		.version = SHIM_PARAMS_VERSION,
		.size = sizeof(p),
		.link_base = l->base,
		.memory_size = in->vtl2_memory,
		.used_size = l->end - l->base,
		.kernel_entry = l->kernel_at - l->base + (l->kernel.entry - l->kernel.low),
		.kernel_start = l->kernel_at - l->base,
		.kernel_size = l->kernel_size,
		.initrd_start = l->initrd - l->base,
		.initrd_size = in->initrd.len,
		.command_line = l->command_line - l->base,
		.device_tree = l->device_tree - l->base,
		.device_tree_size = LAYOUT_DEVICE_TREE_SIZE,
		.log = l->log - l->base,
		.log_size = LAYOUT_LOG_SIZE,
		.heap = l->heap - l->base,
		.heap_size = LAYOUT_HEAP_SIZE,
	};

	layout_put(w, l->params, &p, sizeof(p), PAGE_SIZE);
}

static int put_command_line(struct igvm_writer *w, const struct build_inputs *in, const struct layout *l, char *err,
			    size_t err_len)
{
	struct openhcl_command_line page = {
		.policy = in->static_cmdline ? OPENHCL_COMMAND_LINE_STATIC : OPENHCL_COMMAND_LINE_APPEND_CHOSEN,
	};
	size_t len = in->cmdline ? strlen(in->cmdline) : 0;

	if (len > OPENHCL_COMMAND_LINE_MAX) {
		snprintf(err, err_len, "command line has %zu characters; at most %u fit", len, OPENHCL_COMMAND_LINE_MAX);
		return -EINVAL;
	}
	if (len)
		memcpy(page.static_command_line, in->cmdline, len);
	page.static_command_line_len = (u16)len;
	layout_put(w, l->command_line, &page, sizeof(page), PAGE_SIZE);
	return 0;
}

static void put_parameters(struct igvm_writer *w, const struct layout *l)
{
	struct igvm_parameter device_tree = { .parameter_area_index = 0 };
	struct igvm_parameter_insert insert = {
		.gpa = l->device_tree,
		.compatibility_mask = BUILD_MASK,
		.parameter_area_index = 0,
	};

	igvm_writer_area(w, 0, LAYOUT_DEVICE_TREE_SIZE);
	igvm_writer_header(w, IGVM_DEVICE_TREE, &device_tree, sizeof(device_tree));
	igvm_writer_header(w, IGVM_PARAMETER_INSERT, &insert, sizeof(insert));
}

static struct igvm_register plain(u32 name, u64 value)
{
	return (struct igvm_register){ .vtl = 2, .name = name, .value = { value, 0 } };
}

static struct igvm_register segment(u32 name, u16 selector, u16 attributes, u32 limit)
{
	struct hv_segment_value v = { .limit = limit, .selector = selector, .attributes = attributes };
	struct igvm_register r = { .vtl = 2, .name = name };

	memcpy(r.value, &v, sizeof(v));
	return r;
}

static struct igvm_register table(u32 name, u64 base, u16 limit)
{
	struct hv_table_value v = { .base = base, .limit = limit };
	struct igvm_register r = { .vtl = 2, .name = name };

	memcpy(r.value, &v, sizeof(v));
	return r;
}

static void put_vp(struct igvm_writer *w, const struct layout *l)
{
	struct igvm_register registers[] = {
		table(HV_X64_REGISTER_GDTR, l->gdt, sizeof(gdt) - 1),
		segment(HV_X64_REGISTER_CS, SELECTOR_CODE, 0xA09B, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_DS, SELECTOR_DATA, 0xC093, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_ES, SELECTOR_DATA, 0xC093, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_FS, SELECTOR_DATA, 0xC093, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_GS, SELECTOR_DATA, 0xC093, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_SS, SELECTOR_DATA, 0xC093, 0xFFFFFFFF),
		segment(HV_X64_REGISTER_TR, 0, 0x008B, 0xFFFF),
		plain(HV_X64_REGISTER_CR0, CR0_PG | CR0_NE | CR0_PE),
		plain(HV_X64_REGISTER_CR3, l->tables),
		plain(HV_X64_REGISTER_CR4, CR4_PAE | CR4_MCE),
		plain(HV_X64_REGISTER_EFER, EFER_LMA | EFER_LME | EFER_NXE),
		plain(HV_X64_REGISTER_PAT, PAT_AT_RESET),
		plain(HV_X64_REGISTER_RIP, l->base + l->shim.entry),
		/* not relocated by hosts, hence an offset */
		plain(HV_X64_REGISTER_RSI, l->params - l->base),
	};

	igvm_writer_vp(w, BUILD_MASK, registers, ARRAY_SIZE(registers));
}

static int put_all(struct igvm_writer *w, const struct build_inputs *in, struct layout *l, char *err, size_t err_len)
{
	u32 table_max = (u32)(l->tables_size / PAGE_SIZE);
	_cleanup_free_ u64 *pages = calloc(table_max, PAGE_SIZE);
	int r;

	if (!pages)
		return -ENOMEM;
	l->tables_used = page_table_build(l->base, in->vtl2_memory, l->tables, pages, table_max);
	put_init_headers(w, in, l);
	r = put_elf(w, &l->shim, l->base);
	if (r)
		return r;
	layout_put(w, l->gdt, gdt, sizeof(gdt), PAGE_SIZE);
	put_params(w, in, l);
	r = put_command_line(w, in, l, err, err_len);
	if (r)
		return r;
	put_parameters(w, l);
	layout_put(w, l->log, NULL, 0, LAYOUT_LOG_SIZE);
	layout_put(w, l->heap, NULL, 0, LAYOUT_HEAP_SIZE);
	r = put_elf(w, &l->kernel, l->kernel_at);
	if (r)
		return r;
	layout_put(w, l->initrd, in->initrd.bytes, in->initrd.len, in->initrd.len);
	layout_put(w, l->tables, pages, (u64)l->tables_used * PAGE_SIZE, (u64)l->tables_used * PAGE_SIZE);
	r = vtl0_put(w, in, l, err, err_len);
	if (r)
		return r;
	put_vp(w, l);
	return 0;
}

int image_build(const struct build_inputs *in, u8 **ret, size_t *ret_len, char *err, size_t err_len)
{
	struct igvm_writer w;
	struct layout l;
	int r = layout_make(in, &l, err, err_len);

	if (r)
		return r;
	igvm_writer_init(&w);
	*err = 0;
	r = put_all(&w, in, &l, err, err_len);
	if (!r)
		r = igvm_writer_finish(&w, ret, ret_len);
	igvm_writer_fini(&w);
	if (r && !*err)
		snprintf(err, err_len, "building the image: %s", strerror(-r));
	return r;
}
