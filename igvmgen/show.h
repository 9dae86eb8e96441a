#pragma once

#include <stdio.h>

#include "lib/igvm/igvm.h"

/* prints every header of a checked file, runs of pages joined; any IGVM file, not only ours */
void show_text(const struct igvm_file *file, FILE *out);
/* the same as one JSON object */
void show_json(const struct igvm_file *file, FILE *out);
