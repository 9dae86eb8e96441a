#include "host/load/device_tree.h"

#include "lib/dtb/dtb.h"

#define COM3_PORT 0x3E8u
#define COM3_IRQ 4u

static void put_cells(struct dtb_writer *w, u32 address, u32 size)
{
	dtb_u32(w, "#address-cells", address);
	dtb_u32(w, "#size-cells", size);
}

static void put_cpus(struct dtb_writer *w, const struct load_request *q)
{
	dtb_node(w, "cpus");
	put_cells(w, 1, 0);
	for (u32 i = 0; i < q->cpu_count; i++) {
		dtb_node_at(w, "cpu", i + 1);
		dtb_text(w, "device_type", "cpu");
		dtb_u32(w, "reg", q->cpus[i].apic_id);
		dtb_u32(w, "numa-node-id", q->cpus[i].numa_node);
		dtb_text(w, "status", "okay");
		dtb_end_node(w);
	}
	dtb_end_node(w);
}

static void put_memory(struct dtb_writer *w, const struct load_range *m)
{
	u64 reg[2] = { m->base, m->size };

	dtb_node_at(w, "memory", m->base);
	dtb_text(w, "device_type", "memory");
	dtb_u64s(w, "reg", reg, 2);
	dtb_u32(w, IGVM_DT_IGVM_TYPE, m->type);
	dtb_u32(w, "numa-node-id", m->numa_node);
	dtb_end_node(w);
}

static void put_vmbus(struct dtb_writer *w, const char *name, const struct load_range *mmio, u32 vtl, u32 connection_id)
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
		dtb_node_at(w, name, ranges[0]);
	else
		dtb_node(w, name);
	put_cells(w, 2, 2);
	dtb_text(w, "compatible", "microsoft,vmbus");
	dtb_u64s(w, "ranges", ranges, n);
	dtb_u32(w, IGVM_DT_VTL, vtl);
	dtb_u32(w, "microsoft,message-connection-id", connection_id);
	dtb_end_node(w);
}

static void put_com3(struct dtb_writer *w)
{
	u64 reg[2] = { COM3_PORT, 8 };

	dtb_node(w, "pio-bus");
	dtb_text(w, "compatible", "x86-pio-bus");
	put_cells(w, 1, 1);
	dtb_empty(w, "ranges");
	dtb_node_at(w, "serial", COM3_PORT);
	dtb_text(w, "compatible", "ns16550");
	dtb_u32(w, "clock-frequency", 0);
	dtb_u32(w, "current-speed", 115200);
	dtb_u64s(w, "reg", reg, 2);
	dtb_u64(w, "interrupts", COM3_IRQ);
	dtb_end_node(w);
	dtb_end_node(w);
}

static void put_openhcl(struct dtb_writer *w, const struct load_request *q)
{
	dtb_node(w, "openhcl");
	dtb_text(w, "memory-allocation-mode", q->vtl2_allocates ? "vtl2" : "host");
	if (q->vtl2_allocates) {
		dtb_u64(w, "memory-size", q->vtl2.size);
		dtb_u64(w, "mmio-size", q->vtl2_mmio_size);
	}
	if (q->entropy_len) {
		dtb_node(w, "entropy");
		dtb_bytes(w, "reg", q->entropy, q->entropy_len);
		dtb_end_node(w);
	}
	dtb_end_node(w);
}

u32 device_tree_build(const struct load_request *q, void *buffer, u32 size)
{
	struct dtb_writer w;

	dtb_begin(&w, buffer, size);
	dtb_node(&w, "");
	put_cells(&w, 2, 2);
	dtb_text(&w, "model", "microsoft,hyperv");
	put_cpus(&w, q);
	for (u32 i = 0; i < q->ram_count; i++)
		put_memory(&w, &q->ram[i]);
	dtb_node(&w, "bus");
	dtb_text(&w, "compatible", "simple-bus");
	put_cells(&w, 2, 2);
	dtb_empty(&w, "ranges");
	put_vmbus(&w, "vmbus-vtl0", q->vtl0_mmio, 0, q->vtl0_connection_id);
	put_vmbus(&w, "vmbus-vtl2", q->vtl2_mmio, 2, q->vtl2_connection_id);
	dtb_end_node(&w);
	if (q->com3)
		put_com3(&w);
	dtb_node(&w, "chosen");
	dtb_text(&w, "bootargs", q->bootargs ? q->bootargs : "");
	dtb_end_node(&w);
	put_openhcl(&w, q);
	dtb_end_node(&w);
	return dtb_finish(&w, q->cpu_count ? q->cpus[0].apic_id : 0);
}
