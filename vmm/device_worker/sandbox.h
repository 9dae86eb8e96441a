/*
 * What a device's process gives up before it reads its first message. Afterwards it can read and write the descriptors it has,
 * get memory that cannot be run, and end: no files, no sockets of its own, no other process; anything else kills it.
 */
#pragma once

/*
 * Call it once, single-threaded, after all that the device needs was opened. No core is made of the process, and no other may
 * look into its memory but one with CAP_SYS_PTRACE. -errno: then the process must end.
 */
int device_sandbox_enter(void) __attribute__((warn_unused_result));
