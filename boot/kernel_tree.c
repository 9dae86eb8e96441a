#include "boot/kernel_tree.h"

#include "lib/dtb/dtb.h"
#include "spec/igvm.h"

static void put_cells(struct dtb_writer *w, u32 address, u32 size)
{
	dtb_u32(w, "#address-cells", address);
	dtb_u32(w, "#size-cells", size);
}

static void put_cpus(struct dtb_writer *w, const struct host_tree *tree)
{
	dtb_node(w, "cpus");
	put_cells(w, 1, 0);
	for (u32 i = 0; i < tree->cpu_count; i++) {
		dtb_node_at(w, "cpu", i + 1);
		dtb_text(w, "device_type", "cpu");
		dtb_u32(w, "reg", tree->cpus[i].apic_id);
		dtb_u32(w, "numa-node-id", tree->cpus[i].numa_node);
		dtb_text(w, "status", "okay");
		dtb_end_node(w);
	}
	dtb_end_node(w);
}

static void put_reg(struct dtb_writer *w, u64 base, u64 size)
{
	u64 reg[2] = { base, size };

	dtb_u64s(w, "reg", reg, 2);
}

static void put_memory(struct dtb_writer *w, const struct host_tree *tree)
{
	for (u32 i = 0; i < tree->memory_count; i++) {
		const struct host_memory *m = &tree->memory[i];

		if (!m->vtl2)
			continue;
		dtb_node_at(w, "memory", m->base);
		dtb_text(w, "device_type", "memory");
		put_reg(w, m->base, m->size);
		dtb_u32(w, "numa-node-id", m->numa_node);
		dtb_end_node(w);
	}
}

/* Linux finds vmbus only below a simple-bus, and takes vPCI's address space from the node's ranges */
static void put_bus(struct dtb_writer *w, const struct host_vmbus *v)
{
	u64 ranges[3 * HOST_MMIO_MAX];

	for (u32 i = 0; i < v->mmio_count; i++) {
		ranges[3 * i] = ranges[3 * i + 1] = v->mmio[i].base;
		ranges[3 * i + 2] = v->mmio[i].size;
	}
	dtb_node(w, "bus");
	dtb_text(w, "compatible", "simple-bus");
	put_cells(w, 2, 2);
	dtb_empty(w, "ranges");
	if (v->mmio_count)
		dtb_node_at(w, "vmbus", v->mmio[0].base);
	else
		dtb_node(w, "vmbus");
	put_cells(w, 2, 2);
	dtb_text(w, "compatible", "microsoft,vmbus");
	dtb_u64s(w, "ranges", ranges, 3 * v->mmio_count);
	dtb_u32(w, IGVM_DT_VTL, 2);
	dtb_u32(w, "microsoft,message-connection-id", v->connection_id);
	dtb_empty(w, "dma-coherent");
	dtb_end_node(w);
	dtb_end_node(w);
}

static void put_range(struct dtb_writer *w, const struct plan_range *r)
{
	dtb_node_at(w, "memory", r->base);
	/* not "memory": the kernel must not take these for its own */
	dtb_text(w, "device_type", "memory-openhcl");
	put_reg(w, r->base, r->size);
	if (r->igvm_type != PLAN_NO_TYPE) {
		dtb_u32(w, "numa-node-id", r->numa_node);
		dtb_u32(w, IGVM_DT_IGVM_TYPE, r->igvm_type);
	}
	dtb_u32(w, "openhcl,memory-type", r->memory_type);
	dtb_end_node(w);
}

static void put_openhcl(struct dtb_writer *w, const struct host_tree *tree, const struct plan *plan)
{
	dtb_node(w, "openhcl");
	put_cells(w, 2, 2);
	dtb_text(w, "isolation-type", "none");
	dtb_text(w, "memory-allocation-mode", tree->vtl2_allocates ? "vtl2" : "host");
	if (tree->vtl2_memory_size)
		dtb_u64(w, "memory-size", tree->vtl2_memory_size);
	if (tree->vtl2_mmio_size)
		dtb_u64(w, "mmio-size", tree->vtl2_mmio_size);
	if (tree->has_alias_map)
		dtb_u64(w, "vtl0-alias-map", tree->alias_map);
	for (u32 i = 0; i < plan->range_count; i++)
		put_range(w, &plan->ranges[i]);
	if (tree->entropy_len) {
		dtb_node(w, "entropy");
		dtb_bytes(w, "reg", tree->entropy, tree->entropy_len);
		dtb_end_node(w);
	}
	dtb_end_node(w);
}

u32 kernel_tree_write(const struct host_tree *tree, const struct plan *plan, const struct kernel_times *times, void *buffer,
		      u32 size)
{
	struct dtb_writer w;

	dtb_begin(&w, buffer, size);
	dtb_reserve(&w, plan->log.base, plan->log.size);
	dtb_node(&w, "");
	put_cells(&w, 2, 2);
	dtb_text(&w, "compatible", "microsoft,openvmm");
	if (times->known) {
		dtb_u64(&w, "reftime_boot_start", times->start);
		dtb_u64(&w, "reftime_boot_end", times->end);
	}
	dtb_node(&w, "hypervisor");
	dtb_text(&w, "compatible", "microsoft,hyperv");
	dtb_end_node(&w);
	put_cpus(&w, tree);
	put_memory(&w, tree);
	put_bus(&w, &tree->vmbus_vtl2);
	put_openhcl(&w, tree, plan);
	dtb_end_node(&w);
	return dtb_finish(&w, tree->boot_apic_id);
}
