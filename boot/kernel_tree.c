#include "boot/kernel_tree.h"

#include "lib/fdt/fdt.h"
#include "spec/igvm.h"

static void put_cells(struct fdt_writer *w, u32 address, u32 size)
{
	fdt_u32(w, "#address-cells", address);
	fdt_u32(w, "#size-cells", size);
}

static void put_cpus(struct fdt_writer *w, const struct host_tree *tree)
{
	fdt_node(w, "cpus");
	put_cells(w, 1, 0);
	for (u32 i = 0; i < tree->cpu_count; i++) {
		fdt_node_at(w, "cpu", i + 1);
		fdt_text(w, "device_type", "cpu");
		fdt_u32(w, "reg", tree->cpus[i].apic_id);
		fdt_u32(w, "numa-node-id", tree->cpus[i].numa_node);
		fdt_text(w, "status", "okay");
		fdt_end_node(w);
	}
	fdt_end_node(w);
}

static void put_reg(struct fdt_writer *w, u64 base, u64 size)
{
	u64 reg[2] = { base, size };

	fdt_u64s(w, "reg", reg, 2);
}

static void put_memory(struct fdt_writer *w, const struct host_tree *tree)
{
	for (u32 i = 0; i < tree->memory_count; i++) {
		const struct host_memory *m = &tree->memory[i];

		if (m->igvm_type != IGVM_MEMORY_TYPE_VTL2_PROTECTABLE)
			continue;
		fdt_node_at(w, "memory", m->base);
		fdt_text(w, "device_type", "memory");
		put_reg(w, m->base, m->size);
		fdt_u32(w, "numa-node-id", m->numa_node);
		fdt_end_node(w);
	}
}

/* Linux finds vmbus only below a simple-bus, and takes vPCI's address space from the node's ranges */
static void put_bus(struct fdt_writer *w, const struct host_vmbus *v)
{
	u64 ranges[3 * HOST_MMIO_MAX];

	for (u32 i = 0; i < v->mmio_count; i++) {
		ranges[3 * i] = ranges[3 * i + 1] = v->mmio[i].base;
		ranges[3 * i + 2] = v->mmio[i].size;
	}
	fdt_node(w, "bus");
	fdt_text(w, "compatible", "simple-bus");
	put_cells(w, 2, 2);
	fdt_empty(w, "ranges");
	if (v->mmio_count)
		fdt_node_at(w, "vmbus", v->mmio[0].base);
	else
		fdt_node(w, "vmbus");
	put_cells(w, 2, 2);
	fdt_text(w, "compatible", "microsoft,vmbus");
	fdt_u64s(w, "ranges", ranges, 3 * v->mmio_count);
	fdt_u32(w, IGVM_DT_VTL, 2);
	fdt_u32(w, "microsoft,message-connection-id", v->connection_id);
	fdt_empty(w, "dma-coherent");
	fdt_end_node(w);
	fdt_end_node(w);
}

static void put_range(struct fdt_writer *w, const struct plan_range *r)
{
	fdt_node_at(w, "memory", r->base);
	/* not "memory": the kernel must not take these for its own */
	fdt_text(w, "device_type", "memory-openhcl");
	put_reg(w, r->base, r->size);
	if (r->igvm_type != PLAN_NO_TYPE) {
		fdt_u32(w, "numa-node-id", r->numa_node);
		fdt_u32(w, IGVM_DT_IGVM_TYPE, r->igvm_type);
	}
	fdt_u32(w, "openhcl,memory-type", r->memory_type);
	fdt_end_node(w);
}

static void put_openhcl(struct fdt_writer *w, const struct host_tree *tree, const struct plan *plan)
{
	fdt_node(w, "openhcl");
	fdt_text(w, "isolation-type", "none");
	fdt_text(w, "memory-allocation-mode", "host");
	if (tree->has_alias_map)
		fdt_u64(w, "vtl0-alias-map", tree->alias_map);
	for (u32 i = 0; i < plan->range_count; i++)
		put_range(w, &plan->ranges[i]);
	if (tree->entropy_len) {
		fdt_node(w, "entropy");
		fdt_bytes(w, "reg", tree->entropy, tree->entropy_len);
		fdt_end_node(w);
	}
	fdt_end_node(w);
}

u32 kernel_tree_write(const struct host_tree *tree, const struct plan *plan, const struct kernel_times *times, void *buffer,
		      u32 size)
{
	struct fdt_writer w;

	fdt_begin(&w, buffer, size);
	fdt_reserve(&w, plan->log.base, plan->log.size);
	fdt_node(&w, "");
	put_cells(&w, 2, 2);
	fdt_text(&w, "compatible", "microsoft,openvmm");
	if (times->known) {
		fdt_u64(&w, "reftime_boot_start", times->start);
		fdt_u64(&w, "reftime_boot_end", times->end);
	}
	fdt_node(&w, "hypervisor");
	fdt_text(&w, "compatible", "microsoft,hyperv");
	fdt_end_node(&w);
	put_cpus(&w, tree);
	put_memory(&w, tree);
	put_bus(&w, &tree->vmbus_vtl2);
	put_openhcl(&w, tree, plan);
	fdt_end_node(&w);
	return fdt_finish(&w, tree->boot_apic_id);
}
