/* The shim's few dealings with the machine. Boot processor only, interrupts off. */
#pragma once

#include "lib/core/types.h"

/* is this a Hyper-V style hypervisor, and which of its MSRs may we touch? Call once, before the others. */
void machine_detect(void);
/* partition reference time in 100 ns; false when the hypervisor offers none */
bool machine_reference_time(u64 *ret);
/*
 * tell the hypervisor that VTL2 has given up: text lies at its physical address. Returns when it does not
 * listen.
 */
void machine_report_crash(u64 code, u64 rip, const char *text, u32 len);
_Noreturn void machine_stop(void);

/* COM3 as a console: 115200 8n1, polled; a port that never gets ready is left alone */
void serial_init(void);
void serial_write(const char *text, u32 len);
