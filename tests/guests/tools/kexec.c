/*
 * kexec KERNEL INITRD COMMAND-LINE: ends this kernel and starts that one, without the firmware being asked: what devices hold
 * for the old kernel must be let go by word of the kernels alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LINUX_REBOOT_CMD_KEXEC
#define LINUX_REBOOT_CMD_KEXEC 0x45584543
#endif

int main(int argc, char **argv)
{
	int kernel, initrd;

	if (argc != 4) {
		fprintf(stderr, "Usage: kexec KERNEL INITRD COMMAND-LINE\n");
		return 2;
	}
	kernel = open(argv[1], O_RDONLY | O_CLOEXEC);
	initrd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (kernel < 0 || initrd < 0) {
		fprintf(stderr, "kexec: %s: %s\n", kernel < 0 ? argv[1] : argv[2], strerror(errno));
		return 1;
	}
	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3], 0)) {
		fprintf(stderr, "kexec: the kernel is not taken: %s\n", strerror(errno));
		return 1;
	}
	sync();
	if (syscall(SYS_reboot, 0xfee1dead, 0x28121969, LINUX_REBOOT_CMD_KEXEC, NULL))
		fprintf(stderr, "kexec: %s\n", strerror(errno));
	return 1;
}
