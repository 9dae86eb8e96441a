/* `perf PID SECONDS HERTZ`: where a process of the firmware spends its time, by sampling. Run in VTL2 by `pvdiag perf-trace`. */
#pragma once

int perf_main(int argc, char **argv);
