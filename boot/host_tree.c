#include "boot/host_tree.h"

#include "boot/text.h"
#include "lib/dtb/dtb.h"
#include "spec/igvm.h"

#define COM3_PORT 0x3E8u

struct reader {
	struct dtb fdt;
	struct host_tree *tree;
	char *err;
};

static __printf(2, 3) bool bad(struct reader *r, const char *format, ...)
{
	static const char prefix[] = "device tree from the host: ";
	va_list args;
	u32 n = text_format(r->err, HOST_ERROR_MAX, "%s", prefix);

	va_start(args, format);
	text_vformat(r->err + n, HOST_ERROR_MAX - n, format, args);
	va_end(args);
	return false;
}

static bool need_property(struct reader *r, const struct dtb_node *node, const char *name, struct dtb_property *ret)
{
	return dtb_property(node, name, ret) || bad(r, "node %s has no property %s", node->name, name);
}

static bool need_u32(struct reader *r, const struct dtb_node *node, const char *name, u32 *ret)
{
	struct dtb_property p;

	if (!need_property(r, node, name, &p))
		return false;
	if (p.len != 4 || !dtb_cell(&p, 0, ret))
		return bad(r, "node %s, property %s: %u bytes, must be one cell of 4", node->name, name, p.len);
	return true;
}

/* a property that need not be there; *ret is not touched then */
static bool may_u64(struct reader *r, const struct dtb_node *node, const char *name, u64 *ret)
{
	struct dtb_property p;

	if (!dtb_property(node, name, &p))
		return true;
	if (p.len != 8 || !dtb_cell64(&p, 0, ret))
		return bad(r, "node %s, property %s: %u bytes, must be 8", node->name, name, p.len);
	return !(*ret & (PAGE_SIZE - 1)) || bad(r, "node %s, property %s: 0x%lx, must be pages", node->name, name, *ret);
}

static bool need_value(struct reader *r, const struct dtb_node *node, const char *name, u32 wanted)
{
	u32 value;

	if (!need_u32(r, node, name, &value))
		return false;
	return value == wanted || bad(r, "node %s, property %s: %u, must be %u", node->name, name, value, wanted);
}

static bool need_string(struct reader *r, const struct dtb_node *node, const char *name, const char **ret)
{
	struct dtb_property p;

	if (!need_property(r, node, name, &p))
		return false;
	*ret = dtb_string(&p);
	return *ret || bad(r, "node %s, property %s: not a NUL-terminated string", node->name, name);
}

static bool is_compatible(const struct dtb_node *node, const char *with)
{
	struct dtb_property p;

	return dtb_property(node, "compatible", &p) && dtb_has_string(&p, with);
}

static bool read_cpu(struct reader *r, const struct dtb_node *node)
{
	struct host_tree *t = r->tree;
	struct host_cpu cpu;
	const char *status;

	if (!need_string(r, node, "status", &status))
		return false;
	if (!dtb_name_is(status, "okay"))
		return true;
	if (!need_u32(r, node, "reg", &cpu.apic_id) || !need_u32(r, node, "numa-node-id", &cpu.numa_node))
		return false;
	if (t->cpu_count == HOST_CPU_MAX)
		return bad(r, "node %s: more than %u processors", node->name, HOST_CPU_MAX);
	for (u32 i = 0; i < t->cpu_count; i++)
		if (t->cpus[i].apic_id == cpu.apic_id)
			return bad(r, "node %s, property reg: APIC id %u was given before", node->name, cpu.apic_id);
	t->cpus[t->cpu_count++] = cpu;
	return true;
}

static bool read_cpus(struct reader *r, const struct dtb_node *cpus)
{
	struct dtb_node cpu;

	if (!need_value(r, cpus, "#address-cells", 1))
		return false;
	for (bool more = dtb_first_child(cpus, &cpu); more; more = dtb_next_sibling(&cpu))
		if (dtb_name_begins(cpu.name, "cpu@") && !read_cpu(r, &cpu))
			return false;
	for (u32 i = 0; i < r->tree->cpu_count; i++)
		if (r->tree->cpus[i].apic_id == r->tree->boot_apic_id)
			return true;
	return bad(r, "node cpus: no processor with status okay has reg %u, the boot processor's id in the header",
		   r->tree->boot_apic_id);
}

