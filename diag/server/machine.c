#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "vmm/hcl/mshv_uapi.h"
#include "vmm/mem/layout.h"

LOG_DOMAIN("machine");

#define MSHV_CREATE_VTL _IOR(MSHV_IOCTL, 0x1D, char) /* Linux 7.2 include/uapi/linux/mshv.h */

static int open_device(const char *path, int *ret)
{
	*ret = open(path, O_RDWR | O_CLOEXEC);
	return *ret < 0 ? log_err(-errno, "%s", path) : 0;
}

static int create_vtl(int *ret)
{
	_cleanup_close_ int mshv = -1;
	int r = open_device("/dev/mshv", &mshv);

	if (r)
		return r;
	*ret = ioctl(mshv, MSHV_CREATE_VTL, NULL);
	return *ret < 0 ? log_err(-errno, "create VTL") : 0;
}

static int add_memory(int vtl)
{
	struct partition_layout *layout = malloc(sizeof(*layout));
	int r = layout ? layout_load(layout) : log_err(-ENOMEM, "layout");

	if (!r)
		r = layout_add_vtl0_memory(layout, vtl);
	if (!r)
		log_at(LOG_INFO, "%u VPs, VTL0's memory ends at %#llx", layout->vp_count,
		       (unsigned long long)layout->vtl0_ram_top);
	free(layout);
	return r;
}

int machine_open(struct child_fds *ret)
{
	struct child_fds fds = { .vtl = -1, .low = -1, .hvcall = -1, .settings = -1, .gdb = ret->gdb, .devices = -1 };
	int r = create_vtl(&fds.vtl);

	if (!r)
		r = add_memory(fds.vtl);
	if (!r)
		r = open_device("/dev/mshv_vtl_low", &fds.low);
	if (!r)
		r = open_device("/dev/mshv_hvcall", &fds.hvcall);
	if (r) {
		cleanup_closep(&fds.vtl);
		cleanup_closep(&fds.low);
		cleanup_closep(&fds.hvcall);
		return r;
	}
	*ret = fds;
	return 0;
}
