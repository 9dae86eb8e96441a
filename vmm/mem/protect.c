#include "vmm/mem/protect.h"

#include <errno.h>

#include "lib/log/log.h"

LOG_DOMAIN("protect");

#define BATCH 510u /* page numbers behind the header in one input page */

int protect_vtl2(struct hcl *hcl, const struct partition_layout *layout, u64 *ret_pages)
{
	struct hv_modify_vtl_protection_mask head = {
		.partition_id = HV_PARTITION_ID_SELF,
		.map_flags = 0,
		.input_vtl = HV_INPUT_VTL_USE_TARGET | 0,
	};
	u64 pages[BATCH], total = 0;

	for (unsigned i = 0; i < layout->range_count; i++) {
		const struct layout_range *r = &layout->ranges[i];
		u64 next = r->base >> PAGE_SHIFT, end = (r->base + r->len) >> PAGE_SHIFT;

		while (layout_is_vtl2(r->type) && next < end) {
			u32 count = 0;
			u16 status;

			while (count < BATCH && next < end)
				pages[count++] = next++;
			int e = hcl_call_rep(hcl, HVCALL_MODIFY_VTL_PROTECTION_MASK, &head, sizeof(head), pages, 8, count,
					     &status);

			if (e)
				return log_err(e, "protect VTL2 page %#llx: status %#x", (unsigned long long)pages[0], status);
			total += count;
		}
	}
	*ret_pages = total;
	return 0;
}

int protect_read_only(struct hcl *hcl, u64 gpa)
{
	struct hv_modify_vtl_protection_mask head = {
		.partition_id = HV_PARTITION_ID_SELF,
		.map_flags = HV_MAP_READ | HV_MAP_KERNEL_EXECUTE | HV_MAP_USER_EXECUTE,
		.input_vtl = HV_INPUT_VTL_USE_TARGET | 0,
	};
	u64 page = gpa >> PAGE_SHIFT;
	u16 status;
	int e = hcl_call_rep(hcl, HVCALL_MODIFY_VTL_PROTECTION_MASK, &head, sizeof(head), &page, sizeof(page), 1, &status);

	return e ? log_err(e, "protect page %#llx from writes: status %#x", (unsigned long long)page, status) : 0;
}
