/* Inside host/load: one load in progress. */
#pragma once

#include "host/load/igvm_load.h"

#define LOAD_AREA_SIZE_MAX (16 * MiB)
#define LOAD_TABLES_SIZE_MAX (16 * MiB)

struct load_area {
	u32 index;
	u64 size;
	u8 *bytes;
};

struct load_run {
	u64 base, end;
};

struct loader {
	const struct igvm_file *file;
	const struct load_request *request;
	u32 mask; /* of the platform we are */
	char *err;
	size_t err_len;

	/* VTL2's region as built, and how far it moves; moving only when the file has such a region */
	bool relocatable, moving;
	struct igvm_relocatable_region region;
	u64 delta; /* modulo 2^64 */
	bool has_tables;
	struct igvm_page_table_relocation tables;
	u8 *table_bytes; /* tables.size bytes while moving */
	u64 cr3, cr4; /* of VTL2 as built */

	struct load_area areas[IGVM_AREA_MAX];
	u32 area_count;
	struct load_run *runs; /* what has been written, to find double writes */
	u32 run_count, run_room;

	struct load_register *regs;
	u32 reg_count, reg_max;
};

/* one line into loader->err; returns -EINVAL */
int load_bad(struct loader *l, const char *format, ...) __printf(2, 3);

/* relocate.c: find regions and the distance; -EINVAL when the file cannot go where the request wants it */
int relocate_prepare(struct loader *l) __must_check;
u64 relocate_gpa(const struct loader *l, u64 gpa);
/* is gpa in the page tables that are going to be rebuilt? */
bool relocate_is_table(const struct loader *l, u64 gpa);
/* the value VTL2's register starts with */
struct igvm_register relocate_register(const struct loader *l, struct igvm_register r);
/* rebuild the tables kept in table_bytes for the new place, in place */
int relocate_tables(struct loader *l) __must_check;

/* parameters.c */
int parameters_area(struct loader *l, const struct igvm_parameter_area *area) __must_check;
int parameters_fill(struct loader *l, const struct igvm_header *h) __must_check;
struct load_area *parameters_find(struct loader *l, u32 index);