/* keeps the list sorted; overlaps are found afterwards */
static bool add_memory(struct reader *r, const struct dtb_node *node, const struct host_memory *m)
{
	struct host_tree *t = r->tree;
	u32 at = t->memory_count;
	u64 end;

	if (!m->size || (m->base | m->size) & (PAGE_SIZE - 1) || add_overflow(m->base, m->size, &end))
		return bad(r, "node %s, property reg: base 0x%lx, size 0x%lx; must be pages, and not none", node->name,
			   m->base, m->size);
	if (t->memory_count == HOST_MEMORY_MAX)
		return bad(r, "node %s: more than %u memory ranges", node->name, HOST_MEMORY_MAX);
	for (; at && t->memory[at - 1].base > m->base; at--)
		t->memory[at] = t->memory[at - 1];
	t->memory[at] = *m;
	t->memory_count++;
	return true;
}

static bool read_memory(struct reader *r, const struct dtb_node *node)
{
	struct host_memory m = { .igvm_type = IGVM_MEMORY_TYPE_MEMORY };
	struct dtb_property reg, type;
	const char *device;

	if (!need_string(r, node, "device_type", &device))
		return false;
	if (!dtb_name_is(device, "memory"))
		return bad(r, "node %s, property device_type: \"%s\", must be \"memory\"", node->name, device);
	if (dtb_property(node, IGVM_DT_IGVM_TYPE, &type) && !need_u32(r, node, IGVM_DT_IGVM_TYPE, &m.igvm_type))
		return false;
	m.vtl2 = m.igvm_type == IGVM_MEMORY_TYPE_VTL2_PROTECTABLE;
	if (!need_u32(r, node, "numa-node-id", &m.numa_node) || !need_property(r, node, "reg", &reg))
		return false;
	if (!reg.len || reg.len % 16)
		return bad(r, "node %s, property reg: %u bytes, must be pairs of 64-bit values", node->name, reg.len);
	for (u32 i = 0; i < reg.len / 16; i++) {
		if (!dtb_cell64(&reg, 2 * i, &m.base) || !dtb_cell64(&reg, 2 * i + 1, &m.size) || !add_memory(r, node, &m))
			return false;
	}
	return true;
}

static bool read_range(struct reader *r, const struct dtb_node *node, const struct dtb_property *ranges, u32 i,
		       struct host_range *ret)
{
	u64 child = 0, parent = 0, size = 0, end;

	dtb_cell64(ranges, 3 * i, &child);
	dtb_cell64(ranges, 3 * i + 1, &parent);
	dtb_cell64(ranges, 3 * i + 2, &size);
	if (child != parent)
		return bad(r, "node %s, property ranges: child 0x%lx is not parent 0x%lx", node->name, child, parent);
	if (!size || (child | size) & (PAGE_SIZE - 1) || add_overflow(child, size, &end))
		return bad(r, "node %s, property ranges: base 0x%lx, size 0x%lx; must be pages, and not none", node->name,
			   child, size);
	*ret = (struct host_range){ child, size };
	return true;
}

static bool read_vmbus_ranges(struct reader *r, const struct dtb_node *node, struct host_vmbus *v)
{
	struct dtb_property ranges;

	if (!dtb_property(node, "ranges", &ranges))
		return true;
	if (ranges.len % 24 || ranges.len / 24 > HOST_MMIO_MAX)
		return bad(r, "node %s, property ranges: %u bytes, must be at most %u triples of 64-bit values", node->name,
			   ranges.len, HOST_MMIO_MAX);
	for (u32 i = 0; i < ranges.len / 24; i++)
		if (!read_range(r, node, &ranges, i, &v->mmio[v->mmio_count++]))
			return false;
	if (v->mmio_count == 2 && v->mmio[0].base > v->mmio[1].base) {
		struct host_range first = v->mmio[0];

		v->mmio[0] = v->mmio[1];
		v->mmio[1] = first;
	}
	if (v->mmio_count == 2 &&
	    ranges_overlap(v->mmio[0].base, v->mmio[0].size, v->mmio[1].base, v->mmio[1].size))
		return bad(r, "node %s, property ranges: the two ranges overlap", node->name);
	return true;
}

