#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag/server/policy.h"
#include "init/init.h"
#include "lib/core/guid.h"
#include "lib/log/log.h"
#include "lib/os/file.h"
#include "spec/get.h"
#include "spec/uart_channel.h"

LOG_DOMAIN("setup");

#define OPEN_FILES_MAX 4096

void setup_mounts(void)
{
	static const struct { const char *type, *path, *options; unsigned long flags; } mounts[] = {
		{ "proc", "/proc", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", "", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC },
		{ "devpts", "/dev/pts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "/run", "mode=0755,size=4m", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/tmp", "mode=1777,size=4m", MS_NOSUID | MS_NODEV },
	};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		if (mkdir(mounts[i].path, 0755) && errno != EEXIST)
			log_err(-errno, "directory %s", mounts[i].path);
		/* EBUSY: the kernel mounted devtmpfs itself */
		if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags, mounts[i].options) && errno != EBUSY)
			log_err(-errno, "mount %s on %s", mounts[i].type, mounts[i].path);
	}
}

void setup_standard_files(void)
{
	static const char *const paths[] = { "/dev/null", "/dev/kmsg", "/dev/kmsg" };

	/* what a library or a helper prints then reaches the log instead of a console that nobody reads */
	for (int i = 0; i < 3; i++) {
		int fd = open(paths[i], i ? O_WRONLY : O_RDONLY);

		if (fd >= 0 && fd != i && dup2(fd, i) < 0)
			log_err(-errno, "descriptor %d", i);
		if (fd > 2)
			close(fd);
	}
}

static void limit(int resource, const char *name, rlim_t value)
{
	struct rlimit l = { value, value };

	if (setrlimit(resource, &l))
		log_err(-errno, "limit of %s", name);
}

static void set(const char *path, const char *value)
{
	int r = file_write_text(path, value);

	/* a kernel without the option has not got the file */
	if (r == -ENOENT)
		log_at(LOG_DEBUG, "%s: not in this kernel", path);
	else if (r)
		log_err(r, "%s to \"%s\"", path, value);
}

/* a process that dies waits, while its core is read, so that nobody resets VTL2 before the host has it */
static void setup_cores(void)
{
	/* the production policy: nobody outside reads the firmware's memory, in this form either */
	if (policy_restricted())
		return;
	/* private and shared memory without a file, hugetlb pages, the first page of an ELF file (core(5)) */
	set("/proc/self/coredump_filter", "0x33");
	/* two processes may crash at once; one more dies without a core */
	set("/proc/sys/kernel/core_pipe_limit", "2");
	/* pid and thread as init's namespace has them, signal, user, name; the order is crash_main()'s */
	set("/proc/sys/kernel/core_pattern", "|/bin/paravane crash %P %I %s %u %e");
}

void setup_kernel(void)
{
	/* guest memory is mapped and rings are shared: neither may fail for a default made for users */
	limit(RLIMIT_MEMLOCK, "locked memory", RLIM_INFINITY);
	limit(RLIMIT_NOFILE, "open files", OPEN_FILES_MAX);
	/* does not hold for a helper (core_pattern below), and without one a core would eat the memory that is left */
	limit(RLIMIT_CORE, "core files", 0);
	setup_cores();
	/* a killed worker is worse than a restart that the host sees (facts B4) */
	set("/proc/sys/vm/panic_on_oom", "1");
	set("/proc/sys/vm/min_free_kbytes", "1024");
	/* where memory is short it is in pieces as well, and nothing is to be held back for that */
	set("/proc/sys/vm/watermark_boost_factor", "0");
	/* memory for DMA: taken when a device is opened, and only then; without huge pages, locked ones, which then stay */
	set("/proc/sys/vm/nr_overcommit_hugepages", "64");
	set("/proc/sys/vm/compact_unevictable_allowed", "0");
}

/* vendor, device and their sub-systems: any; class and its mask: NVM Express */
#define VFIO_NVME "ffffffff ffffffff ffffffff ffffffff 010802 ffffff"

/* every NVMe controller that the host assigns to VTL2, now or later, is driven from user space */
static void bind_vfio(void)
{
	int r = file_write_text("/sys/bus/pci/drivers/vfio-pci/new_id", VFIO_NVME);

	if (r == -ENOENT)
		log_at(LOG_DEBUG, "this kernel has no vfio-pci");
	else if (r && r != -EEXIST)
		log_err(r, "binding NVMe controllers to vfio-pci");
}

void setup_drivers(void)
{
	static const struct guid interfaces[] = { GET_INTERFACE, UART_INTERFACE };

	for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++) {
		char text[GUID_STRLEN + 1];

		guid_format(&interfaces[i], text);
		int r = file_write_text("/sys/bus/vmbus/drivers/uio_hv_generic/new_id", text);

		/* EEXIST: bound by an earlier life of ours */
		if (r && r != -EEXIST)
			log_err(r, "binding %s to uio_hv_generic", text);
	}
	bind_vfio();
}
