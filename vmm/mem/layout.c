#include "vmm/mem/layout.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"
#include "vmm/hcl/mshv_uapi.h"

LOG_DOMAIN("layout");

#define FDT_MAX (256 * KiB)

static bool prop_u32(const void *fdt, int node, const char *name, u32 *ret)
{
	int len;
	const fdt32_t *p = fdt_getprop(fdt, node, name, &len);

	if (!p || len != 4)
		return false;
	*ret = fdt32_to_cpu(*p);
	return true;
}

static bool prop_is(const void *fdt, int node, const char *name, const char *text)
{
	int len;
	const char *p = fdt_getprop(fdt, node, name, &len);

	return p && len == (int)strlen(text) + 1 && !memcmp(p, text, (size_t)len);
}

static u64 read_u64(const u8 *p)
{
	u64 value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | p[i];
	return value;
}

static int add_range(struct partition_layout *l, struct layout_range r)
{
	u64 end;
	unsigned at = l->range_count;

	if (!r.len || add_overflow(r.base, r.len, &end) || !IS_ALIGNED(r.base | r.len, (u64)PAGE_SIZE))
		return log_err(-EPROTO, "memory %#llx+%#llx", (unsigned long long)r.base, (unsigned long long)r.len);
	if (l->range_count == LAYOUT_RANGES_MAX)
		return log_err(-E2BIG, "more than %u memory ranges", LAYOUT_RANGES_MAX);
	for (; at && l->ranges[at - 1].base > r.base; at--)
		l->ranges[at] = l->ranges[at - 1];
	l->ranges[at] = r;
	l->range_count++;
	return 0;
}

static int parse_memory(const void *fdt, int node, struct partition_layout *l)
{
	struct layout_range r = { 0 };
	int len;
	const u8 *reg = fdt_getprop(fdt, node, "reg", &len);

	if (!reg || len <= 0 || len % 16 || !prop_u32(fdt, node, "openhcl,memory-type", &r.type))
		return log_err(-EPROTO, "memory node without reg or openhcl,memory-type");
	prop_u32(fdt, node, "microsoft,igvm-type", &r.igvm_type);
	prop_u32(fdt, node, "numa-node-id", &r.node);
	for (int i = 0; i < len; i += 16) {
		r.base = read_u64(reg + i);
		r.len = read_u64(reg + i + 8);
		int e = add_range(l, r);

		if (e)
			return e;
	}
	return 0;
}

static int parse_openhcl(const void *fdt, struct partition_layout *l)
{
	int root = fdt_path_offset(fdt, "/openhcl"), node;

	if (root < 0)
		return log_err(-EPROTO, "no /openhcl node");
	l->isolated = !prop_is(fdt, root, "isolation-type", "none");
	l->host_allocated = prop_is(fdt, root, "memory-allocation-mode", "host");
	fdt_for_each_subnode(node, fdt, root)
		if (prop_is(fdt, node, "device_type", "memory-openhcl")) {
			int r = parse_memory(fdt, node, l);

			if (r)
				return r;
		}
	for (unsigned i = 1; i < l->range_count; i++)
		if (l->ranges[i - 1].base + l->ranges[i - 1].len > l->ranges[i].base)
			return log_err(-EPROTO, "memory ranges overlap at %#llx", (unsigned long long)l->ranges[i].base);
	return l->range_count ? 0 : log_err(-EPROTO, "no memory-openhcl nodes");
}

