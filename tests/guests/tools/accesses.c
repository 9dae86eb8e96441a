/*
 * accesses mmio ADDRESS COUNT, or accesses msr NUMBER COUNT: reads a device's register of 4 bytes through /dev/mem, or an MSR of
 * the first processor through /dev/cpu/0/msr, COUNT times from user space; prints the last value. Run in the guest.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int mmio(unsigned long address, unsigned long count)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	void *page = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(address & ~0xffful));
	uint32_t value = 0;

	if (page == MAP_FAILED) {
		perror("accesses: /dev/mem");
		return 1;
	}
	for (unsigned long i = 0; i < count; i++)
		value = *(volatile uint32_t *)((char *)page + (address & 0xfff));
	printf("%#x\n", value);
	return 0;
}

static int msr(unsigned long number, unsigned long count)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY);
	uint64_t value = 0;

	for (unsigned long i = 0; i < count; i++)
		if (fd < 0 || pread(fd, &value, sizeof(value), (off_t)number) != sizeof(value)) {
			perror("accesses: /dev/cpu/0/msr");
			return 1;
		}
	printf("%#llx\n", (unsigned long long)value);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "mmio"))
		return mmio(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	if (argc == 4 && !strcmp(argv[1], "msr"))
		return msr(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0));
	fputs("Usage: accesses mmio ADDRESS COUNT\n       accesses msr NUMBER COUNT\n", stderr);
	return 2;
}
