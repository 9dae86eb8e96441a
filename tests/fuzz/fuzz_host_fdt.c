/* what a hostile host may put into the shim's device tree area */
#include <stdlib.h>

#include "boot/kernel_tree.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

static struct host_tree tree;
static struct plan plan;
static u8 out[KERNEL_TREE_MAX];

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	struct shim_params p = { .used_size = 16 * MiB, .log = MiB, .log_size = 2 * PAGE_SIZE };
	struct kernel_times times = { false, 0, 0 };
	char err[HOST_ERROR_MAX] = "";

	if (!host_tree_read(data, len, &tree, err) || !plan_make(&tree, &p, 1 * GiB, &plan, err)) {
		if (!err[0])
			abort();
		return 0;
	}
	if (!kernel_tree_write(&tree, &plan, &times, out, sizeof(out)) && tree.cpu_count < 1000)
		abort();
	return 0;
}
