#include "host/load/igvm_load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/load/loader.h"
#include "spec/hv_regs.h"

int load_bad(struct loader *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->err, l->err_len, format, args);
	va_end(args);
	return -EINVAL;
}

static int note_run(struct loader *l, u64 base, u64 len)
{
	if (l->run_count && l->runs[l->run_count - 1].end == base) {
		l->runs[l->run_count - 1].end += len;
		return 0;
	}
	if (l->run_count == l->run_room) {
		u32 room = l->run_room ? l->run_room * 2 : 64;
		struct load_run *grown = realloc(l->runs, room * sizeof(*grown));

		if (!grown)
			return load_bad(l, "no memory");
		l->runs = grown;
		l->run_room = room;
	}
	l->runs[l->run_count++] = (struct load_run){ base, base + len };
	return 0;
}

static int compare_runs(const void *a, const void *b)
{
	u64 x = ((const struct load_run *)a)->base, y = ((const struct load_run *)b)->base;

	return x < y ? -1 : x > y;
}

static int check_runs(struct loader *l)
{
	if (l->run_count)
		qsort(l->runs, l->run_count, sizeof(*l->runs), compare_runs);
	for (u32 i = 1; i < l->run_count; i++)
		if (l->runs[i].base < l->runs[i - 1].end)
			return load_bad(l, "the file writes 0x%lx twice%s", l->runs[i].base,
					l->moving ? "; choose another base for VTL2" : "");
	return 0;
}

/* bytes NULL: zeroes */
static int write_memory(struct loader *l, u32 index, u64 gpa, const u8 *bytes, u64 len)
{
	const struct load_memory *m = &l->request->memory;
	u8 *to = m->at(m->ctx, gpa, len);

	if (!to)
		return load_bad(l, "header %u: 0x%lx bytes at 0x%lx are not all RAM; give the machine more memory or move "
				"VTL2", index, len, gpa);
	if (bytes)
		memcpy(to, bytes, len);
	else
		memset(to, 0, len);
	return note_run(l, gpa, len);
}

static int load_page(struct loader *l, const struct igvm_header *h)
{
	const struct igvm_page_data *p = &h->body.page;
	u64 len;
	const u8 *bytes = igvm_page_bytes(l->file, p, &len);

	if (p->data_type != IGVM_PAGE_TYPE_NORMAL)
		return load_bad(l, "header %u: page data of type %u is for isolated machines, which this host is not",
				h->index, p->data_type);
	if (!relocate_is_table(l, p->gpa))
		return write_memory(l, h->index, relocate_gpa(l, p->gpa), bytes, len);
	if (!range_within(p->gpa, len, l->tables.gpa, l->tables.size))
		return load_bad(l, "header %u: page at 0x%lx passes the page table region", h->index, p->gpa);
	if (bytes)
		memcpy(l->table_bytes + (p->gpa - l->tables.gpa), bytes, len);
	return 0;
}

static int load_insert(struct loader *l, const struct igvm_header *h)
{
	struct load_area *a = parameters_find(l, h->body.insert.parameter_area_index);

	if (!a)
		return load_bad(l, "header %u: parameter area %u is not there", h->index,
				h->body.insert.parameter_area_index);
	if (relocate_is_table(l, h->body.insert.gpa))
		return load_bad(l, "header %u: parameters must not lie in page tables", h->index);
	return write_memory(l, h->index, relocate_gpa(l, h->body.insert.gpa), a->bytes, a->size);
}

static bool is_in_ram(const struct load_request *q, u64 base, u64 size, bool protectable)
{
	u64 at = base, end;

	if (add_overflow(base, size, &end))
		return false;
	for (u32 i = 0; i < q->ram_count && at < end; i++) {
		const struct load_range *m = &q->ram[i];

		if (protectable && m->type != IGVM_MEMORY_TYPE_VTL2_PROTECTABLE)
			continue;
		if (range_within(at, 1, m->base, m->size))
			at = m->base + m->size;
	}
	return at >= end;
}

static int check_required(struct loader *l, const struct igvm_header *h)
{
	const struct igvm_required_memory *r = &h->body.required;
	const struct load_range *vtl2 = &l->request->vtl2;
	bool protectable = r->flags & IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE;
	u64 gpa = relocate_gpa(l, r->gpa);

	if (protectable && !range_within(gpa, r->number_of_bytes, vtl2->base, vtl2->size))
		return load_bad(l, "header %u: the image needs VTL2 memory from 0x%lx, 0x%x bytes; it gets 0x%lx, 0x%lx bytes",
				h->index, gpa, r->number_of_bytes, vtl2->base, vtl2->size);
	if (!is_in_ram(l->request, gpa, r->number_of_bytes, protectable && !l->request->vtl2_allocates))
		return load_bad(l, "header %u: the image needs memory%s at 0x%lx, 0x%x bytes, which the machine does not have",
				h->index, protectable ? " for VTL2" : "", gpa, r->number_of_bytes);
	return 0;
}

