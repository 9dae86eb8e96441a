/* Where memory lies and what processors are called */
#include "host/pvhost/plan.h"

#include "spec/igvm.h"

void plan_memory(struct machine *m, u64 vtl2_size, u64 image_base)
{
	enum vtl2_place place = m->options->vtl2_place;
	u64 low_end = LOW_MMIO_BASE - (place == VTL2_LOW ? vtl2_size : 0);
	u64 low = MIN(m->options->memory, low_end), high = m->options->memory - low, end = high ? 4 * GiB + high : low;
	struct partition_config *c = &m->config;

	m->vtl2_size = vtl2_size;
	m->vtl2_base = place == VTL2_LOW ? low_end : place == VTL2_SELF ? image_base : ALIGN_UP(end, 2 * MiB);
	if (place == VTL2_HIGH)
		m->vtl2_base = MAX(m->vtl2_base, 4 * GiB);
	if (m->vtl2_base < LOW_MMIO_BASE && m->vtl2_base + vtl2_size > LOW_MMIO_BASE)
		m->vtl2_base = 4 * GiB;
	c->ram_count = 0;
	c->ram[c->ram_count++] = (struct partition_ram){ 0, low, false };
	if (place == VTL2_LOW)
		c->ram[c->ram_count++] = (struct partition_ram){ m->vtl2_base, vtl2_size, true };
	if (high)
		c->ram[c->ram_count++] = (struct partition_ram){ 4 * GiB, high, false };
	if (place == VTL2_BEHIND || place == VTL2_HIGH)
		c->ram[c->ram_count++] = (struct partition_ram){ m->vtl2_base, vtl2_size, true };
	const struct partition_ram *last = &c->ram[c->ram_count - 1];

	c->mmio_high_base = MAX(HIGH_MMIO_BASE, ALIGN_UP(last->base + last->size, GiB));
	c->mmio_high_size = place == VTL2_SELF ? 2 * HIGH_MMIO_ROOM : HIGH_MMIO_SIZE;
}

static u8 bits_for(u32 count)
{
	u8 bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* an APIC id is socket, core, thread; numbers that are no powers of two leave gaps */
void plan_cpus(struct machine *m)
{
	const struct options *o = m->options;
	struct partition_config *c = &m->config;
	u32 threads = o->threads, cores = o->cpus / o->sockets / threads, largest = 0;

	c->vp_count = o->cpus;
	c->thread_bits = bits_for(threads);
	c->core_bits = bits_for(cores);
	for (u32 i = 0; i < o->cpus; i++) {
		u32 socket = i / (cores * threads), core = i / threads % cores;

		c->apic_ids[i] = o->apic_id_count ? o->apic_ids[i] :
				 (socket << c->core_bits | core) << c->thread_bits | i % threads;
		largest = MAX(largest, c->apic_ids[i]);
	}
	if (o->apic_id_count)
		c->core_bits = bits_for(largest + 1);
}

static u32 add_ram(struct load_range *ranges, u32 count, struct load_range range)
{
	ranges[count] = range;
	return count + 1;
}

u32 plan_list_ram(const struct machine *m, struct load_range *ret)
{
	u32 nodes = m->options->numa_nodes, node = 0, count = 0;
	u64 each = ALIGN_DOWN(m->options->memory / nodes, 2 * MiB), left = nodes > 1 ? each : m->options->memory;

	for (u32 i = 0; i < m->config.ram_count; i++) {
		const struct partition_ram *r = &m->config.ram[i];

		if (r->vtl2) {
			count = add_ram(ret, count, (struct load_range){ r->base, r->size,
									 IGVM_MEMORY_TYPE_VTL2_PROTECTABLE, 0 });
			continue;
		}
		for (u64 at = r->base, end = r->base + r->size, len; at < end; at += len) {
			if (!left)
				left = ++node == nodes - 1 ? ~0ull : each;
			len = MIN(left, end - at);
			count = add_ram(ret, count, (struct load_range){ at, len, IGVM_MEMORY_TYPE_MEMORY, node });
			left -= len;
		}
	}
	return count;
}
