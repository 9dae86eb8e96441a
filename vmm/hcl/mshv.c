/* hcl over the Linux driver, drivers/hv/mshv_vtl_main.c (7.2 and later) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/log/log.h"
#include "vmm/hcl/hcl.h"
#include "vmm/hcl/mshv_uapi.h"

LOG_DOMAIN("hcl");

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14, uapi asm-generic/mman-common.h */
#endif

struct mshv {
	struct hcl hcl;
	int vtl_fd, hvcall_fd;
};

static struct mshv *of(struct hcl *hcl)
{
	return container_of(hcl, struct mshv, hcl);
}

/* what the worker may ask; the rest the kernel refuses */
static const u16 allowed[] = {
	HVCALL_MODIFY_VTL_PROTECTION_MASK, HVCALL_INSTALL_INTERCEPT, HVCALL_GET_VP_REGISTERS, HVCALL_SET_VP_REGISTERS,
	HVCALL_TRANSLATE_VIRTUAL_ADDRESS, HVCALL_RETARGET_INTERRUPT, HVCALL_REGISTER_INTERCEPT_RESULT,
	HVCALL_ASSERT_VIRTUAL_INTERRUPT, HVCALL_GET_VP_INDEX_FROM_APIC_ID, HVCALL_SIGNAL_EVENT_DIRECT,
	HVCALL_POST_MESSAGE_DIRECT, HVCALL_CHECK_SPARSE_GPA_PAGE_VTL_ACCESS,
};

static int allow(struct mshv *m)
{
	u8 bitmap[512] = { 0 };
	struct mshv_vtl_hvcall_setup setup = { .bitmap_array_size = sizeof(bitmap),
					       .allow_bitmap_ptr = (u64)(uintptr_t)bitmap };

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		bitmap[allowed[i] / 8] |= (u8)(1u << (allowed[i] % 8));
	/* EINVAL is also what a second set-up of the same open file gives: then an earlier worker's bitmap holds */
	if (ioctl(m->hvcall_fd, MSHV_HVCALL_SETUP, &setup) && errno != EINVAL)
		return log_err(-errno, "hypercall allow bitmap");
	return 0;
}

static int mshv_vp_open(struct hcl *hcl, struct hcl_vp *vp)
{
	struct mshv *m = of(hcl);
	void *run = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->vtl_fd,
			 (off_t)(MSHV_RUN_PAGE(vp->cpu) << PAGE_SHIFT));

	if (run == MAP_FAILED)
		return log_err(-errno, "VP %u: run page", vp->cpu);
	vp->run = run;
	void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->vtl_fd,
			  (off_t)(MSHV_REGISTER_PAGE(vp->cpu) << PAGE_SHIFT));

	/* touching a register page that is not there is SIGBUS; populating it says -EFAULT instead */
	if (page != MAP_FAILED && madvise(page, PAGE_SIZE, MADV_POPULATE_READ)) {
		munmap(page, PAGE_SIZE);
		page = MAP_FAILED;
	}
	if (page == MAP_FAILED)
		log_at(LOG_WARN, "VP %u: no register page: exits cost a hypercall more", vp->cpu);
	else
		vp->page = page;
	return 0;
}

static int mshv_run(struct hcl_vp *vp)
{
	return ioctl(of(vp->hcl)->vtl_fd, MSHV_RETURN_TO_LOWER_VTL, 0) ? -errno : 0;
}

static int registers(struct hcl_vp *vp, unsigned long request, u32 name, union hv_register_value *value)
{
	struct hv_register_assoc assoc = { .name = name, .value = *value };
	struct mshv_vp_registers args = { .count = 1, .regs_ptr = (u64)(uintptr_t)&assoc };

	if (ioctl(of(vp->hcl)->vtl_fd, request, &args))
		return -errno;
	*value = assoc.value;
	return 0;
}

static int mshv_get(struct hcl_vp *vp, u32 name, union hv_register_value *ret)
{
	union hv_register_value value = { { 0, 0 } };
	int r = registers(vp, MSHV_GET_VP_REGISTERS, name, &value);

	if (!r)
		*ret = value;
	return r;
}

static int mshv_set(struct hcl_vp *vp, u32 name, const union hv_register_value *value)
{
	union hv_register_value copy = *value;

	return registers(vp, MSHV_SET_VP_REGISTERS, name, &copy);
}

static int mshv_call(struct hcl *hcl, u64 control, const void *in, size_t in_len, void *out, size_t out_len, u64 *result)
{
	struct mshv_vtl_hvcall call = { .control = control, .input_size = in_len, .input_ptr = (u64)(uintptr_t)in,
					.output_size = out_len, .output_ptr = (u64)(uintptr_t)out };

	if (ioctl(of(hcl)->hvcall_fd, MSHV_HVCALL, &call))
		return -errno;
	*result = call.status;
	return 0;
}

static int mshv_set_poll_file(struct hcl_vp *vp, int fd)
{
	struct mshv_vtl_set_poll_file args = { .cpu = vp->cpu, .fd = (u32)fd };

	if (ioctl(of(vp->hcl)->vtl_fd, MSHV_SET_POLL_FILE, &args))
		return log_err(-errno, "VP %u: poll file", vp->cpu);
	return 0;
}

static void mshv_destroy(struct hcl *hcl)
{
	free(of(hcl));
}

static const struct hcl_ops ops = {
	.vp_open = mshv_vp_open, .run = mshv_run, .get = mshv_get, .set = mshv_set, .call = mshv_call,
	.set_poll_file = mshv_set_poll_file, .destroy = mshv_destroy,
};

int hcl_open(int vtl_fd, int hvcall_fd, struct hcl **ret)
{
	struct mshv *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return log_err(-ENOMEM, "hcl");
	*m = (struct mshv){ .hcl.ops = &ops, .vtl_fd = vtl_fd, .hvcall_fd = hvcall_fd };
	r = allow(m);
	if (r)
		free(m);
	else
		*ret = &m->hcl;
	return r;
}
