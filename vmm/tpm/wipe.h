/* The end of a process that knows secrets. */
#pragma once

/* first thing in main(): where the heap begins */
void wipe_init(void);
/* zeroes what the program may have written in its data, its heap (all by brk) and its stack, and ends it, running nothing else */
_Noreturn void wipe_and_exit(int status);
