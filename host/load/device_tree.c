#include "host/load/device_tree.h"

#include "lib/fdt/fdt.h"

#define COM3_PORT 0x3E8u
#define COM3_IRQ 4u

static void put_cells(struct fdt_writer *w, u32 address, u32 size)
{
	fdt_u32(w, "#address-cells", address);
	fdt_u32(w, "#size-cells", size);
}

static void put_cpus(struct fdt_writer *w, const struct load_request *q)
{
	fdt_node(w, "cpus");
	put_cells(w, 1, 0);
	for (u32 i = 0; i < q->cpu_count; i++) {
		fdt_node_at(w, "cpu", i + 1);
		fdt_text(w, "device_type", "cpu");
		fdt_u32(w, "reg", q->cpus[i].apic_id);
		fdt_u32(w, "numa-node-id", q->cpus[i].numa_node);
		fdt_text(w, "status", "okay");
		fdt_end_node(w);
	}
	fdt_end_node(w);
}

static void put_memory(struct fdt_writer *w, const struct load_range *m)
{
	u64 reg[2] = { m->base, m->size };

	fdt_node_at(w, "memory", m->base);
	fdt_text(w, "device_type", "memory");
	fdt_u64s(w, "reg", reg, 2);
	fdt_u32(w, IGVM_DT_IGVM_TYPE, m->type);
	fdt_u32(w, "numa-node-id", 0);
	fdt_end_node(w);
}

static void put_vmbus(struct fdt_writer *w, const char *name, const struct load_range *mmio, u32 vtl, u32 connection_id)
{
	u64 ranges[6];
	u32 n = 0;

	for (u32 i = 0; i < 2; i++) {
		if (!mmio[i].size)
			continue;
		ranges[n++] = mmio[i].base;
		ranges[n++] = mmio[i].base;
		ranges[n++] = mmio[i].size;
	}
	if (n)
		fdt_node_at(w, name, ranges[0]);
	else
		fdt_node(w, name);
	put_cells(w, 2, 2);
	fdt_text(w, "compatible", "microsoft,vmbus");
	fdt_u64s(w, "ranges", ranges, n);
	fdt_u32(w, IGVM_DT_VTL, vtl);
	fdt_u32(w, "microsoft,message-connection-id", connection_id);
	fdt_end_node(w);
}

static void put_com3(struct fdt_writer *w)
{
	u64 reg[2] = { COM3_PORT, 8 };

	fdt_node(w, "pio-bus");
	fdt_text(w, "compatible", "x86-pio-bus");
	put_cells(w, 1, 1);
	fdt_empty(w, "ranges");
	fdt_node_at(w, "serial", COM3_PORT);
	fdt_text(w, "compatible", "ns16550");
	fdt_u32(w, "clock-frequency", 0);
	fdt_u32(w, "current-speed", 115200);
	fdt_u64s(w, "reg", reg, 2);
	fdt_u64(w, "interrupts", COM3_IRQ);
	fdt_end_node(w);
	fdt_end_node(w);
}

static void put_openhcl(struct fdt_writer *w, const struct load_request *q)
{
	fdt_node(w, "openhcl");
	fdt_text(w, "memory-allocation-mode", "host");
	if (q->entropy_len) {
		fdt_node(w, "entropy");
		fdt_bytes(w, "reg", q->entropy, q->entropy_len);
		fdt_end_node(w);
	}
	fdt_end_node(w);
}

u32 device_tree_build(const struct load_request *q, void *buffer, u32 size)
{
	struct fdt_writer w;

	fdt_begin(&w, buffer, size);
	fdt_node(&w, "");
	put_cells(&w, 2, 2);
	fdt_text(&w, "model", "microsoft,hyperv");
	put_cpus(&w, q);
	for (u32 i = 0; i < q->ram_count; i++)
		put_memory(&w, &q->ram[i]);
	fdt_node(&w, "bus");
	fdt_text(&w, "compatible", "simple-bus");
	put_cells(&w, 2, 2);
	fdt_empty(&w, "ranges");
	put_vmbus(&w, "vmbus-vtl0", q->vtl0_mmio, 0, q->vtl0_connection_id);
	put_vmbus(&w, "vmbus-vtl2", q->vtl2_mmio, 2, q->vtl2_connection_id);
	fdt_end_node(&w);
	if (q->com3)
		put_com3(&w);
	fdt_node(&w, "chosen");
	fdt_text(&w, "bootargs", q->bootargs ? q->bootargs : "");
	fdt_end_node(&w);
	put_openhcl(&w, q);
	fdt_end_node(&w);
	return fdt_finish(&w, q->cpu_count ? q->cpus[0].apic_id : 0);
}