static int load_vp(struct loader *l, const struct igvm_header *h)
{
	u32 count = igvm_register_count(l->file, &h->body.vp);

	if (h->body.vp.vp_index)
		return load_bad(l, "header %u: registers for VP %u; only those of VP 0 can be set", h->index,
				h->body.vp.vp_index);
	for (u32 i = 0; i < count; i++) {
		struct igvm_register r = igvm_register_at(l->file, &h->body.vp, i);

		if (r.vtl == 2 && r.name == HV_X64_REGISTER_CR3)
			l->cr3 = r.value[0];
		if (r.vtl == 2 && r.name == HV_X64_REGISTER_CR4)
			l->cr4 = r.value[0];
		r = relocate_register(l, r);
		if (l->reg_count == l->reg_max)
			return load_bad(l, "header %u: more than %u registers", h->index, l->reg_max);
		l->regs[l->reg_count++] = (struct load_register){ r.vtl, r.name, { r.value[0], r.value[1] } };
	}
	return 0;
}

static int load_header(struct loader *l, const struct igvm_header *h)
{
	if (igvm_is_parameter(h->type))
		return parameters_fill(l, h);
	switch (h->type) {
	case IGVM_PARAMETER_AREA:
		return parameters_area(l, &h->body.area);
	case IGVM_PAGE_DATA:
		return load_page(l, h);
	case IGVM_PARAMETER_INSERT:
		return load_insert(l, h);
	case IGVM_VP_CONTEXT:
		return load_vp(l, h);
	case IGVM_REQUIRED_MEMORY:
		return check_required(l, h);
	case IGVM_ERROR_RANGE:
		return write_memory(l, h->index, relocate_gpa(l, h->body.error_range.gpa), NULL,
				    h->body.error_range.size_bytes);
	default:
		/* platforms and regions are done with; policies and measurements are for isolated machines */
		return 0;
	}
}

static int load_all(struct loader *l)
{
	struct igvm_cursor c = igvm_headers(l->file);
	struct igvm_header h;
	int r = relocate_prepare(l);

	while (!r && igvm_next(&c, &h))
		if (h.known && h.compatibility_mask & l->mask)
			r = load_header(l, &h);
	if (!r && l->moving)
		r = relocate_tables(l);
	if (!r && l->moving)
		r = write_memory(l, 0, l->tables.gpa + l->delta, l->table_bytes, l->tables.size);
	return r ? r : check_runs(l);
}

static int check_request(struct loader *l)
{
	const struct load_request *q = l->request;

	if (!q->cpu_count || !q->ram_count)
		return load_bad(l, "a machine needs at least one processor and some RAM");
	for (u32 i = 1; i < q->ram_count; i++)
		if (q->ram[i].base < q->ram[i - 1].base + q->ram[i - 1].size)
			return load_bad(l, "RAM ranges are not sorted or overlap at 0x%lx", q->ram[i].base);
	return 0;
}

static int find_platform(struct loader *l)
{
	const struct igvm_supported_platform *p = igvm_platform(l->file, IGVM_PLATFORM_VSM_ISOLATION);

	if (!p || p->highest_vtl != 2)
		return load_bad(l, "the file has no VSM_ISOLATION platform with VTL 2; it is for another kind of machine");
	l->mask = p->compatibility_mask;
	return 0;
}

int igvm_load(const struct igvm_file *file, const struct load_request *request, struct load_register *ret_regs, u32 max,
	      u32 *ret_count, char *err, size_t err_len)
{
	struct loader l = { .file = file, .request = request, .err = err, .err_len = err_len, .regs = ret_regs,
			    .reg_max = max };
	int r = find_platform(&l);

	r = r ? r : check_request(&l);
	r = r ? r : load_all(&l);
	if (!r && !l.reg_count)
		r = load_bad(&l, "the file sets no registers; there is nothing to start");
	for (u32 i = 0; i < l.area_count; i++)
		free(l.areas[i].bytes);
	free(l.table_bytes);
	free(l.runs);
	if (!r)
		*ret_count = l.reg_count;
	return r;
}

int igvm_vtl2_needs(const struct igvm_file *file, u64 *ret_base, u64 *ret_size, u64 *ret_align, char *err, size_t err_len)
{
	struct loader l = { .file = file, .err = err, .err_len = err_len };
	struct igvm_cursor c = igvm_headers(file);
	struct igvm_header h;
	u64 base = 0, size = 0, align = 2 * MiB;
	int r = find_platform(&l);

	while (!r && igvm_next(&c, &h)) {
		if (!(h.compatibility_mask & l.mask))
			continue;
		if (h.type == IGVM_RELOCATABLE_REGION)
			align = h.body.relocatable.relocation_alignment;
		if (h.type == IGVM_REQUIRED_MEMORY && !size &&
		    h.body.required.flags & IGVM_REQUIRED_MEMORY_VTL2_PROTECTABLE) {
			base = h.body.required.gpa;
			size = h.body.required.number_of_bytes;
		}
	}
	if (!r && !size)
		r = load_bad(&l, "the file does not say how much memory VTL2 needs (REQUIRED_MEMORY)");
	if (r)
		return r;
	*ret_base = base;
	*ret_size = size;
	*ret_align = align;
	return 0;
}
