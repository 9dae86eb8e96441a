#include "igvmgen/show.h"

#include <inttypes.h>

/* how fields come out: "name=0x10" words, or JSON members */
struct printer {
	FILE *out;
	bool json;
};

static void field(const struct printer *p, const char *name, u64 value)
{
	if (p->json)
		fprintf(p->out, ", \"%s\": %" PRIu64, name, value);
	else
		fprintf(p->out, " %s=0x%" PRIx64, name, value);
}

static void word(const struct printer *p, const char *name, const char *text)
{
	if (p->json)
		fprintf(p->out, ", \"%s\": \"%s\"", name, text);
	else
		fprintf(p->out, " %s=%s", name, text);
}

static void show_platform(const struct printer *p, const struct igvm_supported_platform *b)
{
	const char *name = igvm_platform_name(b->platform_type);

	field(p, "mask", b->compatibility_mask);
	field(p, "highest_vtl", b->highest_vtl);
	field(p, "platform_type", b->platform_type);
	if (name)
		word(p, "platform", name);
	field(p, "version", b->platform_version);
	field(p, "shared_gpa_boundary", b->shared_gpa_boundary);
}

static void show_relocatable(const struct printer *p, const struct igvm_relocatable_region *b)
{
	field(p, "mask", b->compatibility_mask);
	field(p, "vp_index", b->vp_index);
	field(p, "vtl", b->vtl);
	field(p, "flags", b->flags);
	field(p, "alignment", b->relocation_alignment);
	field(p, "gpa", b->relocation_region_gpa);
	field(p, "size", b->relocation_region_size);
	field(p, "minimum", b->minimum_relocation_gpa);
	field(p, "maximum", b->maximum_relocation_gpa);
}

static void show_page_table(const struct printer *p, const struct igvm_page_table_relocation *b)
{
	field(p, "mask", b->compatibility_mask);
	field(p, "vp_index", b->vp_index);
	field(p, "vtl", b->vtl);
	field(p, "gpa", b->gpa);
	field(p, "size", b->size);
	field(p, "used_size", b->used_size);
}

static void show_register(const struct printer *p, const struct igvm_register *r, bool first)
{
	const char *name = igvm_register_name(r->name);

	if (p->json) {
		fprintf(p->out, "%s\n    { \"name\": %u", first ? "" : ",", r->name);
		if (name)
			word(p, "register", name);
		field(p, "vtl", r->vtl);
		field(p, "low", r->value[0]);
		field(p, "high", r->value[1]);
		fputs(" }", p->out);
	} else {
		fprintf(p->out, "\n            vtl%u 0x%08x %-8s 0x%016" PRIx64 " 0x%016" PRIx64, r->vtl, r->name,
			name ? name : "?", r->value[0], r->value[1]);
	}
}

static void show_vp(const struct printer *p, const struct igvm_file *file, const struct igvm_vp_context *b)
{
	u32 count = igvm_register_count(file, b);

	field(p, "gpa", igvm_vp_gpa(b));
	field(p, "mask", b->compatibility_mask);
	field(p, "vp_index", b->vp_index);
	field(p, "file_offset", b->file_offset);
	if (p->json)
		fputs(", \"registers\": [", p->out);
	for (u32 i = 0; i < count; i++) {
		struct igvm_register r = igvm_register_at(file, b, i);

		show_register(p, &r, !i);
	}
	if (p->json)
		fputs("]", p->out);
}

