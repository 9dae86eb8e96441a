#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/crc32.h"
#include "lib/core/grow.h"
#include "lib/igvm/igvm.h"

/* every body with a file offset has it here; while writing it holds 1 + offset within the data, 0 for none */
#define FILE_OFFSET_AT 12u
_Static_assert(offsetof(struct igvm_page_data, file_offset) == FILE_OFFSET_AT, "see FILE_OFFSET_AT");
_Static_assert(offsetof(struct igvm_parameter_area, file_offset) == FILE_OFFSET_AT, "see FILE_OFFSET_AT");
_Static_assert(offsetof(struct igvm_vp_context, file_offset) == FILE_OFFSET_AT, "see FILE_OFFSET_AT");

static void append(struct igvm_writer *w, struct igvm_buffer *b, const void *bytes, size_t len)
{
	if (w->failed || !len)
		return;
	if (!grow(&b->bytes, &b->room, b->len + len, 65536)) {
		w->failed = true;
		return;
	}
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
}

static u32 append_data(struct igvm_writer *w, const void *bytes, size_t len)
{
	size_t at = w->data.len;

	append(w, &w->data, bytes, len);
	/* too long a file is found out by igvm_writer_finish() */
	return (u32)at + 1;
}

void igvm_writer_init(struct igvm_writer *w)
{
	*w = (struct igvm_writer){ 0 };
}

void igvm_writer_fini(struct igvm_writer *w)
{
	free(w->headers.bytes);
	free(w->data.bytes);
	*w = (struct igvm_writer){ 0 };
}

void igvm_writer_header(struct igvm_writer *w, u32 type, const void *body, u32 len)
{
	static const u8 zeroes[8];
	struct igvm_variable_header h = { .type = type, .length = len };

	append(w, &w->headers, &h, sizeof(h));
	append(w, &w->headers, body, len);
	append(w, &w->headers, zeroes, ALIGN_UP(len, 8) - len);
}

void igvm_writer_page(struct igvm_writer *w, u64 gpa, u32 mask, u32 flags, const u8 *page)
{
	static const u8 zeroes[PAGE_SIZE];
	struct igvm_page_data body = { .gpa = gpa, .compatibility_mask = mask, .flags = flags };

	if (page && memcmp(page, zeroes, PAGE_SIZE))
		body.file_offset = append_data(w, page, PAGE_SIZE);
	igvm_writer_header(w, IGVM_PAGE_DATA, &body, sizeof(body));
}

void igvm_writer_area(struct igvm_writer *w, u32 index, u64 size)
{
	struct igvm_parameter_area body = { .number_of_bytes = size, .parameter_area_index = index };

	igvm_writer_header(w, IGVM_PARAMETER_AREA, &body, sizeof(body));
}

void igvm_writer_vp(struct igvm_writer *w, u32 mask, const struct igvm_register *registers, u32 count)
{
	struct igvm_vp_context body = { .compatibility_mask = mask };

	body.file_offset = append_data(w, &count, sizeof(count));
	for (u32 i = 0; i < count; i++) {
		struct igvm_vbs_register raw = { .vtl = registers[i].vtl };

		memcpy(raw.name, &registers[i].name, sizeof(raw.name));
		memcpy(raw.value, registers[i].value, sizeof(raw.value));
		append_data(w, &raw, sizeof(raw));
	}
	igvm_writer_header(w, IGVM_VP_CONTEXT, &body, sizeof(body));
}

/* offsets within the data become offsets within the file */
static void settle_offsets(struct igvm_buffer *headers, u32 data_start)
{
	struct igvm_variable_header h;

	for (size_t at = 0; at < headers->len; at += sizeof(h) + ALIGN_UP(h.length, 8)) {
		u8 *field = headers->bytes + at + sizeof(h) + FILE_OFFSET_AT;
		u32 offset;

		memcpy(&h, headers->bytes + at, sizeof(h));
		if (h.type != IGVM_PAGE_DATA && h.type != IGVM_VP_CONTEXT && h.type != IGVM_PARAMETER_AREA)
			continue;
		memcpy(&offset, field, sizeof(offset));
		if (!offset)
			continue;
		offset += data_start - 1;
		memcpy(field, &offset, sizeof(offset));
	}
}

int igvm_writer_finish(struct igvm_writer *w, u8 **ret, size_t *ret_len)
{
	struct igvm_fixed_header fixed = { .magic = IGVM_MAGIC, .format_version = IGVM_FORMAT_VERSION_1,
					   .variable_header_offset = sizeof(fixed) };
	u64 total = sizeof(fixed) + (u64)w->headers.len + w->data.len;
	u32 crc;
	u8 *out;

	if (w->failed)
		return -ENOMEM;
	if (total > UINT32_MAX)
		return -EFBIG;
	out = malloc(total);
	if (!out)
		return -ENOMEM;
	settle_offsets(&w->headers, (u32)(sizeof(fixed) + w->headers.len));
	fixed.variable_header_size = (u32)w->headers.len;
	fixed.total_file_size = (u32)total;
	crc = crc32_update(0, &fixed, sizeof(fixed));
	fixed.checksum = crc32_update(crc, w->headers.bytes, w->headers.len);
	memcpy(out, &fixed, sizeof(fixed));
	if (w->headers.len)
		memcpy(out + sizeof(fixed), w->headers.bytes, w->headers.len);
	if (w->data.len)
		memcpy(out + sizeof(fixed) + w->headers.len, w->data.bytes, w->data.len);
	*ret = out;
	*ret_len = total;
	return 0;
}
