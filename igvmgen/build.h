/* igvmgen's work: inputs in memory → an IGVM file in memory. Errors: -errno and one line in err. */
#pragma once

#include "igvmgen/elf.h"
#include "lib/igvm/igvm.h"
#include "spec/shim.h"

struct blob {
	u8 *bytes; /* malloc'd by whoever fills the structure; NULL: not given */
	size_t len;
};

struct build_inputs {
	struct blob shim, kernel, initrd;
	struct blob vtl0_kernel, vtl0_initrd;
	const char *cmdline, *vtl0_cmdline; /* NULL: empty */
	u64 vtl2_memory; /* multiple of 2 MiB */
	bool static_cmdline; /* do not append what the host says */
};

#define LAYOUT_TABLE_PAGE_MAX 64u

/* where things lie; all addresses are guest physical, as built */
struct layout {
	u64 base;
	struct elf_image shim, kernel;
	u64 kernel_at, kernel_size; /* kernel_at - kernel.low is what the kernel is displaced by */
	u64 gdt, params, command_line, device_tree, log, heap, initrd;
	u64 tables, tables_size;
	u32 tables_used; /* pages */
	u64 end;
};

#define LAYOUT_DEVICE_TREE_SIZE (64 * PAGE_SIZE)
#define LAYOUT_LOG_SIZE (4 * PAGE_SIZE)
#define LAYOUT_HEAP_SIZE (96 * PAGE_SIZE)
#define VTL0_PAYLOAD_GPA 0x6000000ull

/* checks the inputs and finds places for them */
int layout_make(const struct build_inputs *in, struct layout *ret, char *err, size_t err_len) __must_check;
/* writes len bytes at gpa as page data, the rest of the last page zero; bytes NULL: zeroes */
void layout_put(struct igvm_writer *w, u64 gpa, const void *bytes, u64 len, u64 memory_len);
/* adds VTL0's kernel, initrd, command line and the measured configuration */
int vtl0_put(struct igvm_writer *w, const struct build_inputs *in, const struct layout *l, char *err, size_t err_len)
	__must_check;
/* all of it; *ret is malloc'd */
int image_build(const struct build_inputs *in, u8 **ret, size_t *ret_len, char *err, size_t err_len) __must_check;

#define BUILD_MASK 1u /* our single platform's compatibility mask */
