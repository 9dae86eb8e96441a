#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "igvmgen/build.h"
#include "spec/bootparam.h"
#include "spec/loader_defs.h"

/* is it a bzImage that knows the 64-bit boot protocol (2.12)? */
static int check_bzimage(const struct blob *kernel, char *err, size_t err_len)
{
	struct setup_header hdr;
	size_t at = offsetof(struct boot_params, hdr);

	if (kernel->len >= at + sizeof(hdr)) {
		memcpy(&hdr, kernel->bytes + at, sizeof(hdr));
		if (hdr.boot_flag == BOOT_FLAG && hdr.header == BOOT_HEADER_MAGIC && hdr.version >= 0x020C &&
		    hdr.xloadflags & BOOT_XLF_KERNEL_64)
			return 0;
	}
	snprintf(err, err_len, "VTL0 kernel is not a 64-bit bzImage of boot protocol 2.12 or newer; give a vmlinuz");
	return -EINVAL;
}

/* next free address for size bytes; VTL2's region as built is stepped over */
static u64 place(u64 *at, u64 size, const struct layout *l, u64 vtl2_memory)
{
	u64 here;

	size = ALIGN_UP(size, PAGE_SIZE);
	if (ranges_overlap(*at, size, l->base, vtl2_memory))
		*at = l->base + vtl2_memory;
	here = *at;
	*at += size;
	return here;
}

static struct page_region region(u64 gpa, u64 size)
{
	u64 pages = ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE;

	return (struct page_region){ pages ? gpa / PAGE_SIZE : 0, pages };
}

int vtl0_put(struct igvm_writer *w, const struct build_inputs *in, const struct layout *l, char *err, size_t err_len)
{
	struct openhcl_vtl0_config config = { .magic = OPENHCL_VTL0_CONFIG_MAGIC };
	const char *cmdline = in->vtl0_cmdline ? in->vtl0_cmdline : "";
	u64 at = VTL0_PAYLOAD_GPA, kernel, initrd, line;
	int r;

	if (in->vtl0_kernel.bytes) {
		r = check_bzimage(&in->vtl0_kernel, err, err_len);
		if (r)
			return r;
		if (strlen(cmdline) >= PAGE_SIZE) {
			snprintf(err, err_len, "VTL0 command line has %zu characters; at most 4095 fit", strlen(cmdline));
			return -EINVAL;
		}
		kernel = place(&at, in->vtl0_kernel.len, l, in->vtl2_memory);
		initrd = place(&at, in->vtl0_initrd.len, l, in->vtl2_memory);
		line = place(&at, PAGE_SIZE, l, in->vtl2_memory);
		layout_put(w, kernel, in->vtl0_kernel.bytes, in->vtl0_kernel.len, in->vtl0_kernel.len);
		layout_put(w, initrd, in->vtl0_initrd.bytes, in->vtl0_initrd.len, in->vtl0_initrd.len);
		layout_put(w, line, cmdline, strlen(cmdline), PAGE_SIZE);
		config.supported_vtl0 = OPENHCL_VTL0_LINUX;
		config.linux_info.kernel_region = region(kernel, in->vtl0_kernel.len);
		config.linux_info.initrd_region = region(initrd, in->vtl0_initrd.len);
		config.linux_info.initrd_size = in->vtl0_initrd.len;
		config.linux_info.command_line = region(line, PAGE_SIZE);
	}
	layout_put(w, OPENHCL_VTL0_CONFIG_GPA, &config, sizeof(config), PAGE_SIZE);
	return 0;
}
