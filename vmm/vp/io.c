/* Port I/O, single and string */
#include <errno.h>

#include "lib/log/log.h"
#include "vmm/mem/walk.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

#define STRING_BATCH 64u
#define RFLAGS_DF BIT(10)

unsigned vp_mode(const struct hv_register_page *s)
{
	if ((s->efer & BIT(10)) && (s->cs.attributes & BIT(13)))
		return 64;
	return (s->cr0 & 1) && (s->cs.attributes & BIT(14)) && !(s->rflags & BIT(17)) ? 32 : 16;
}

struct hv_segment vp_segment(const struct hv_register_page *s, unsigned which)
{
	_Static_assert(offsetof(struct hv_register_page, gs) - offsetof(struct hv_register_page, es) == 5 * sizeof(s->es), "");
	return (&s->es)[which];
}

enum linear_result vp_translate(struct vp *vp, const struct hv_register_page *s, u64 linear, unsigned access, u64 *ret_gpa,
				u32 *ret_error)
{
	struct walk_state w = { .cr0 = s->cr0, .cr3 = s->cr3, .cr4 = s->cr4, .efer = s->efer,
				.smap_override = s->rflags & BIT(18) };
	enum walk_result r = walk(vp->machine->guest, &w, linear, access, ret_gpa, ret_error);

	return r == WALK_OK ? LINEAR_OK : r == WALK_FAULT ? LINEAR_FAULT : LINEAR_NOT_RAM;
}