static bool read_vmbus(struct reader *r, const struct dtb_node *node)
{
	struct host_vmbus v = { .present = true }, *into;
	u32 vtl;

	if (!need_u32(r, node, IGVM_DT_VTL, &vtl))
		return false;
	if (vtl != 0 && vtl != 2)
		return bad(r, "node %s, property " IGVM_DT_VTL ": %u, must be 0 or 2", node->name, vtl);
	into = vtl ? &r->tree->vmbus_vtl2 : &r->tree->vmbus_vtl0;
	if (into->present)
		return bad(r, "node %s is a second microsoft,vmbus for VTL %u", node->name, vtl);
	if (!need_value(r, node, "#address-cells", 2) || !need_value(r, node, "#size-cells", 2) ||
	    !need_u32(r, node, "microsoft,message-connection-id", &v.connection_id) || !read_vmbus_ranges(r, node, &v))
		return false;
	*into = v;
	return true;
}

static bool read_simple_bus(struct reader *r, const struct dtb_node *bus)
{
	struct dtb_property ranges;
	struct dtb_node child;

	if (!need_property(r, bus, "ranges", &ranges))
		return false;
	/* a bus that translates addresses is not the one that vmbus may sit on */
	if (ranges.len)
		return true;
	for (bool more = dtb_first_child(bus, &child); more; more = dtb_next_sibling(&child))
		if (is_compatible(&child, "microsoft,vmbus") && !read_vmbus(r, &child))
			return false;
	return true;
}

static bool read_pio_bus(struct reader *r, const struct dtb_node *bus)
{
	struct dtb_property reg, speed;
	struct dtb_node child;
	u64 port;

	for (bool more = dtb_first_child(bus, &child); more; more = dtb_next_sibling(&child)) {
		if (!is_compatible(&child, "ns16550"))
			continue;
		if (!need_property(r, &child, "reg", &reg) || !need_property(r, &child, "current-speed", &speed))
			return false;
		if (reg.len < 16 || !dtb_cell64(&reg, 0, &port))
			return bad(r, "node %s, property reg: %u bytes, must be two 64-bit values", child.name, reg.len);
		r->tree->com3 |= port == COM3_PORT;
	}
	return true;
}

static bool read_chosen(struct reader *r, const struct dtb_node *node)
{
	struct dtb_property p;
	const char *text;

	if (!dtb_property(node, "bootargs", &p))
		return true;
	text = dtb_string(&p);
	if (!text)
		return bad(r, "node chosen, property bootargs: not a NUL-terminated string");
	if (p.len > HOST_BOOTARGS_MAX)
		return bad(r, "node chosen, property bootargs: %u bytes, at most %u can be used", p.len, HOST_BOOTARGS_MAX);
	__builtin_memcpy(r->tree->bootargs, text, p.len);
	return true;
}

static bool read_openhcl(struct reader *r, const struct dtb_node *node)
{
	struct host_tree *t = r->tree;
	struct dtb_property p;
	struct dtb_node entropy;
	const char *mode;

	if (!need_string(r, node, "memory-allocation-mode", &mode))
		return false;
	t->vtl2_allocates = dtb_name_is(mode, "vtl2");
	if (!t->vtl2_allocates && !dtb_name_is(mode, "host"))
		return bad(r, "node openhcl, property memory-allocation-mode: \"%s\", must be \"host\" or \"vtl2\"", mode);
	if (!may_u64(r, node, "memory-size", &t->vtl2_memory_size) || !may_u64(r, node, "mmio-size", &t->vtl2_mmio_size))
		return false;
	if (dtb_property(node, "vtl0-alias-map", &p)) {
		if (p.len != 8 || !dtb_cell64(&p, 0, &t->alias_map))
			return bad(r, "node openhcl, property vtl0-alias-map: %u bytes, must be 8", p.len);
		t->has_alias_map = true;
	}
	if (!dtb_child(node, "entropy", &entropy))
		return true;
	if (!need_property(r, &entropy, "reg", &p))
		return false;
	t->entropy_len = MIN(p.len, HOST_ENTROPY_MAX);
	__builtin_memcpy(t->entropy, p.data, t->entropy_len);
	return true;
}

