#include "lib/igvm/body.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define TWO_MIB 0x200000u

int igvm_bad(struct igvm_check *check, const char *format, ...)
{
	const struct igvm_header *h = check->header;
	const char *name = igvm_type_name(h->type);
	va_list args;
	int at = snprintf(check->err, check->err_len, "header %u (%s at offset 0x%x): ", h->index,
			  name ? name : "unknown type", h->offset);

	if (at < 0 || (size_t)at >= check->err_len)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(check->err + at, check->err_len - (size_t)at, format, args);
	va_end(args);
	return -EINVAL;
}

/* a reference into the file's data: len bytes at offset, behind the headers */
static int check_data(struct igvm_check *c, u32 offset, u64 len)
{
	const struct igvm_file *f = c->file;

	if (!range_within(offset, len, f->headers_end, f->len - f->headers_end))
		return igvm_bad(c, "refers to 0x%lx bytes at file offset 0x%x, but data lies from 0x%x to 0x%zx; "
				"rebuild the file", len, offset, f->headers_end, f->len);
	return 0;
}

static int check_page_aligned(struct igvm_check *c, const char *what, u64 value)
{
	if (!IS_ALIGNED(value, PAGE_SIZE))
		return igvm_bad(c, "%s 0x%lx is not a multiple of 4096; rebuild the file", what, value);
	return 0;
}

static int check_range(struct igvm_check *c, u64 gpa, u64 size)
{
	u64 end;
	int r = check_page_aligned(c, "address", gpa);

	if (!r)
		r = check_page_aligned(c, "size", size);
	if (!r && add_overflow(gpa, size, &end))
		r = igvm_bad(c, "range of 0x%lx bytes at 0x%lx passes the end of the address space", size, gpa);
	return r;
}

static int check_platform(struct igvm_check *c)
{
	struct igvm_file *f = c->file;
	const struct igvm_supported_platform *p = &c->header->body.platform;

	if (!p->compatibility_mask || (p->compatibility_mask & (p->compatibility_mask - 1)))
		return igvm_bad(c, "compatibility mask 0x%x must have exactly one bit set", p->compatibility_mask);
	if (p->highest_vtl > 2)
		return igvm_bad(c, "highest VTL %u; only 0, 1 and 2 exist", p->highest_vtl);
	if (igvm_platform_name(p->platform_type) && p->platform_version != IGVM_PLATFORM_VERSION)
		return igvm_bad(c, "platform version %u, known is 1; a newer loader is needed", p->platform_version);
	for (u32 i = 0; i < f->platform_count; i++)
		if (f->platforms[i].compatibility_mask == p->compatibility_mask ||
		    f->platforms[i].platform_type == p->platform_type)
			return igvm_bad(c, "platform type %u or mask 0x%x was given before", p->platform_type,
					p->compatibility_mask);
	if (f->platform_count == IGVM_PLATFORM_MAX)
		return igvm_bad(c, "more than %u platforms", IGVM_PLATFORM_MAX);
	f->platforms[f->platform_count++] = *p;
	return 0;
}

static int check_relocatable(struct igvm_check *c)
{
	const struct igvm_relocatable_region *r = &c->header->body.relocatable;
	u64 align = r->relocation_alignment;

	if (align < PAGE_SIZE || (align & (align - 1)))
		return igvm_bad(c, "relocation alignment 0x%lx is not a power of two of at least 4096", align);
	if ((r->relocation_region_gpa | r->minimum_relocation_gpa | r->maximum_relocation_gpa) & (align - 1))
		return igvm_bad(c, "region or window is not aligned to 0x%lx", align);
	if (r->minimum_relocation_gpa > r->maximum_relocation_gpa)
		return igvm_bad(c, "window from 0x%lx to 0x%lx is empty", r->minimum_relocation_gpa,
				r->maximum_relocation_gpa);
	if (r->vtl > 2 || !r->relocation_region_size)
		return igvm_bad(c, "VTL %u, size 0x%lx make no region", r->vtl, r->relocation_region_size);
	return check_range(c, r->relocation_region_gpa, r->relocation_region_size);
}

static int check_page_table(struct igvm_check *c)
{
	const struct igvm_page_table_relocation *r = &c->header->body.page_table;

	if (r->reserved || r->vtl > 2)
		return igvm_bad(c, "VTL %u, reserved byte %u; VTL must be 0 to 2 and the byte 0", r->vtl, r->reserved);
	if (!IS_ALIGNED(r->used_size, PAGE_SIZE) || r->used_size > r->size || !r->used_size)
		return igvm_bad(c, "used size 0x%lx of a region of 0x%lx bytes", r->used_size, r->size);
	return check_range(c, r->gpa, r->size);
}

static int check_area(struct igvm_check *c)
{
	struct igvm_file *f = c->file;
	const struct igvm_parameter_area *a = &c->header->body.area;

	if (!a->number_of_bytes || check_page_aligned(c, "size", a->number_of_bytes))
		return igvm_bad(c, "size 0x%lx is not a positive number of pages", a->number_of_bytes);
	for (u32 i = 0; i < f->area_count; i++)
		if (f->areas[i].index == a->parameter_area_index)
			return igvm_bad(c, "parameter area %u was declared before", a->parameter_area_index);
	if (f->area_count == IGVM_AREA_MAX)
		return igvm_bad(c, "more than %u parameter areas", IGVM_AREA_MAX);
	f->areas[f->area_count++] = (struct igvm_area_info){ a->parameter_area_index, a->number_of_bytes, false };
	return a->file_offset ? check_data(c, a->file_offset, a->number_of_bytes) : 0;
}

