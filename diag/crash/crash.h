/*
 * The crash helper: the kernel starts it for each process of VTL2 that dies of a signal which leaves a core, with the core on
 * its standard input (core(5)); it sends the core to the host. One thread; the dying process waits until it ends.
 */
#pragma once

/* crash PID TID SIGNAL COMM. Ends within 15 seconds whatever happens; an exit status, with a line in the kernel log. */
int crash_main(int argc, char **argv);