static void show_body(const struct printer *p, const struct igvm_file *file, const struct igvm_header *h)
{
	switch (h->type) {
	case IGVM_SUPPORTED_PLATFORM:
		show_platform(p, &h->body.platform);
		break;
	case IGVM_GUEST_POLICY:
		field(p, "mask", h->compatibility_mask);
		field(p, "policy", h->body.policy.policy);
		break;
	case IGVM_RELOCATABLE_REGION:
		show_relocatable(p, &h->body.relocatable);
		break;
	case IGVM_PAGE_TABLE_RELOCATION_REGION:
		show_page_table(p, &h->body.page_table);
		break;
	case IGVM_PARAMETER_AREA:
		field(p, "area", h->body.area.parameter_area_index);
		field(p, "size", h->body.area.number_of_bytes);
		field(p, "file_offset", h->body.area.file_offset);
		break;
	case IGVM_PARAMETER_INSERT:
		field(p, "gpa", h->body.insert.gpa);
		field(p, "mask", h->compatibility_mask);
		field(p, "area", h->body.insert.parameter_area_index);
		break;
	case IGVM_VP_CONTEXT:
		show_vp(p, file, &h->body.vp);
		break;
	case IGVM_REQUIRED_MEMORY:
		field(p, "gpa", h->body.required.gpa);
		field(p, "mask", h->compatibility_mask);
		field(p, "size", h->body.required.number_of_bytes);
		field(p, "flags", h->body.required.flags);
		break;
	case IGVM_ERROR_RANGE:
		field(p, "gpa", h->body.error_range.gpa);
		field(p, "mask", h->compatibility_mask);
		field(p, "size", h->body.error_range.size_bytes);
		break;
	default:
		if (igvm_is_parameter(h->type)) {
			field(p, "area", h->body.parameter.parameter_area_index);
			field(p, "byte_offset", h->body.parameter.byte_offset);
		} else {
			field(p, "length", h->length);
		}
	}
}

struct run {
	struct igvm_page_data first;
	u64 len, pages, zero_pages;
};

/* does the page continue the run that h started? */
static bool continues(const struct run *run, const struct igvm_header *h, const struct igvm_page_data *page)
{
	return h->type == IGVM_PAGE_DATA && page->gpa == run->first.gpa + run->len && page->flags == run->first.flags &&
	       page->data_type == run->first.data_type && page->compatibility_mask == run->first.compatibility_mask;
}

static void show_run(const struct printer *p, struct igvm_cursor *cursor, const struct igvm_file *file,
		     const struct igvm_header *first)
{
	struct run run = { .first = first->body.page };
	struct igvm_header h = *first;

	for (;;) {
		struct igvm_cursor next = *cursor;
		u64 len;

		run.zero_pages += !igvm_page_bytes(file, &h.body.page, &len);
		run.pages++;
		run.len += len;
		if (!igvm_next(&next, &h) || !continues(&run, &h, &h.body.page))
			break;
		*cursor = next;
	}
	field(p, "gpa", run.first.gpa);
	field(p, "size", run.len);
	field(p, "mask", run.first.compatibility_mask);
	field(p, "flags", run.first.flags);
	field(p, "data_type", run.first.data_type);
	field(p, "pages", run.pages);
	field(p, "zero_pages", run.zero_pages);
	field(p, "file_offset", run.first.file_offset);
}

static void show_headers(const struct printer *p, const struct igvm_file *file)
{
	struct igvm_cursor cursor = igvm_headers(file);
	struct igvm_header h;
	bool first = true;

	while (igvm_next(&cursor, &h)) {
		const char *name = h.known ? igvm_type_name(h.type) : "unknown";

		if (p->json)
			fprintf(p->out, "%s\n  { \"index\": %u, \"type\": %u, \"name\": \"%s\"", first ? "" : ",", h.index,
				h.type, name);
		else
			fprintf(p->out, "%6u 0x%03x %-28s%s", h.index, h.type, name, h.optional ? " optional" : "");
		if (h.known && h.type == IGVM_PAGE_DATA)
			show_run(p, &cursor, file, &h);
		else
			show_body(p, file, &h);
		fputs(p->json ? " }" : "\n", p->out);
		first = false;
	}
}

void show_text(const struct igvm_file *file, FILE *out)
{
	struct printer p = { out, false };

	fprintf(out, "IGVM version %u, %zu bytes, %u headers", file->format_version, file->len, file->header_count);
	if (file->skipped_count)
		fprintf(out, " (%u optional ones unknown to this program)", file->skipped_count);
	fputs("\n", out);
	show_headers(&p, file);
}

void show_json(const struct igvm_file *file, FILE *out)
{
	struct printer p = { out, true };

	fprintf(out, "{ \"format_version\": %u, \"bytes\": %zu, \"header_count\": %u, \"skipped_count\": %u, \"headers\": [",
		file->format_version, file->len, file->header_count, file->skipped_count);
	show_headers(&p, file);
	fputs("\n] }\n", out);
}
