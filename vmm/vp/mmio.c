/* Memory intercepts: the instruction is emulated, its accesses go to the bus, or to RAM where it has an operand there too */
#include <errno.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"
#include "vmm/mem/walk.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

#define REP_BATCH 64u /* iterations at a time: then the VP gets to see its other work */
#define NOWHERE (~0ull) /* page tables outside of RAM: as if nothing were there */
#define RFLAGS_TF BIT(8)
#define RFLAGS_VM BIT(17)
#define CR4_LA57 BIT(12)
#define XMM_AT 160u /* of XMM0 in an FXSAVE area, SDM volume 1, table 10-2 */

struct access {
	struct vp *vp;
	const struct hv_memory_intercept *m;
	const struct hv_register_page *state;
	unsigned user;
};

/* does the message say where that page lies? */
static bool known_page(const struct hv_memory_intercept *m, u64 linear)
{
	return (m->access_info & 3) == 3 && linear >> PAGE_SHIFT == m->gva >> PAGE_SHIFT;
}

static enum emul_access translate(void *context, u64 linear, unsigned size, unsigned access, u64 *ret_place,
				  struct emul_exception *ret_exception)
{
	struct access *a = context;
	bool known = known_page(a->m, linear), write = access & EMUL_WRITE;
	u64 known_place = (a->m->gpa & ~(u64)(PAGE_SIZE - 1)) | (linear & (PAGE_SIZE - 1));
	u32 error;

	/* no walk for what the processor itself was about to do there */
	if (known && (!write || a->m->header.access_type == HV_INTERCEPT_ACCESS_WRITE)) {
		*ret_place = known_place;
		return EMUL_ACCESS_OK;
	}
	switch (vp_translate(a->vp, a->state, linear, a->user | (write ? WALK_WRITE : 0), ret_place, &error)) {
	case LINEAR_OK:
		break;
	case LINEAR_FAULT:
		*ret_exception = (struct emul_exception){ EMUL_PF, true, error, linear };
		return EMUL_ACCESS_FAULT;
	case LINEAR_NOT_RAM:
		*ret_place = known ? known_place : NOWHERE;
	}
	return EMUL_ACCESS_OK;
}

/* the local APIC's page is each VP's own; false: it is not there */
static bool apic_page(struct vp *vp, u64 gpa, u64 *value, unsigned size, bool write)
{
	interrupt_take_tpr(vp);
	return vapic_mmio(vp->apic, gpa, value, size, write);
}

/*
 * One access to a device. When it answers later, the instruction is emulated again from its beginning; what it did with devices
 * before is not done again but taken from vp->mmio.
 */
static enum emul_access bus_piece(struct vp *vp, u64 gpa, u64 *value, unsigned size, bool write)
{
	if (vp->mmio_at < vp->mmio_count) {
		const struct vp_mmio *done = &vp->mmio[vp->mmio_at];

		if (done->gpa == gpa && done->size == size && done->write == write) {
			vp->mmio_at++;
			*value = write ? *value : done->value;
			return EMUL_ACCESS_OK;
		}
		vp->mmio_count = vp->mmio_at; /* the guest has changed the instruction meanwhile */
	}
	CHECK(vp->mmio_count < ARRAY_SIZE(vp->mmio));
	struct vp_mmio *piece = &vp->mmio[vp->mmio_count];

	*piece = (struct vp_mmio){ .gpa = gpa, .size = (u8)size, .write = write };
	bool apic = vp->apic && apic_page(vp, gpa, value, size, write);

	if (!apic && bus_access(vp->machine->bus, SPACE_MMIO, gpa, size, write, value, &vp->token) == BUS_PENDING) {
		vp_wait(vp, VP_WAIT_MMIO, gpa, size);
		return EMUL_ACCESS_AGAIN;
	}
	piece->value = *value;
	vp->mmio_at = ++vp->mmio_count;
	return EMUL_ACCESS_OK;
}

/* what has no size that a device knows goes in naturally aligned pieces */
static unsigned piece_of(u64 gpa, unsigned size)
{
	unsigned piece = 8;

	if (size == 1 || size == 2 || size == 4 || size == 8)
		return size;
	while (piece > size || !IS_ALIGNED(gpa, piece))
		piece /= 2;
	return piece;
}

