/* A small AML writer (ACPI 6.5, chapter 20). Packages nest: mark = aml_open(); …; aml_close(mark). Sticky overflow. */
#pragma once

#include "lib/core/types.h"

struct aml {
	u8 *data;
	size_t len, room;
	bool failed;
};

void aml_put(struct aml *a, const void *data, size_t len);
void aml_byte(struct aml *a, u8 value);
/* "\\_SB_" style path of one or two 4-character segments; op is the opcode in front, 0: none */
size_t aml_scope(struct aml *a, const char *path);
size_t aml_device(struct aml *a, const char *name);
void aml_close(struct aml *a, size_t mark);
void aml_name(struct aml *a, const char *name);
void aml_integer(struct aml *a, u64 value);
void aml_string(struct aml *a, const char *text);
/* "PNP0501" */
void aml_eisa(struct aml *a, const char *id);
/* Name (_CRS, Buffer): resources in between; aml_crs_close() adds the end tag */
size_t aml_crs_open(struct aml *a);
void aml_crs_close(struct aml *a, size_t mark);
void aml_res_io(struct aml *a, u16 base, u8 len);
void aml_res_irq(struct aml *a, unsigned line);
/* producers: windows for children. A word each: bus numbers, ports; of memory. */
void aml_res_bus(struct aml *a, u16 first, u16 count);
void aml_res_io_window(struct aml *a, u16 base, u32 len);
void aml_res_window(struct aml *a, u64 base, u64 len);
