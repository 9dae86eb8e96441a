#include "vmm/device_worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/types.h"

/* what the server needs, malloc() below a device, and libcrypto, which asks for its own id to notice a fork */
static const u32 allowed[] = {
	SYS_read, SYS_write, SYS_writev, SYS_sendmsg, SYS_recvfrom, SYS_poll, SYS_ppoll,
	SYS_lseek, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
	SYS_rt_sigprocmask, SYS_setitimer, /* a time limit of its own, and a word from outside that it must hear meanwhile */
	SYS_futex, SYS_getpid, SYS_clock_gettime, SYS_getrandom, SYS_restart_syscall, SYS_rt_sigreturn, SYS_exit, SYS_exit_group,
};

#define MMAP_PROT_ARGUMENT offsetof(struct seccomp_data, args[2])
#define STAT_FLAGS_ARGUMENT offsetof(struct seccomp_data, args[3])
#define FILTER_MAX (ARRAY_SIZE(allowed) * 2 + 17)

static struct sock_filter load(u32 offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}

static struct sock_filter end(u32 action)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
}

/* the next instruction when equal, else the one after it */
static struct sock_filter when_equal(u32 value)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

static int filter_calls(void)
{
	struct sock_filter f[FILTER_MAX];
	unsigned short n = 0;

	f[n++] = load(offsetof(struct seccomp_data, arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	f[n++] = end(SECCOMP_RET_KILL_PROCESS);
	f[n++] = load(offsetof(struct seccomp_data, nr));
	/* memory that can be run: nobody needs it who does not bring code along */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4);
	f[n++] = load(MMAP_PROT_ARGUMENT);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
	f[n++] = end(SECCOMP_RET_KILL_PROCESS);
	f[n++] = end(SECCOMP_RET_ALLOW);
	/* the C library asks of a descriptor what it is before it prints there; nobody asks of a path */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 4);
	f[n++] = load(STAT_FLAGS_ARGUMENT);
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 1, 0);
	f[n++] = end(SECCOMP_RET_KILL_PROCESS);
	f[n++] = end(SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		f[n++] = when_equal(allowed[i]);
		f[n++] = end(SECCOMP_RET_ALLOW);
	}
	f[n++] = end(SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog program = { n, f };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

/* its own view of files has one folder in it, with nothing inside, and never can have */
static int empty_root(void)
{
	static const char any_folder[] = "/proc";

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", any_folder, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k") ||
	    chdir(any_folder) || chroot("."))
		return -errno;
	return 0;
}

static int become_user(uid_t uid)
{
	return setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ? -errno : 0;
}

int device_sandbox_enter(const struct device_sandbox *sandbox)
{
	const struct rlimit none = { 0, 0 }, all = { RLIM_INFINITY, RLIM_INFINITY };
	const struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	int r = 0;

	/* VTL2 has no swap: a lock that is refused costs nothing there. Nothing is made to be there that is not used. */
	(void)!setrlimit(RLIMIT_MEMLOCK, &all);
	(void)!mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	/* who starts it without being root has neither files of root's nor another user to give */
	if (!geteuid()) {
		r = empty_root();
		if (!r)
			r = become_user(sandbox->uid);
	}
	if (r)
		return r;
	/* a new user's process is not dumpable: what a core helper may have must be said */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, sandbox->cores) || setrlimit(RLIMIT_CORE, &none) ||
	    syscall(SYS_capset, &header, nothing))
		return -errno;
	return filter_calls();
}
