/* What this process holds of the kernel beneath, as that kernel counts it: what grows there with each reset is a leak. */
#pragma once

#include <stdio.h>

/* descriptors by kind, threads, mappings, memory. Loop thread. */
void process_print(FILE *out);
