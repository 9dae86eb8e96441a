#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/load/device_tree.h"
#include "host/load/loader.h"

#define DEVICE_TREE_MAX (1024 * 1024u)

int parameters_area(struct loader *l, const struct igvm_parameter_area *area)
{
	const u8 *initial = igvm_area_bytes(l->file, area);
	struct load_area *a = &l->areas[l->area_count];

	if (area->number_of_bytes > LOAD_AREA_SIZE_MAX)
		return load_bad(l, "parameter area %u of 0x%lx bytes is unreasonably large", area->parameter_area_index,
				area->number_of_bytes);
	*a = (struct load_area){ area->parameter_area_index, area->number_of_bytes, calloc(1, area->number_of_bytes) };
	if (!a->bytes)
		return load_bad(l, "no memory for parameter area %u", a->index);
	l->area_count++;
	if (initial)
		memcpy(a->bytes, initial, a->size);
	return 0;
}

struct load_area *parameters_find(struct loader *l, u32 index)
{
	for (u32 i = 0; i < l->area_count; i++)
		if (l->areas[i].index == index)
			return &l->areas[i];
	return NULL;
}

static int put(struct loader *l, const struct igvm_header *h, const void *data, u64 len)
{
	const struct igvm_parameter *p = &h->body.parameter;
	struct load_area *a = parameters_find(l, p->parameter_area_index);

	if (!a || !range_within(p->byte_offset, len, 0, a->size))
		return load_bad(l, "header %u: %s of %lu bytes does not fit into parameter area %u at 0x%x", h->index,
				igvm_type_name(h->type), len, p->parameter_area_index, p->byte_offset);
	memcpy(a->bytes + p->byte_offset, data, len);
	return 0;
}

static int put_memory_map(struct loader *l, const struct igvm_header *h)
{
	const struct load_request *q = l->request;
	/* an entry of no pages ends the list */
	struct igvm_memory_map_entry *map = calloc(q->ram_count + 1, sizeof(*map));
	int r;

	if (!map)
		return load_bad(l, "no memory for the memory map");
	for (u32 i = 0; i < q->ram_count; i++)
		map[i] = (struct igvm_memory_map_entry){
			.starting_gpa_page_number = q->ram[i].base / PAGE_SIZE,
			.number_of_pages = q->ram[i].size / PAGE_SIZE,
			.entry_type = (u16)q->ram[i].type,
		};
	r = put(l, h, map, (q->ram_count + 1) * sizeof(*map));
	free(map);
	return r;
}

static int put_device_tree(struct loader *l, const struct igvm_header *h)
{
	u8 *tree = malloc(DEVICE_TREE_MAX);
	u32 len = tree ? device_tree_build(l->request, tree, DEVICE_TREE_MAX) : 0;
	int r = len ? put(l, h, tree, len) : load_bad(l, "device tree does not fit into %u bytes", DEVICE_TREE_MAX);

	free(tree);
	return r;
}

static int put_mmio(struct loader *l, const struct igvm_header *h)
{
	struct igvm_mmio_ranges ranges = { 0 };

	for (u32 i = 0; i < 2; i++) {
		ranges.mmio_ranges[i].starting_gpa_page_number = l->request->vtl0_mmio[i].base / PAGE_SIZE;
		ranges.mmio_ranges[i].number_of_pages = l->request->vtl0_mmio[i].size / PAGE_SIZE;
	}
	return put(l, h, &ranges, sizeof(ranges));
}

int parameters_fill(struct loader *l, const struct igvm_header *h)
{
	const struct load_request *q = l->request;
	const char *bootargs = q->bootargs ? q->bootargs : "";
	u32 environment = 0; /* memory is not shared */

	switch (h->type) {
	case IGVM_VP_COUNT_PARAMETER:
		return put(l, h, &q->cpu_count, sizeof(q->cpu_count));
	case IGVM_MEMORY_MAP:
		return put_memory_map(l, h);
	case IGVM_COMMAND_LINE:
		return put(l, h, bootargs, strlen(bootargs) + 1);
	case IGVM_DEVICE_TREE:
		return put_device_tree(l, h);
	case IGVM_MMIO_RANGES:
		return put_mmio(l, h);
	case IGVM_ENVIRONMENT_INFO_PARAMETER:
		return put(l, h, &environment, sizeof(environment));
	default:
		/* SRAT, MADT, SLIT, PPTT: all zero says that there is no table */
		return 0;
	}
}
