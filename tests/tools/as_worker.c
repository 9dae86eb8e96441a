/*
 * as_worker WORKER TARGET: what a process with WORKER's capabilities gets of the process TARGET. As root, in VTL2. Prints a line
 * for each way in, and ends with 0 when none is open. WORKER 0: with all that this process has, to see that the ways are ways.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define THEN "--then"
#define TARGET_UID 7001 /* vmm/tpm/main.c */

static int opens_of;

static void says(const char *way, bool open)
{
	printf("%s: %s\n", way, open ? "OPEN" : strerror(errno));
	opens_of += open;
}

static bool bounding_set(const char *pid, unsigned long long *ret)
{
	char name[64], text[200];
	bool found = false;

	snprintf(name, sizeof(name), "/proc/%s/status", pid);
	FILE *f = fopen(name, "r");

	while (f && !found && fgets(text, sizeof(text), f))
		found = sscanf(text, "CapBnd: %llx", ret) == 1;
	if (f)
		fclose(f);
	return found;
}

static void file(const char *target, const char *what)
{
	char name[64], byte;

	snprintf(name, sizeof(name), "/proc/%s/%s", target, what);
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	/* there is no page 0 */
	says(what, fd >= 0 && (read(fd, &byte, 1) >= 0 || errno == EIO));
	if (fd >= 0)
		close(fd);
}

static void memory_of(pid_t target)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)0x1000, 1 };
	ssize_t n = process_vm_readv(target, &here, 1, &there, 1, 0);

	says("process_vm_readv", n >= 0 || errno == EFAULT);
}

static void descriptor_of(pid_t target)
{
	int pidfd = (int)syscall(SYS_pidfd_open, target, 0), fd = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);

	says("pidfd_getfd", fd >= 0);
	if (fd >= 0)
		close(fd);
}

static void traced(pid_t target)
{
	bool open = !ptrace(PTRACE_SEIZE, target, NULL, NULL);

	says("ptrace", open);
	if (open)
		ptrace(PTRACE_DETACH, target, NULL, NULL);
}

/* becoming what TARGET is, in a child: it would not come back */
static void become(void)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(setresuid(TARGET_UID, TARGET_UID, TARGET_UID) ? errno : 0);
	if (waitpid(child, &status, 0) != child)
		return;
	errno = WEXITSTATUS(status);
	says("setresuid", !errno);
}

static int look(const char *target)
{
	pid_t pid = (pid_t)strtol(target, NULL, 10);

	file(target, "mem");
	/* its addresses, as in maps, are no secret: who has CAP_SYS_ADMIN reads them */
	memory_of(pid);
	descriptor_of(pid);
	traced(pid);
	says("kill", !kill(pid, 0));
	become();
	return opens_of;
}

int main(int argc, char **argv)
{
	unsigned long long kept = ~0ull;

	if (argc == 3 && !strcmp(argv[1], THEN))
		return look(argv[2]) != 0;
	if (argc != 3 || (strcmp(argv[1], "0") && !bounding_set(argv[1], &kept))) {
		fputs("usage: as_worker WORKER TARGET\n", stderr);
		return 2;
	}
	for (int i = 0; i <= CAP_LAST_CAP; i++)
		if (!(kept >> i & 1) && prctl(PR_CAPBSET_DROP, i)) {
			perror("as_worker: a capability cannot be dropped");
			return 2;
		}
	/* what root gets by starting a program is what is left of the bounding set */
	char *again[] = { argv[0], (char[]){ THEN }, argv[2], NULL };

	execv("/proc/self/exe", again);
	perror("as_worker");
	return 2;
}
