#include "vmm/tpm/wipe.h"

#include <sys/syscall.h>
#include <unistd.h>

#define STACK_DEEP (512 * 1024) /* deeper than libtpms and libcrypto were seen to go */

/* of the linker: the first byte of the data, and of what comes behind it */
extern char __data_start[], _end[];

static char *heap_start;

/* nothing of the C library: it may want its own data while that is being wiped */
static void zero(char *from, char *to)
{
	for (volatile char *at = from; at < to; at++)
		*at = 0;
}

static long call(long number, long argument)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(argument) : "rcx", "r11", "memory");
	return result;
}

void wipe_init(void)
{
	heap_start = sbrk(0);
}

/* what was called before lies below this function's own frame */
static void zero_stack(void)
{
	char *here = __builtin_frame_address(0);

	zero(here - STACK_DEEP, here - 4096);
}

_Noreturn void wipe_and_exit(int status)
{
	zero(heap_start, (char *)call(SYS_brk, 0));
	zero(__data_start, _end);
	zero_stack();
	for (;;)
		call(SYS_exit_group, status);
}