static bool check_mmio(struct reader *r, const struct host_vmbus *v, const char *whose)
{
	const struct host_tree *t = r->tree;

	for (u32 i = 0; i < v->mmio_count; i++)
		for (u32 j = 0; j < t->memory_count; j++)
			if (ranges_overlap(v->mmio[i].base, v->mmio[i].size, t->memory[j].base, t->memory[j].size))
				return bad(r, "MMIO of %s's vmbus at 0x%lx overlaps memory at 0x%lx", whose, v->mmio[i].base,
					   t->memory[j].base);
	return true;
}

static bool check_whole(struct reader *r)
{
	const struct host_tree *t = r->tree;

	if (!t->vmbus_vtl0.present || !t->vmbus_vtl2.present)
		return bad(r, "no microsoft,vmbus node with " IGVM_DT_VTL " = %u below a simple-bus with empty ranges",
			   t->vmbus_vtl0.present ? 2u : 0u);
	for (u32 i = 1; i < t->memory_count; i++)
		if (ranges_overlap(t->memory[i - 1].base, t->memory[i - 1].size, t->memory[i].base, t->memory[i].size))
			return bad(r, "node memory@%lx overlaps the one at 0x%lx", t->memory[i].base, t->memory[i - 1].base);
	for (u32 i = 0; i < t->vmbus_vtl0.mmio_count; i++)
		for (u32 j = 0; j < t->vmbus_vtl2.mmio_count; j++)
			if (ranges_overlap(t->vmbus_vtl0.mmio[i].base, t->vmbus_vtl0.mmio[i].size,
					   t->vmbus_vtl2.mmio[j].base, t->vmbus_vtl2.mmio[j].size))
				return bad(r, "MMIO of the two vmbus nodes overlaps at 0x%lx", t->vmbus_vtl2.mmio[j].base);
	return check_mmio(r, &t->vmbus_vtl0, "VTL0") && check_mmio(r, &t->vmbus_vtl2, "VTL2");
}

static bool read_child(struct reader *r, const struct dtb_node *node)
{
	if (dtb_name_begins(node->name, "memory@"))
		return read_memory(r, node);
	if (is_compatible(node, "simple-bus"))
		return read_simple_bus(r, node);
	if (dtb_name_is(node->name, "chosen"))
		return read_chosen(r, node);
	return true;
}

/* the console first: it is where the other errors are to be read */
static bool read_pio_buses(struct reader *r, const struct dtb_node *root)
{
	struct dtb_node node;

	for (bool more = dtb_first_child(root, &node); more; more = dtb_next_sibling(&node))
		if (is_compatible(&node, "x86-pio-bus") && !read_pio_bus(r, &node))
			return false;
	return true;
}

bool host_tree_read(const void *data, size_t len, struct host_tree *ret, char *err)
{
	struct reader r = { .tree = ret, .err = err };
	const char *wrong = dtb_open(data, len, &r.fdt);
	struct dtb_node root, node, cpus, openhcl;

	if (wrong)
		return bad(&r, "%s", wrong);
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->boot_apic_id = r.fdt.boot_cpuid_phys;
	root = dtb_root(&r.fdt);
	if (!read_pio_buses(&r, &root) || !need_value(&r, &root, "#address-cells", 2) ||
	    !need_value(&r, &root, "#size-cells", 2))
		return false;
	if (!dtb_child(&root, "cpus", &cpus))
		return bad(&r, "there is no node cpus");
	if (!dtb_child(&root, "openhcl", &openhcl))
		return bad(&r, "there is no node openhcl");
	if (!read_cpus(&r, &cpus) || !read_openhcl(&r, &openhcl))
		return false;
	for (bool more = dtb_first_child(&root, &node); more; more = dtb_next_sibling(&node))
		if (!read_child(&r, &node))
			return false;
	if (!ret->memory_count)
		return bad(&r, "there is no node memory@");
	return check_whole(&r);
}