static struct igvm_area_info *find_area(struct igvm_file *f, u32 index)
{
	for (u32 i = 0; i < f->area_count; i++)
		if (f->areas[i].index == index)
			return &f->areas[i];
	return NULL;
}

static int check_parameter(struct igvm_check *c)
{
	const struct igvm_parameter *p = &c->header->body.parameter;
	const struct igvm_area_info *area = find_area(c->file, p->parameter_area_index);

	if (!area || area->inserted)
		return igvm_bad(c, "parameter area %u is %s; declare it first and insert it last",
				p->parameter_area_index, area ? "inserted already" : "not declared");
	if (p->byte_offset >= area->size)
		return igvm_bad(c, "offset 0x%x lies outside parameter area %u of 0x%lx bytes", p->byte_offset,
				area->index, area->size);
	return 0;
}

static int check_insert(struct igvm_check *c)
{
	const struct igvm_parameter_insert *i = &c->header->body.insert;
	struct igvm_area_info *area = find_area(c->file, i->parameter_area_index);

	if (!area || area->inserted)
		return igvm_bad(c, "parameter area %u is %s", i->parameter_area_index,
				area ? "inserted already" : "not declared");
	area->inserted = true;
	return check_range(c, i->gpa, area->size);
}

static int check_page(struct igvm_check *c)
{
	const struct igvm_page_data *p = &c->header->body.page;
	u64 len = p->flags & IGVM_PAGE_DATA_2MB ? TWO_MIB : PAGE_SIZE;

	if (p->reserved || p->flags & ~(IGVM_PAGE_DATA_2MB | IGVM_PAGE_DATA_UNMEASURED | IGVM_PAGE_DATA_SHARED))
		return igvm_bad(c, "flags 0x%x, reserved 0x%x; unknown bits must be 0", p->flags, p->reserved);
	if (p->data_type > IGVM_PAGE_TYPE_CPUID_XF)
		return igvm_bad(c, "page data type %u is unknown", p->data_type);
	if (!IS_ALIGNED(p->gpa, len))
		return igvm_bad(c, "address 0x%lx is not aligned to its page of 0x%lx bytes", p->gpa, len);
	return p->file_offset ? check_data(c, p->file_offset, len) : check_range(c, p->gpa, len);
}

static bool is_vsm_context(const struct igvm_file *f, const struct igvm_vp_context *vp)
{
	const struct igvm_supported_platform *p = igvm_platform(f, IGVM_PLATFORM_VSM_ISOLATION);

	return p && vp->compatibility_mask & p->compatibility_mask;
}

static int check_vp(struct igvm_check *c)
{
	const struct igvm_vp_context *vp = &c->header->body.vp;
	u32 count;
	int r;

	if (vp->reserved)
		return igvm_bad(c, "reserved field is 0x%x, must be 0", vp->reserved);
	if (!is_vsm_context(c->file, vp))
		return vp->file_offset ? check_data(c, vp->file_offset, 1) : 0;
	r = check_data(c, vp->file_offset, sizeof(count));
	if (r)
		return r;
	__builtin_memcpy(&count, c->file->data + vp->file_offset, sizeof(count));
	if (!count || count > IGVM_VP_REGISTER_MAX)
		return igvm_bad(c, "VP context with %u registers; 1 to %u can be", count, IGVM_VP_REGISTER_MAX);
	r = check_data(c, vp->file_offset, sizeof(count) + (u64)count * sizeof(struct igvm_vbs_register));
	for (u32 i = 0; !r && i < count; i++) {
		struct igvm_register reg = igvm_register_at(c->file, vp, i);

		if (reg.vtl > 2)
			r = igvm_bad(c, "register %u (0x%x) is for VTL %u; only 0, 1 and 2 exist", i, reg.name, reg.vtl);
	}
	return r;
}

static int check_required(struct igvm_check *c)
{
	const struct igvm_required_memory *r = &c->header->body.required;

	if (r->reserved || r->flags & ~IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE)
		return igvm_bad(c, "flags 0x%x, reserved 0x%x; unknown bits must be 0", r->flags, r->reserved);
	return check_range(c, r->gpa, r->number_of_bytes);
}

int igvm_check_body(struct igvm_check *c)
{
	const struct igvm_header *h = c->header;

	if (igvm_is_parameter(h->type))
		return check_parameter(c);
	switch (h->type) {
	case IGVM_SUPPORTED_PLATFORM:
		return check_platform(c);
	case IGVM_GUEST_POLICY:
		return h->body.policy.reserved ? igvm_bad(c, "reserved field is not 0") : 0;
	case IGVM_RELOCATABLE_REGION:
		return check_relocatable(c);
	case IGVM_PAGE_TABLE_RELOCATION_REGION:
		return check_page_table(c);
	case IGVM_PARAMETER_AREA:
		return check_area(c);
	case IGVM_PAGE_DATA:
		return check_page(c);
	case IGVM_PARAMETER_INSERT:
		return check_insert(c);
	case IGVM_VP_CONTEXT:
		return check_vp(c);
	case IGVM_REQUIRED_MEMORY:
		return check_required(c);
	case IGVM_ERROR_RANGE:
		return check_range(c, h->body.error_range.gpa, h->body.error_range.size_bytes);
	default:
		return 0;
	}
}
