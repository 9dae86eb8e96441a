#include "vmm/loader/aml.h"

#include <string.h>

void aml_put(struct aml *a, const void *data, size_t len)
{
	if (a->failed || len > a->room - a->len) {
		a->failed = true;
		return;
	}
	memcpy(a->data + a->len, data, len);
	a->len += len;
}

void aml_byte(struct aml *a, u8 value)
{
	aml_put(a, &value, 1);
}

/* package lengths are always written in their 3-byte form: 4 + 8 + 8 bits (20.2.4) */
static size_t open_package(struct aml *a)
{
	static const u8 hole[3];

	aml_put(a, hole, sizeof(hole));
	return a->len;
}

void aml_close(struct aml *a, size_t mark)
{
	if (a->failed)
		return;
	size_t len = a->len - mark + 3;

	a->data[mark - 3] = (u8)(0x80 | (len & 0xf));
	a->data[mark - 2] = (u8)(len >> 4);
	a->data[mark - 1] = (u8)(len >> 12);
}

size_t aml_scope(struct aml *a, const char *path)
{
	aml_byte(a, 0x10);
	size_t mark = open_package(a);

	aml_put(a, path, strlen(path));
	return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
	aml_put(a, "\x5b\x82", 2);
	size_t mark = open_package(a);

	aml_put(a, name, 4);
	return mark;
}

size_t aml_package(struct aml *a, unsigned count)
{
	aml_byte(a, 0x12);
	size_t mark = open_package(a);

	aml_byte(a, (u8)count);
	return mark;
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, 0x08);
	aml_put(a, name, 4);
}

void aml_integer(struct aml *a, u64 value)
{
	if (value <= 1) {
		aml_byte(a, (u8)value);
	} else if (value <= 0xff) {
		aml_byte(a, 0x0a);
		aml_put(a, &value, 1);
	} else if (value <= 0xffff) {
		aml_byte(a, 0x0b);
		aml_put(a, &value, 2);
	} else if (value <= 0xffffffffu) {
		aml_byte(a, 0x0c);
		aml_put(a, &value, 4);
	} else {
		aml_byte(a, 0x0e);
		aml_put(a, &value, 8);
	}
}

void aml_string(struct aml *a, const char *text)
{
	aml_byte(a, 0x0d);
	aml_put(a, text, strlen(text) + 1);
}

static u32 hex(char c)
{
	return c <= '9' ? (u32)(c - '0') : (u32)(c - 'A' + 10);
}

/* three 5-bit letters, four digits, big endian (19.3.4) */
void aml_eisa(struct aml *a, const char *id)
{
	u32 value = (u32)(id[0] - 0x40) << 26 | (u32)(id[1] - 0x40) << 21 | (u32)(id[2] - 0x40) << 16 | hex(id[3]) << 12 |
		    hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);

	aml_byte(a, 0x0c);
	value = __builtin_bswap32(value);
	aml_put(a, &value, 4);
}

void aml_buffer(struct aml *a, const void *data, u8 len)
{
	aml_byte(a, 0x11);
	size_t mark = open_package(a);

	aml_put(a, (u8[]){ 0x0a, len }, 2);
	aml_put(a, data, len);
	aml_close(a, mark);
}

size_t aml_method(struct aml *a, const char *name, u8 arguments)
{
	aml_byte(a, 0x14);
	size_t mark = open_package(a);

	aml_put(a, name, 4);
	aml_byte(a, arguments | 8);
	return mark;
}

void aml_ports(struct aml *a, const char *region, u16 base, u8 len, const char *fields)
{
	aml_put(a, "\x5b\x80", 2);
	aml_put(a, region, 4);
	aml_byte(a, 1); /* system I/O */
	aml_integer(a, base);
	aml_integer(a, len);
	aml_put(a, "\x5b\x81", 2);
	size_t mark = open_package(a);

	aml_put(a, region, 4);
	aml_byte(a, 3); /* 32 bits at a time, no lock, what is beside is kept */
	for (; *fields; fields += 4) {
		aml_put(a, fields, 4);
		aml_byte(a, 32);
	}
	aml_close(a, mark);
}

size_t aml_if(struct aml *a)
{
	aml_byte(a, AML_IF);
	return open_package(a);
}

size_t aml_if_argument(struct aml *a, u8 argument, u64 value)
{
	size_t mark = aml_if(a);

	aml_put(a, (u8[]){ AML_EQUAL, (u8)(AML_ARG0 + argument) }, 2);
	aml_integer(a, value);
	return mark;
}

size_t aml_if_argument_is(struct aml *a, u8 argument, const void *bytes, u8 len)
{
	size_t mark = aml_if(a);

	aml_put(a, (u8[]){ AML_EQUAL, (u8)(AML_ARG0 + argument) }, 2);
	aml_buffer(a, bytes, len);
	return mark;
}

void aml_return_integer(struct aml *a, u64 value)
{
	aml_byte(a, AML_RETURN);
	aml_integer(a, value);
}

size_t aml_crs_open(struct aml *a)
{
	aml_name(a, "_CRS");
	aml_byte(a, 0x11);
	size_t mark = open_package(a);

	aml_put(a, "\x0b\x00\x00", 3); /* the buffer's size as a word: filled in at the end */
	return mark;
}

void aml_crs_close(struct aml *a, size_t mark)
{
	aml_put(a, "\x79\x00", 2);
	if (a->failed)
		return;
	u16 len = (u16)(a->len - mark - 3);

	memcpy(a->data + mark + 1, &len, 2);
	aml_close(a, mark);
}

void aml_res_io(struct aml *a, u16 base, u8 len)
{
	const u8 raw[] = { 0x47, 1, (u8)base, (u8)(base >> 8), (u8)base, (u8)(base >> 8), 1, len };

	aml_put(a, raw, sizeof(raw));
}

void aml_res_irq(struct aml *a, unsigned line)
{
	const u8 raw[] = { 0x22, (u8)(1u << line), (u8)(1u << line >> 8) };

	aml_put(a, raw, sizeof(raw));
}

/* Memory32Fixed (6.4.3.4), writable */
void aml_res_memory(struct aml *a, u32 base, u32 len)
{
	aml_put(a, "\x86\x09\x00\x01", 4);
	aml_put(a, &base, sizeof(base));
	aml_put(a, &len, sizeof(len));
}

/* Word address space (6.4.3.5.3): min and max fixed, positive decode */
static void word_space(struct aml *a, u8 type, u8 flags, u32 base, u32 len)
{
	const u8 head[] = { 0x88, 0x0d, 0, type, 0x0c, flags };
	const u16 fields[] = { 0, (u16)base, (u16)(base + len - 1), 0, (u16)len };

	aml_put(a, head, sizeof(head));
	aml_put(a, fields, sizeof(fields));
}

void aml_res_bus(struct aml *a, u16 first, u16 count)
{
	word_space(a, 2, 0, first, count);
}

void aml_res_io_window(struct aml *a, u16 base, u32 len)
{
	word_space(a, 1, 3, base, len); /* ISA and other ports */
}

void aml_res_window(struct aml *a, u64 base, u64 len)
{
	/* QWord address space (6.4.3.5.1): memory, producer, min and max fixed, positive decode; read/write, cacheable */
	const u8 head[] = { 0x8a, 0x2b, 0, 0, 0x0c, 0x03 };
	const u64 fields[] = { 0, base, base + len - 1, 0, len };

	aml_put(a, head, sizeof(head));
	aml_put(a, fields, sizeof(fields));
}
