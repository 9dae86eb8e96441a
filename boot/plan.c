#include "boot/plan.h"

#include "boot/text.h"
#include "spec/igvm.h"

static bool inside(const struct shim_params *p, u64 start, u64 size)
{
	return range_within(start, size, 0, p->used_size);
}

bool plan_check_params(const struct shim_params *p, char *err)
{
	if (p->magic != SHIM_PARAMS_MAGIC || p->version != SHIM_PARAMS_VERSION || p->size != sizeof(*p)) {
		text_format(err, HOST_ERROR_MAX, "shim parameters: magic 0x%lx, version %u, size %u; shim and igvmgen must "
			    "come from one build", p->magic, p->version, p->size);
		return false;
	}
	if (p->used_size > p->memory_size || !inside(p, p->kernel_start, p->kernel_size) ||
	    !range_within(p->kernel_entry, 1, p->kernel_start, p->kernel_size) ||
	    !inside(p, p->initrd_start, p->initrd_size) || !inside(p, p->command_line, PAGE_SIZE) ||
	    !inside(p, p->device_tree, p->device_tree_size) || !inside(p, p->log, p->log_size) ||
	    !inside(p, p->heap, p->heap_size) || !IS_ALIGNED(p->log | p->log_size, PAGE_SIZE) ||
	    p->log_size <= sizeof(struct shim_log)) {
		text_format(err, HOST_ERROR_MAX, "shim parameters: a range lies outside the image of 0x%lx bytes",
			    p->used_size);
		return false;
	}
	return true;
}

/* all of [base, base+size) in memory that VTL2 may keep to itself? The list is sorted, so one walk tells. */
static bool is_covered(const struct host_tree *tree, u64 base, u64 size)
{
	u64 at = base, end = base + size;

	for (u32 i = 0; i < tree->memory_count && at < end; i++) {
		const struct host_memory *m = &tree->memory[i];

		if (m->vtl2 && range_within(at, 1, m->base, m->size))
			at = m->base + m->size;
	}
	return at >= end;
}

static bool add_e820(struct plan *plan, u64 base, u64 size, u32 type, char *err)
{
	if (!size)
		return true;
	if (plan->e820_count == E820_TABLE_MAX) {
		text_format(err, HOST_ERROR_MAX, "VTL2's memory comes in more than %u pieces", E820_TABLE_MAX);
		return false;
	}
	plan->e820[plan->e820_count++] = (struct e820_entry){ base, size, type };
	return true;
}

static bool add_range(struct plan *plan, u64 base, u64 size, u32 memory_type, u32 igvm_type, u32 numa_node, char *err)
{
	if (!size)
		return true;
	if (plan->range_count == PLAN_RANGE_MAX) {
		text_format(err, HOST_ERROR_MAX, "memory comes in more than %u pieces", PLAN_RANGE_MAX);
		return false;
	}
	plan->ranges[plan->range_count++] = (struct plan_range){ base, size, memory_type, igvm_type, numa_node };
	return true;
}

/* one piece of VTL2's memory, of one use */
static bool add_vtl2(struct plan *plan, const struct host_memory *m, u64 base, u64 end, bool log, char *err)
{
	if (base >= end)
		return true;
	return add_e820(plan, base, end - base, log ? E820_RESERVED : E820_RAM, err) &&
	       add_range(plan, base, end - base, log ? OPENHCL_MEMORY_BOOTSHIM_LOG : OPENHCL_MEMORY_VTL2_RAM,
			 m->igvm_type, m->numa_node, err);
}

/* the log is cut out of the range it lies in, so that the running system can still read it */
static bool split_vtl2(struct plan *plan, const struct host_memory *m, char *err)
{
	u64 end = m->base + m->size;
	u64 log = MIN(MAX(plan->log.base, m->base), end);
	u64 log_end = MIN(MAX(plan->log.base + plan->log.size, m->base), end);

	return add_vtl2(plan, m, m->base, log, false, err) && add_vtl2(plan, m, log, log_end, true, err) &&
	       add_vtl2(plan, m, log_end, end, false, err);
}

static bool add_mmio(struct plan *plan, const struct host_vmbus *v, u32 memory_type, char *err)
{
	for (u32 i = 0; i < v->mmio_count; i++)
		if (!add_range(plan, v->mmio[i].base, v->mmio[i].size, memory_type, PLAN_NO_TYPE, 0, err))
			return false;
	return true;
}

bool plan_make(const struct host_tree *tree, const struct shim_params *p, u64 base, struct plan *ret, char *err)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	ret->base = base;
	ret->log = (struct host_range){ base + p->log, p->log_size };
	if (!is_covered(tree, base, p->used_size)) {
		text_format(err, HOST_ERROR_MAX, "the image at 0x%lx, 0x%lx bytes, does not lie in memory@ nodes with "
			    IGVM_DT_IGVM_TYPE " = %u (VTL2 protectable)", base, p->used_size,
			    IGVM_MEMORY_TYPE_VTL2_PROTECTABLE);
		return false;
	}
	for (u32 i = 0; i < tree->memory_count; i++) {
		const struct host_memory *m = &tree->memory[i];
		bool done = m->vtl2 ?
			split_vtl2(ret, m, err) :
			add_range(ret, m->base, m->size, OPENHCL_MEMORY_VTL0, m->igvm_type, m->numa_node, err);

		if (!done)
			return false;
	}
	return add_mmio(ret, &tree->vmbus_vtl0, OPENHCL_MEMORY_VTL0_MMIO, err) &&
	       add_mmio(ret, &tree->vmbus_vtl2, OPENHCL_MEMORY_VTL2_MMIO, err);
}
