#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "igvmgen/build.h"
#include "igvmgen/page_table.h"
#include "spec/loader_defs.h"

static u64 take(u64 *at, u64 size)
{
	u64 here = *at;

	*at += ALIGN_UP(size, PAGE_SIZE);
	return here;
}

static int place_shim(const struct build_inputs *in, struct layout *l, u64 *at, char *err, size_t err_len)
{
	int r = elf_read("shim", in->shim.bytes, in->shim.len, &l->shim, err, err_len);

	if (r)
		return r;
	if (l->shim.low) {
		snprintf(err, err_len, "shim is linked at 0x%lx instead of 0; build it with boot/shim.lds", l->shim.low);
		return -EINVAL;
	}
	take(at, l->shim.high);
	return 0;
}

static int place_kernel(const struct build_inputs *in, struct layout *l, u64 *at, char *err, size_t err_len)
{
	int r = elf_read("kernel", in->kernel.bytes, in->kernel.len, &l->kernel, err, err_len);

	if (r)
		return r;
	/*
	 * startup_64 wants its displacement in units of 2 MiB (CONFIG_RELOCATABLE, no KASLR: no
	 * relocations to apply)
	 */
	if (!IS_ALIGNED(l->kernel.low, 2 * MiB)) {
		snprintf(err, err_len, "kernel is linked at 0x%lx, not at a multiple of 2 MiB; is it a vmlinux?",
			 l->kernel.low);
		return -EINVAL;
	}
	*at = ALIGN_UP(*at, 2 * MiB);
	l->kernel_size = l->kernel.high - l->kernel.low;
	if (l->kernel_size > in->vtl2_memory) {
		snprintf(err, err_len, "kernel needs %lu MiB, VTL2 has %lu MiB; raise --vtl2-memory",
			 (u64)(l->kernel_size / MiB), (u64)(in->vtl2_memory / MiB));
		return -EINVAL;
	}
	l->kernel_at = take(at, l->kernel_size);
	return 0;
}

int layout_make(const struct build_inputs *in, struct layout *ret, char *err, size_t err_len)
{
	struct layout l = { .base = OPENHCL_DEFAULT_BASE };
	u64 at = l.base;
	int r;

	if (!in->vtl2_memory || !IS_ALIGNED(in->vtl2_memory, 2 * MiB) || in->vtl2_memory > 2 * GiB) {
		snprintf(err, err_len, "VTL2 memory of 0x%lx bytes; give a multiple of 2 MiB up to 2 GiB", in->vtl2_memory);
		return -EINVAL;
	}
	r = place_shim(in, &l, &at, err, err_len);
	if (r)
		return r;
	l.gdt = take(&at, PAGE_SIZE);
	l.params = take(&at, PAGE_SIZE);
	l.command_line = take(&at, PAGE_SIZE);
	l.device_tree = take(&at, LAYOUT_DEVICE_TREE_SIZE);
	l.log = take(&at, LAYOUT_LOG_SIZE);
	l.heap = take(&at, LAYOUT_HEAP_SIZE);
	r = place_kernel(in, &l, &at, err, err_len);
	if (r)
		return r;
	l.initrd = take(&at, in->initrd.len);
	/* the page tables may not lie in the relocatable region, which therefore ends here */
	l.tables_size = (u64)page_table_reserve(l.base, in->vtl2_memory) * PAGE_SIZE;
	l.tables = take(&at, l.tables_size);
	l.end = at;
	if (l.end - l.base > in->vtl2_memory) {
		snprintf(err, err_len, "image needs %lu MiB, VTL2 has %lu MiB; raise --vtl2-memory or shrink the initrd",
			 (u64)(ALIGN_UP(l.end - l.base, MiB) / MiB), (u64)(in->vtl2_memory / MiB));
		return -EINVAL;
	}
	*ret = l;
	return 0;
}

void layout_put(struct igvm_writer *w, u64 gpa, const void *bytes, u64 len, u64 memory_len)
{
	u8 page[PAGE_SIZE];

	for (u64 at = 0; at < memory_len; at += PAGE_SIZE) {
		u64 n = at < len ? MIN(len - at, (u64)PAGE_SIZE) : 0;

		memset(page, 0, sizeof(page));
		if (n && bytes)
			memcpy(page, (const u8 *)bytes + at, n);
		igvm_writer_page(w, gpa + at, BUILD_MASK, 0, page);
	}
}
