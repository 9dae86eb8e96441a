/* ports PORT COUNT: reads an I/O port COUNT times from user space; prints the last value. Run in the guest. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("Usage: ports PORT COUNT\n", stderr);
		return 2;
	}
	unsigned short port = (unsigned short)strtoul(argv[1], NULL, 0);
	unsigned long count = strtoul(argv[2], NULL, 0);
	unsigned value = 0;

	if (iopl(3)) {
		perror("ports: iopl");
		return 1;
	}
	for (unsigned long i = 0; i < count; i++)
		value = inb(port);
	printf("%#x\n", value);
	return 0;
}