/* cpu@1 is VP 0: the shim numbers the nodes from 1 in VP order (facts B3) */
static int parse_cpus(const void *fdt, struct partition_layout *l)
{
	int root = fdt_path_offset(fdt, "/cpus"), node;

	if (root < 0)
		return log_err(-EPROTO, "no /cpus node");
	fdt_for_each_subnode(node, fdt, root) {
		int len;
		const u8 *reg = fdt_getprop(fdt, node, "reg", &len);

		if (!prop_is(fdt, node, "device_type", "cpu"))
			continue;
		if (!reg || (len != 4 && len != 8))
			return log_err(-EPROTO, "cpu node without reg");
		if (l->vp_count == LAYOUT_VPS_MAX)
			return log_err(-E2BIG, "more than %u VPs", LAYOUT_VPS_MAX);
		reg += len - 4;
		prop_u32(fdt, node, "numa-node-id", &l->vp_nodes[l->vp_count]);
		l->apic_ids[l->vp_count++] = (u32)reg[0] << 24 | (u32)reg[1] << 16 | (u32)reg[2] << 8 | reg[3];
	}
	return l->vp_count ? 0 : log_err(-EPROTO, "no cpu nodes");
}

static int count_nodes(struct partition_layout *l)
{
	u32 highest = 0;

	for (unsigned i = 0; i < l->range_count; i++)
		if (l->ranges[i].type == OPENHCL_MEMORY_VTL0)
			highest = MAX(highest, l->ranges[i].node);
	for (unsigned i = 0; i < l->vp_count; i++)
		highest = MAX(highest, l->vp_nodes[i]);
	if (highest >= LAYOUT_NODES_MAX)
		return log_err(-E2BIG, "NUMA node %u, at most %u can be", highest, LAYOUT_NODES_MAX - 1);
	l->node_count = highest + 1;
	return 0;
}

int layout_parse(const void *fdt, size_t len, struct partition_layout *ret)
{
	struct partition_layout *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return log_err(-ENOMEM, "layout");
	/* of an older version libfdt 1.6.1 reads the root's name through a null pointer (fdt_check_full) */
	if (len < sizeof(struct fdt_header) || fdt_version(fdt) < 17 || fdt_check_full(fdt, len))
		r = log_err(-EPROTO, "device tree of %zu bytes is malformed", len);
	else
		r = parse_openhcl(fdt, l);
	if (!r)
		r = parse_cpus(fdt, l);
	if (!r) {
		for (unsigned i = 0; i < l->range_count; i++)
			if (l->ranges[i].type == OPENHCL_MEMORY_VTL0)
				l->vtl0_ram_top = l->ranges[i].base + l->ranges[i].len;
		r = count_nodes(l);
	}
	if (!r)
		*ret = *l;
	free(l);
	return r;
}

bool layout_needs_x2apic(const struct partition_layout *l)
{
	for (unsigned i = 0; i < l->vp_count; i++)
		if (l->apic_ids[i] >= 255)
			return true;
	return false;
}

int layout_load(struct partition_layout *ret)
{
	_cleanup_free_ u8 *fdt = NULL;
	size_t len;
	int r = file_read("/sys/firmware/fdt", FDT_MAX, &fdt, &len);

	return r ? log_err(r, "/sys/firmware/fdt") : layout_parse(fdt, len, ret);
}

/* up to the next GiB boundary, then whole GiB, then the rest */
u64 layout_piece(u64 base, u64 end)
{
	u64 boundary = ALIGN_UP(base + 1, GiB);

	if (IS_ALIGNED(base, GiB) && end - base >= GiB)
		return ALIGN_DOWN(end, GiB);
	return MIN(boundary, end);
}

int layout_add_vtl0_memory(const struct partition_layout *layout, int vtl_fd)
{
	for (unsigned i = 0; i < layout->range_count; i++) {
		const struct layout_range *r = &layout->ranges[i];
		u64 end = r->base + r->len;

		if (r->type != OPENHCL_MEMORY_VTL0)
			continue;
		for (u64 at = r->base, next; at < end; at = next) {
			struct mshv_vtl_ram_disposition ram = { .start_pfn = at >> PAGE_SHIFT };

			next = layout_piece(at, end);
			ram.last_pfn = next >> PAGE_SHIFT;
			if (ioctl(vtl_fd, MSHV_ADD_VTL0_MEMORY, &ram))
				return log_err(-errno, "add VTL0 memory %#llx-%#llx", (unsigned long long)at,
					       (unsigned long long)next);
		}
	}
	return 0;
}
