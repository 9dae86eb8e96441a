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
/* count elements follow, at most 255 */
size_t aml_package(struct aml *a, unsigned count);
void aml_close(struct aml *a, size_t mark);
void aml_name(struct aml *a, const char *name);
void aml_integer(struct aml *a, u64 value);
void aml_string(struct aml *a, const char *text);
/* "PNP0501" */
void aml_eisa(struct aml *a, const char *id);
void aml_buffer(struct aml *a, const void *data, u8 len);
/* a method of that many arguments, one call at a time; what follows, up to aml_close(), is its body */
size_t aml_method(struct aml *a, const char *name, u8 arguments);
/* ports that fields may stand for; fields of 32 bits, one after the other: their names, four letters each */
void aml_ports(struct aml *a, const char *region, u16 base, u8 len, const char *fields);
/* what is done, up to aml_close(), when what is put first is not 0 */
size_t aml_if(struct aml *a);
/* likewise, when (Argument == value) */
size_t aml_if_argument(struct aml *a, u8 argument, u64 value);
size_t aml_if_argument_is(struct aml *a, u8 argument, const void *bytes, u8 len);
/* opcodes that the above and their users put together (20.2.5, 20.2.6) */
enum { AML_LOCAL0 = 0x60, AML_ARG0 = 0x68, AML_STORE = 0x70, AML_DEREF = 0x83, AML_SIZEOF = 0x87, AML_INDEX = 0x88,
       AML_EQUAL = 0x93, AML_GREATER = 0x94, AML_IF = 0xa0, AML_RETURN = 0xa4 };
void aml_return_integer(struct aml *a, u64 value);
/* Name (_CRS, Buffer): resources in between; aml_crs_close() adds the end tag */
size_t aml_crs_open(struct aml *a);
void aml_crs_close(struct aml *a, size_t mark);
void aml_res_io(struct aml *a, u16 base, u8 len);
void aml_res_irq(struct aml *a, unsigned line);
void aml_res_memory(struct aml *a, u32 base, u32 len);
/* producers: windows for children. A word each: bus numbers, ports; of memory. */
void aml_res_bus(struct aml *a, u16 first, u16 count);
void aml_res_io_window(struct aml *a, u16 base, u32 len);
void aml_res_window(struct aml *a, u64 base, u64 len);
