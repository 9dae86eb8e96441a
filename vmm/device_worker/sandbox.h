/*
 * What a device's process gives up before it reads its first message. Afterwards it can read and write the descriptors it has,
 * get memory that cannot be run, and end: no files, no sockets of its own, no other process; anything else kills it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct device_sandbox {
	uid_t uid;  /* its own, when it was started as root: no other process has it, so none reads its memory */
	/*
	 * A core may be made when it crashes: of the firmware's crash helper, which keeps nothing of it but where each function
	 * was called from (diag/crash/scrub.h). Else none is made, and it is unreadable even to processes of its uid.
	 */
	bool cores;
};

/*
 * Call it once, single-threaded, after all that the device needs was opened. Afterwards: no capabilities, an empty root folder,
 * memory that no other may look into but one with CAP_SYS_PTRACE, and few system calls. -errno: then the process must end.
 */
int device_sandbox_enter(const struct device_sandbox *sandbox) __attribute__((warn_unused_result));