static enum emul_access touch_device(struct vp *vp, u64 gpa, u8 *data, unsigned size, bool write)
{
	while (size) {
		unsigned piece = piece_of(gpa, size);
		u64 value = 0;

		if (write)
			memcpy(&value, data, piece);
		if (bus_piece(vp, gpa, &value, piece, write) != EMUL_ACCESS_OK)
			return EMUL_ACCESS_AGAIN;
		if (!write)
			memcpy(data, &value, piece);
		gpa += piece;
		data += piece;
		size -= piece;
	}
	return EMUL_ACCESS_OK;
}

static enum emul_access touch(void *context, u64 place, void *data, unsigned size, bool write)
{
	struct access *a = context;
	struct guest *guest = a->vp->machine->guest;

	if (place == NOWHERE) {
		if (!write)
			memset(data, 0xff, size);
		return EMUL_ACCESS_OK;
	}
	/* registers may lie in RAM that VTL0 reads by itself: a write is for their device */
	bool ram = guest_range(guest, place, size) && !(write && bus_claims(a->vp->machine->bus, SPACE_MMIO, place));

	if (ram &&
	    !(write ? guest_write(guest, place, data, size) : guest_read(guest, place, data, size)))
		return EMUL_ACCESS_OK;
	return touch_device(a->vp, place, data, size, write);
}

static enum emul_access exchange(void *context, u64 place, const void *expected, const void *desired, unsigned size)
{
	struct access *a = context;
	u8 copy[16];

	if (place != NOWHERE && guest_range(a->vp->machine->guest, place, size) &&
	    !bus_claims(a->vp->machine->bus, SPACE_MMIO, place))
		return guest_exchange(a->vp->machine->guest, place, expected, desired, size) ? EMUL_ACCESS_CHANGED :
											       EMUL_ACCESS_OK;
	memcpy(copy, desired, size);
	return touch(context, place, copy, size, true);
}

