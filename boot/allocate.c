#include "boot/allocate.h"

#include "boot/text.h"

#define GRANULE (8ull * PAGE_SIZE) /* a byte of the hypervisor's permission bitmaps */
#define MMIO_LEAST (128 * MiB)
#define MMIO_MOST (1 * GiB)

/* room for one more behind tree->memory[at]; its owner fills both */
static bool insert_after(struct host_tree *tree, u32 at, char *err)
{
	if (tree->memory_count == HOST_MEMORY_MAX) {
		text_format(err, HOST_ERROR_MAX, "more than %u memory ranges with VTL2's cut out", HOST_MEMORY_MAX);
		return false;
	}
	for (u32 i = tree->memory_count; i > at + 1; i--)
		tree->memory[i] = tree->memory[i - 1];
	tree->memory_count++;
	return true;
}

/* memory[at] ends at cut, and what was behind it is the next one */
static bool split(struct host_tree *tree, u32 at, u64 cut, char *err)
{
	struct host_memory *m = &tree->memory[at];

	if (cut <= m->base || cut >= m->base + m->size)
		return true;
	if (!insert_after(tree, at, err))
		return false;
	tree->memory[at + 1] = *m;
	tree->memory[at + 1].base = cut;
	tree->memory[at + 1].size = m->base + m->size - cut;
	m->size = cut - m->base;
	return true;
}

/* the image's memory: what of it is not RAM, plan_make() tells */
static bool take_image(struct host_tree *tree, u64 base, u64 size, char *err)
{
	for (u32 i = 0; i < tree->memory_count; i++) {
		if (!split(tree, i, base, err) || !split(tree, i, base + size, err))
			return false;
		tree->memory[i].vtl2 |= range_within(tree->memory[i].base, tree->memory[i].size, base, size);
	}
	return true;
}

static bool take_highest(struct host_tree *tree, u64 size, char *err)
{
	for (u32 i = tree->memory_count; size && i--;) {
		struct host_memory *m = &tree->memory[i];
		u64 end = m->base + m->size, cut;

		if (m->vtl2)
			continue;
		cut = MAX(m->size > size ? ALIGN_DOWN(end - size, GRANULE) : m->base, m->base);
		if (!split(tree, i, cut, err))
			return false;
		tree->memory[cut == m->base ? i : i + 1].vtl2 = true;
		size -= MIN(size, end - cut);
	}
	if (size)
		text_format(err, HOST_ERROR_MAX, "VTL2 is to take its memory itself, but 0x%lx bytes of it are not there", size);
	return !size;
}

static bool take_mmio(struct host_tree *tree, char *err)
{
	struct host_vmbus *vtl0 = &tree->vmbus_vtl0;
	struct host_range *high = vtl0->mmio_count ? &vtl0->mmio[vtl0->mmio_count - 1] : NULL;
	u64 size;

	if (tree->vmbus_vtl2.mmio_count)
		return true;
	if (!high || high->base < 4 * GiB) {
		text_format(err, HOST_ERROR_MAX, "VTL2 is to take its MMIO from VTL0's above 4 GiB, and there is none");
		return false;
	}
	size = MAX(tree->vtl2_mmio_size, MIN(MAX(ALIGN_DOWN(high->size / 2, (u64)PAGE_SIZE), MMIO_LEAST), MMIO_MOST));
	if (size >= high->size) {
		text_format(err, HOST_ERROR_MAX, "VTL2 is to take 0x%lx bytes of VTL0's high MMIO, which has 0x%lx", size,
			    high->size);
		return false;
	}
	high->size -= size;
	tree->vmbus_vtl2.mmio[0] = (struct host_range){ high->base + high->size, size };
	tree->vmbus_vtl2.mmio_count = 1;
	return true;
}

bool allocate_vtl2(struct host_tree *tree, const struct shim_params *p, u64 base, char *err)
{
	u64 size = tree->vtl2_memory_size ? tree->vtl2_memory_size : p->memory_size;

	if (!tree->vtl2_allocates)
		return true;
	if (size < p->memory_size) {
		text_format(err, HOST_ERROR_MAX, "node openhcl, property memory-size: 0x%lx; this image needs 0x%lx", size,
			    p->memory_size);
		return false;
	}
	return take_image(tree, base, p->memory_size, err) && take_highest(tree, size - p->memory_size, err) &&
	       take_mmio(tree, err);
}