/* the access may cross a page: each part is translated before any is touched */
static enum linear_result translate(struct vp *vp, const struct hv_register_page *s, u64 linear, size_t len, unsigned access,
				    u32 *ret_error, u64 gpa[2])
{
	size_t first = MIN(len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	enum linear_result r = vp_translate(vp, s, linear, access, &gpa[0], ret_error);

	return r == LINEAR_OK && first < len ? vp_translate(vp, s, linear + first, access, &gpa[1], ret_error) : r;
}

enum linear_result vp_linear(struct vp *vp, const struct hv_register_page *s, u64 linear, void *data, size_t len,
			     unsigned access, u32 *ret_error, u64 *ret_gpa)
{
	size_t first = MIN(len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	u64 gpa[2];
	enum linear_result r = translate(vp, s, linear, len, access, ret_error, gpa);

	if (r != LINEAR_OK)
		return r;
	*ret_gpa = gpa[0];
	for (unsigned i = 0; i < (first < len ? 2u : 1u); i++) {
		u8 *part = (u8 *)data + (i ? first : 0);
		size_t n = i ? len - first : first;

		if (access & WALK_WRITE ? guest_write(vp->machine->guest, gpa[i], part, n) :
					  guest_read(vp->machine->guest, gpa[i], part, n))
			return LINEAR_NOT_RAM;
	}
	return LINEAR_OK;
}

static void set_rax(struct vp *vp, u64 value, unsigned size)
{
	u64 old = hcl_gpr(&vp->hcl, HV_RAX), mask = size == 4 ? ~0ull : (1ull << size * 8) - 1;

	hcl_set_gpr(&vp->hcl, HV_RAX, (old & ~mask) | (value & (size == 4 ? 0xffffffffu : mask)));
}

static int io_single(struct vp *vp, const struct hv_io_port_intercept *m, unsigned size)
{
	bool write = m->header.access_type == HV_INTERCEPT_ACCESS_WRITE;
	u64 value = hcl_gpr(&vp->hcl, HV_RAX);

	if (bus_access(vp->machine->bus, SPACE_PIO, m->port, size, write, &value, &vp->token) == BUS_PENDING) {
		vp_wait(vp, VP_WAIT_IO, m->port, size);
		return 0;
	}
	if (!write)
		set_rax(vp, value, size);
	return vp_skip(vp, &m->header, m->header.instruction_length & 0xf);
}

/* devices without tokens here: string I/O goes to ports of the past, and none of ours defers */
static int string_step(struct vp *vp, const struct hv_io_port_intercept *m, const struct hv_register_page *s, unsigned size,
		       u64 linear, bool *ret_stop)
{
	bool write = m->header.access_type == HV_INTERCEPT_ACCESS_WRITE;
	unsigned user = (m->header.execution_state & HV_EXECUTION_CPL) == 3 ? WALK_USER : 0;
	u64 value = 0, gpa, place[2];
	u32 error;
	enum linear_result r;

	/* what a port gives is gone: not before there is a place for it */
	if (!write && translate(vp, s, linear, size, user | WALK_WRITE, &error, place) != LINEAR_FAULT)
		bus_access(vp->machine->bus, SPACE_PIO, m->port, size, false, &value, NULL);
	r = vp_linear(vp, s, linear, &value, size, user | (write ? 0 : WALK_WRITE), &error, &gpa);
	*ret_stop = r == LINEAR_FAULT;
	if (r == LINEAR_FAULT)
		return vp_inject(vp, VECTOR_PF, true, error, linear);
	if (r == LINEAR_NOT_RAM)
		log_guest("VP %u: string I/O on port %#x outside of RAM", vp->index, m->port);
	if (write)
		bus_access(vp->machine->bus, SPACE_PIO, m->port, size, true, &value, NULL);
	return 0;
}

static int io_string(struct vp *vp, const struct hv_io_port_intercept *m, unsigned size)
{
	bool write = m->header.access_type == HV_INTERCEPT_ACCESS_WRITE, rep = m->access_info & HV_IO_REP, stop = false;
	const struct hv_register_page *s = hcl_state(&vp->hcl);
	enum hv_gpr reg = write ? HV_RSI : HV_RDI;

	if (!s)
		return -EIO;
	unsigned mode = vp_mode(s);
	size_t bytes = MIN(m->instruction_byte_count, sizeof(m->instruction_bytes));
	unsigned bits = emul_address_size(mode, m->instruction_bytes, bytes);
	enum emul_segment segment = write ? emul_segment_of(mode, m->instruction_bytes, bytes) : EMUL_ES;
	u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1, base = vp_segment(s, segment).base, keep = bits == 16 ? ~mask : 0;
	u64 address = hcl_gpr(&vp->hcl, reg), count = rep ? hcl_gpr(&vp->hcl, HV_RCX) & mask : 1;

	if (mode == 64 && segment < EMUL_FS)
		base = 0;
	u64 rcx = hcl_gpr(&vp->hcl, HV_RCX), left = MIN(count, (u64)STRING_BATCH);

	for (count -= left; left; left--) {
		u64 linear = base + (address & mask);
		int r = string_step(vp, m, s, size, mode == 64 ? linear : linear & 0xffffffffu, &stop);

		if (r)
			return r;
		if (stop)
			break;
		address = (address & keep) | ((address + (m->header.rflags & RFLAGS_DF ? (u64)-(s64)size : size)) & mask);
	}
	hcl_set_gpr(&vp->hcl, reg, address);
	if (rep)
		hcl_set_gpr(&vp->hcl, HV_RCX, (rcx & keep) | (count + left));
	/* not finished: the instruction is met again, after the executor's other work */
	return stop || count ? 0 : vp_skip(vp, &m->header, m->header.instruction_length & 0xf);
}

int exit_io(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_io_port_intercept *m = (const void *)msg->payload;
	unsigned size = m->access_info & HV_IO_SIZE;

	if (vp->machine->debug && size == 1) {
		int r = debug_breakpoint(vp, m->header.rip);

		if (r)
			return r < 0 ? r : 0;
	}
	if (size != 1 && size != 2 && size != 4) {
		log_guest("VP %u: port %#x with size %u", vp->index, m->port, size);
		return vp_inject(vp, VECTOR_GP, true, 0, 0);
	}
	return m->access_info & HV_IO_STRING ? io_string(vp, m, size) : io_single(vp, m, size);
}

int io_resume(struct vp *vp)
{
	const struct hv_message *msg = &vp->hcl.run->exit_message;
	const struct hv_io_port_intercept *m = (const void *)msg->payload;

	if (vp->wait == VP_WAIT_MMIO)
		return exit_memory(vp, msg); /* emulates again; the access that waited is answered from wait_value */
	vp->wait = VP_NO_WAIT;
	if (m->header.access_type != HV_INTERCEPT_ACCESS_WRITE)
		set_rax(vp, vp->wait_value, vp->wait_size);
	return vp_skip(vp, &m->header, m->header.instruction_length & 0xf);
}