/* 15 bytes, or those up to the page's end, through the page tables from CS:RIP; 0: none to be had */
static size_t fetch(struct access *a, u8 bytes[16])
{
	const struct hv_intercept_header *h = &a->m->header;
	u64 linear = vp_mode(a->state) == 64 ? h->rip : (h->cs.base + h->rip) & 0xffffffffu, gpa;
	size_t count = MIN(EMUL_INSTRUCTION_MAX, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	unsigned access = WALK_FETCH | a->user;
	u32 error;

	if (vp_linear(a->vp, a->state, linear, bytes, count, access, &error, &gpa) != LINEAR_OK)
		return 0;
	/* the next page need not be there */
	size_t rest = EMUL_INSTRUCTION_MAX - count;

	if (rest && vp_linear(a->vp, a->state, linear + count, bytes + count, rest, access, &error, &gpa) == LINEAR_OK)
		count += rest;
	return count;
}

static void fill(struct vp *vp, const struct hv_register_page *s, const struct hv_intercept_header *h, struct emul_state *e)
{
	hcl_gprs(&vp->hcl, e->gpr);
	e->rip = h->rip;
	e->rflags = h->rflags;
	e->mode = vp_mode(s);
	e->la57 = s->cr4 & CR4_LA57;
	e->real = !(s->cr0 & 1) || (s->rflags & RFLAGS_VM);
	e->exception = (struct emul_exception){ 0 };
	for (unsigned i = 0; i < EMUL_SEGMENTS; i++)
		e->segment[i] = vp_segment(s, i);
	/* the VTLs share the XMM registers: VTL0's lie here while VTL2 runs, the driver loads them as it enters VTL0 */
	memcpy(e->xmm, vp->hcl.run->context.fx_state + XMM_AT, sizeof(e->xmm));
}

/* what an instruction may change and most do not */
struct before {
	u64 gpr[HV_GPR_COUNT], rip, rflags;
};

static int write_back(struct vp *vp, const struct before *before, const struct emul_state *after)
{
	int r = 0;

	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		if (after->gpr[i] != before->gpr[i])
			hcl_set_gpr(&vp->hcl, i, after->gpr[i]);
	memcpy(vp->hcl.run->context.fx_state + XMM_AT, after->xmm, sizeof(after->xmm));
	if (after->rflags != before->rflags)
		r = hcl_set_rflags(&vp->hcl, after->rflags);
	if (!r && after->rip != before->rip)
		r = hcl_set_rip(&vp->hcl, after->rip);
	return r;
}

/* bytes from the message; when they do not reach, from memory */
static enum emul_result run_instruction(struct access *a, struct emul_state *state, u8 bytes[16], size_t *count)
{
	const struct emul_memory memory = { translate, touch, exchange, a };
	enum emul_result result = *count ? emul_run(state, bytes, *count, &memory) : EMUL_TRUNCATED;

	if (result != EMUL_TRUNCATED)
		return result;
	*count = fetch(a, bytes);
	return emul_run(state, bytes, *count, &memory);
}

/* up to the end of the instruction, of a batch of its iterations, or to what stops it */
static enum emul_result run_batch(struct access *a, struct emul_state *state, u8 bytes[16], size_t *count)
{
	enum emul_result result = EMUL_MORE;

	for (unsigned n = 0; n < REP_BATCH && (result == EMUL_MORE || result == EMUL_RETRY); n++) {
		if (n && result == EMUL_MORE && (state->rflags & RFLAGS_TF))
			break; /* a debugger sees each iteration */
		a->vp->mmio_at = 0;
		result = run_instruction(a, state, bytes, count);
		if (result != EMUL_AGAIN)
			a->vp->mmio_count = 0;
	}
	return result;
}

static int refuse(struct vp *vp, const struct hv_memory_intercept *m, enum emul_result result, const u8 *bytes, size_t count)
{
	vp->not_emulated++;
	log_guest("VP %u: %s instruction at %#llx on GPA %#llx (%zu bytes: %02x %02x %02x %02x)", vp->index,
		  result == EMUL_TRUNCATED ? "truncated" : "unknown", (unsigned long long)m->header.rip,
		  (unsigned long long)m->gpa, count, count > 0 ? bytes[0] : 0, count > 1 ? bytes[1] : 0,
		  count > 2 ? bytes[2] : 0, count > 3 ? bytes[3] : 0);
	return vp_inject(vp, VECTOR_UD, false, 0, 0);
}

int exit_memory(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_memory_intercept *m = (const void *)msg->payload;
	struct access a = { .vp = vp, .m = m, .state = hcl_state(&vp->hcl),
			    .user = (m->header.execution_state & HV_EXECUTION_CPL) == 3 ? WALK_USER : 0 };
	struct emul_state state;
	struct before before;
	u8 bytes[16] = { 0 };
	size_t count = MIN(m->instruction_byte_count, sizeof(m->instruction_bytes));
	enum emul_result result = EMUL_UNSUPPORTED;

	if (!a.state)
		return -EIO;
	if (vp->wait == VP_WAIT_MMIO) /* a device has answered */
		vp->mmio[vp->mmio_count++].value = vp->wait_value;
	else
		vp->mmio_count = 0;
	vp->wait = VP_NO_WAIT;
	fill(vp, a.state, &m->header, &state);
	memcpy(before.gpr, state.gpr, sizeof(before.gpr));
	before.rip = state.rip;
	before.rflags = state.rflags;
	memcpy(bytes, m->instruction_bytes, count);
	if (m->header.access_type != HV_INTERCEPT_ACCESS_EXECUTE)
		result = run_batch(&a, &state, bytes, &count);
	if (result == EMUL_UNSUPPORTED || result == EMUL_TRUNCATED)
		return refuse(vp, m, result, bytes, count);
	vp->emulated++;
	int r = vp->apic ? interrupt_give_tpr(vp) : 0;

	if (!r)
		r = write_back(vp, &before, &state);
	if (r || result == EMUL_AGAIN || result == EMUL_RETRY)
		return r;
	if (result == EMUL_FAULT)
		return vp_inject(vp, state.exception.vector, state.exception.has_error, state.exception.error,
				 state.exception.address);
	return before.rflags & RFLAGS_TF ? vp_single_step(vp) : 0;
}
