#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/core/bytes.h"
#include "lib/core/crc32.h"
#include "lib/igvm/body.h"
#include "lib/igvm/igvm.h"

enum section { SECTION_PLATFORM, SECTION_INIT, SECTION_DIRECTIVE, SECTION_NONE };

static __printf(3, 4) int bad_file(char *err, size_t err_len, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, err_len, format, args);
	va_end(args);
	return -EINVAL;
}

static int check_checksum(const struct igvm_file *f, const struct igvm_fixed_header *fixed, u32 fixed_len, char *err,
			  size_t err_len)
{
	struct igvm_fixed_header blank = *fixed;
	u32 crc;

	blank.checksum = 0;
	crc = crc32_update(0, &blank, sizeof(blank));
	crc = crc32_update(crc, f->data + sizeof(blank), fixed_len - sizeof(blank));
	crc = crc32_update(crc, f->data + f->headers_start, f->headers_end - f->headers_start);
	if (crc != fixed->checksum)
		return bad_file(err, err_len, "header checksum is 0x%08x, the headers give 0x%08x; the file is "
				"damaged, copy or build it again", fixed->checksum, crc);
	return 0;
}

static int check_version(const struct igvm_file *f, char *err, size_t err_len)
{
	struct igvm_fixed_header_v2_tail tail;

	if (f->format_version == IGVM_FORMAT_VERSION_1)
		return 0;
	if (f->format_version != IGVM_FORMAT_VERSION_2)
		return bad_file(err, err_len, "format version %u; versions 1 and 2 can be read", f->format_version);
	if (f->len < sizeof(struct igvm_fixed_header) + sizeof(tail))
		return bad_file(err, err_len, "file ends within its version 2 fixed header; copy it again");
	__builtin_memcpy(&tail, f->data + sizeof(struct igvm_fixed_header), sizeof(tail));
	if (tail.architecture || tail.page_size != PAGE_SIZE)
		return bad_file(err, err_len, "architecture %u with pages of %u bytes; only x64 (0) with 4096 can be read",
				tail.architecture, tail.page_size);
	return 0;
}

static int read_fixed(struct igvm_file *f, char *err, size_t err_len)
{
	struct igvm_fixed_header fixed;
	u32 fixed_len = sizeof(fixed);
	int r;

	if (f->len < sizeof(fixed))
		return bad_file(err, err_len, "file has %zu bytes, less than an IGVM header; is it the right file?", f->len);
	__builtin_memcpy(&fixed, f->data, sizeof(fixed));
	if (fixed.magic != IGVM_MAGIC)
		return bad_file(err, err_len, "file starts with 0x%08x instead of \"IGVM\"; is it the right file?",
				fixed.magic);
	f->format_version = fixed.format_version;
	r = check_version(f, err, err_len);
	if (r)
		return r;
	if (f->format_version == IGVM_FORMAT_VERSION_2)
		fixed_len += sizeof(struct igvm_fixed_header_v2_tail);
	if (fixed.total_file_size != f->len)
		return bad_file(err, err_len, "header says 0x%x bytes, file has 0x%zx; it is cut off or has bytes "
				"appended, copy it again", fixed.total_file_size, f->len);
	if (fixed.variable_header_offset < fixed_len || !IS_ALIGNED(fixed.variable_header_offset, 8) ||
	    !range_within(fixed.variable_header_offset, fixed.variable_header_size, 0, f->len))
		return bad_file(err, err_len, "variable headers at 0x%x, 0x%x bytes, do not lie in the file behind its "
				"fixed header; rebuild it", fixed.variable_header_offset, fixed.variable_header_size);
	f->headers_start = fixed.variable_header_offset;
	f->headers_end = fixed.variable_header_offset + fixed.variable_header_size;
	return check_checksum(f, &fixed, fixed_len, err, err_len);
}

static enum section section_of(u32 type)
{
	if (type >= IGVM_RANGE_PLATFORM_FIRST && type <= IGVM_RANGE_PLATFORM_LAST)
		return SECTION_PLATFORM;
	if (type >= IGVM_RANGE_INIT_FIRST && type <= IGVM_RANGE_INIT_LAST)
		return SECTION_INIT;
	if (type >= IGVM_RANGE_DIRECTIVE_FIRST && type <= IGVM_RANGE_DIRECTIVE_LAST)
		return SECTION_DIRECTIVE;
	return SECTION_NONE;
}

static u32 mask_of(const struct igvm_header *h)
{
	switch (h->type) {
	case IGVM_SUPPORTED_PLATFORM:
		return h->body.platform.compatibility_mask;
	case IGVM_GUEST_POLICY:
		return h->body.policy.compatibility_mask;
	case IGVM_RELOCATABLE_REGION:
		return h->body.relocatable.compatibility_mask;
	case IGVM_PAGE_TABLE_RELOCATION_REGION:
		return h->body.page_table.compatibility_mask;
	case IGVM_PAGE_DATA:
		return h->body.page.compatibility_mask;
	case IGVM_PARAMETER_INSERT:
		return h->body.insert.compatibility_mask;
	case IGVM_VP_CONTEXT:
		return h->body.vp.compatibility_mask;
	case IGVM_REQUIRED_MEMORY:
		return h->body.required.compatibility_mask;
	case IGVM_ERROR_RANGE:
		return h->body.error_range.compatibility_mask;
	default:
		return ~0u;
	}
}

