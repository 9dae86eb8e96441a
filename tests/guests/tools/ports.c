/*
 * ports PORT COUNT [SIZE]: reads an I/O port COUNT times from user space; prints the last value. With a SIZE of 1, 2 or 4 by one
 * string instruction of that many elements, and prints how many of them are not all ones. Run in the guest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>

/* into fresh pages: the first touch of each is the instruction's */
static int string(unsigned short port, unsigned long count, unsigned long size)
{
	unsigned char *buffer = malloc(count * size + 8192), *end = buffer;
	unsigned long left = count, other = 0;

	if (!buffer || (size != 1 && size != 2 && size != 4))
		return 1;
	if (size == 1)
		__asm__ volatile("rep insb" : "+D"(end), "+c"(left) : "d"(port) : "memory");
	else if (size == 2)
		__asm__ volatile("rep insw" : "+D"(end), "+c"(left) : "d"(port) : "memory");
	else
		__asm__ volatile("rep insl" : "+D"(end), "+c"(left) : "d"(port) : "memory");
	for (unsigned long i = 0; i < count; i++)
		other += memcmp(buffer + i * size, "\377\377\377\377", size) != 0;
	printf("%lu of %lu, moved %lu, left %lu\n", other, count, (unsigned long)(end - buffer) / size, left);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4) {
		fputs("Usage: ports PORT COUNT [SIZE]\n", stderr);
		return 2;
	}
	unsigned short port = (unsigned short)strtoul(argv[1], NULL, 0);
	unsigned long count = strtoul(argv[2], NULL, 0);
	unsigned value = 0;

	if (iopl(3)) {
		perror("ports: iopl");
		return 1;
	}
	if (argc == 4)
		return string(port, count, strtoul(argv[3], NULL, 0));
	for (unsigned long i = 0; i < count; i++)
		value = inb(port);
	printf("%#x\n", value);
	return 0;
}
