/* The identity map that VTL2 is entered with: 2 MiB pages over its memory, four levels. */
#pragma once

#include "lib/core/types.h"

/*
 * Writes tables that map [base, base+size) to itself, both 2 MiB aligned, into pages (room for page_max);
 * the first page is the root and lies at table_gpa. Returns how many pages are used, 0 when page_max is
 * too few.
 */
u32 page_table_build(u64 base, u64 size, u64 table_gpa, u64 *pages, u32 page_max);
/* pages to reserve so that a host can move the map to any other 2 MiB aligned address */
u32 page_table_reserve(u64 base, u64 size);