/* the header at cursor; false when it does not fit into [at, headers_end) */
static bool decode(struct igvm_cursor *c, struct igvm_header *h)
{
	const struct igvm_file *f = c->file;
	struct bytes b = bytes_of(f->data + c->at, f->headers_end - c->at);
	struct bytes body;
	u32 raw, length, expected;

	*h = (struct igvm_header){ .index = c->index, .offset = c->at };
	if (!bytes_u32(&b, &raw) || !bytes_u32(&b, &length))
		return false;
	h->type = raw & ~IGVM_OPTIONAL_BIT;
	h->optional = raw & IGVM_OPTIONAL_BIT;
	h->length = length;
	h->known = igvm_type_name(h->type);
	if (!bytes_take(&b, length, &body) || !bytes_skip(&b, ALIGN_UP((u64)length, 8) - length))
		return false;
	expected = igvm_body_length(h->type);
	if (expected && length == expected)
		__builtin_memcpy(&h->body, body.at, expected);
	h->compatibility_mask = mask_of(h);
	c->at = f->headers_end - (u32)b.left;
	c->index++;
	return true;
}

static int check_padding(struct igvm_check *check)
{
	const struct igvm_header *h = check->header;
	const u8 *p = check->file->data + h->offset + sizeof(struct igvm_variable_header);

	for (u64 i = h->length; i < ALIGN_UP((u64)h->length, 8); i++)
		if (p[i])
			return igvm_bad(check, "padding behind the body is not zero; rebuild the file");
	return 0;
}

static int check_header(struct igvm_check *check, enum section *section)
{
	const struct igvm_header *h = check->header;
	enum section of = section_of(h->type);
	u32 expected = igvm_body_length(h->type);
	int r = check_padding(check);

	if (r)
		return r;
	if (!h->known) {
		check->file->skipped_count++;
		return h->optional ? 0 : igvm_bad(check, "type 0x%x is unknown and not marked optional; a newer "
						  "loader is needed", h->type);
	}
	if (of < *section)
		return igvm_bad(check, "stands behind a header of a later section; platform headers come first, then "
				"initialisation, then directives");
	*section = of;
	if (expected && h->length != expected)
		return igvm_bad(check, "body has 0x%x bytes, this type has 0x%x; rebuild the file", h->length, expected);
	return igvm_check_body(check);
}

int igvm_open(const u8 *data, size_t len, struct igvm_file *ret, char *err, size_t err_len)
{
	struct igvm_file f = { .data = data, .len = len };
	struct igvm_header h;
	struct igvm_check check = { &f, &h, err, err_len };
	enum section section = SECTION_PLATFORM;
	struct igvm_cursor cursor;
	int r = read_fixed(&f, err, err_len);

	if (r)
		return r;
	cursor = igvm_headers(&f);
	while (cursor.at < f.headers_end) {
		if (!decode(&cursor, &h))
			return igvm_bad(&check, "passes the end of the headers at 0x%x; rebuild the file", f.headers_end);
		r = check_header(&check, &section);
		if (r)
			return r;
	}
	f.header_count = cursor.index;
	if (!f.platform_count)
		return bad_file(err, err_len, "no SUPPORTED_PLATFORM header; rebuild the file");
	*ret = f;
	return 0;
}

struct igvm_cursor igvm_headers(const struct igvm_file *file)
{
	return (struct igvm_cursor){ .file = file, .at = file->headers_start };
}

bool igvm_next(struct igvm_cursor *cursor, struct igvm_header *ret)
{
	return cursor->at < cursor->file->headers_end && decode(cursor, ret);
}

u64 igvm_vp_gpa(const struct igvm_vp_context *vp)
{
	return vp->gpa[0] | (u64)vp->gpa[1] << 32;
}

const u8 *igvm_page_bytes(const struct igvm_file *file, const struct igvm_page_data *page, u64 *ret_len)
{
	*ret_len = page->flags & IGVM_PAGE_DATA_2MB ? 2 * MiB : PAGE_SIZE;
	return page->file_offset ? file->data + page->file_offset : NULL;
}

const u8 *igvm_area_bytes(const struct igvm_file *file, const struct igvm_parameter_area *area)
{
	return area->file_offset ? file->data + area->file_offset : NULL;
}

u32 igvm_register_count(const struct igvm_file *file, const struct igvm_vp_context *vp)
{
	const struct igvm_supported_platform *p = igvm_platform(file, IGVM_PLATFORM_VSM_ISOLATION);
	u32 count;

	if (!p || !(vp->compatibility_mask & p->compatibility_mask))
		return 0;
	__builtin_memcpy(&count, file->data + vp->file_offset, sizeof(count));
	return count;
}

struct igvm_register igvm_register_at(const struct igvm_file *file, const struct igvm_vp_context *vp, u32 index)
{
	struct igvm_vbs_register raw;
	struct igvm_register reg;

	__builtin_memcpy(&raw, file->data + vp->file_offset + sizeof(u32) + (size_t)index * sizeof(raw), sizeof(raw));
	reg.vtl = raw.vtl;
	__builtin_memcpy(&reg.name, raw.name, sizeof(reg.name));
	__builtin_memcpy(reg.value, raw.value, sizeof(reg.value));
	return reg;
}

const struct igvm_supported_platform *igvm_platform(const struct igvm_file *file, u8 platform_type)
{
	for (u32 i = 0; i < file->platform_count; i++)
		if (file->platforms[i].platform_type == platform_type)
			return &file->platforms[i];
	return NULL;
}
