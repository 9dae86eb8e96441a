/* Memory intercepts: the instruction is emulated, its access goes to the bus */
#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/mem/walk.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

struct access {
	struct vp *vp;
	const struct hv_memory_intercept *m;
	const struct hv_register_page *state;
	unsigned user;
	u32 error;        /* of the #PF to inject */
	u64 fault_linear;
};

/* the intercept's own page needs no walk */
static bool known_page(const struct hv_memory_intercept *m, u64 linear)
{
	return (m->access_info & 3) == 3 && linear >> PAGE_SHIFT == m->gva >> PAGE_SHIFT;
}

/* the local APIC's page is each VP's own; false: it is not there */
static bool apic_page(struct vp *vp, u64 gpa, u64 *value, unsigned size, bool write)
{
	interrupt_take_tpr(vp);
	return vapic_mmio(vp->apic, gpa, value, size, write);
}

static enum emul_access bus_part(struct access *a, u64 gpa, u64 *value, unsigned size, bool write)
{
	struct vp *vp = a->vp;

	if (vp->apic && apic_page(vp, gpa, value, size, write))
		return EMUL_ACCESS_OK;
	if (vp->wait == VP_WAIT_MMIO && vp->wait_done && vp->wait_address == gpa && vp->wait_size == size) {
		if (!write)
			*value = vp->wait_value;
		vp->wait = VP_NO_WAIT;
		return EMUL_ACCESS_OK;
	}
	if (bus_access(vp->machine->bus, SPACE_MMIO, gpa, size, write, value, &vp->token) != BUS_PENDING)
		return EMUL_ACCESS_OK;
	vp_wait(vp, VP_WAIT_MMIO, gpa, size);
	return EMUL_ACCESS_AGAIN;
}

static enum emul_access touch(void *context, u64 linear, u64 *value, unsigned size, bool write)
{
	struct access *a = context;
	u64 gpa = 0, data = *value;
	enum linear_result r = LINEAR_NOT_RAM;

	if (known_page(a->m, linear)) {
		gpa = (a->m->gpa & ~(u64)(PAGE_SIZE - 1)) | (linear & (PAGE_SIZE - 1));
	} else {
		gpa = ~0ull;
		r = vp_linear(a->vp, a->state, linear, &data, size, a->user | (write ? WALK_WRITE : 0), &a->error, &gpa);
	}
	if (r == LINEAR_FAULT) {
		a->fault_linear = linear;
		return EMUL_ACCESS_FAULT;
	}
	if (r == LINEAR_OK) {
		*value = data;
		return EMUL_ACCESS_OK;
	}
	if (gpa == ~0ull) { /* page tables outside of RAM: as if nothing were there */
		*value = ~0ull;
		return EMUL_ACCESS_OK;
	}
	/* RAM in the intercept's page: a protected page; otherwise a device */
	return bus_part(a, gpa, value, size, write);
}

/* bytes from the message, else through the page tables from CS:RIP; 0: none to be had */
static size_t fetch(struct access *a, u8 bytes[16])
{
	size_t count = MIN(a->m->instruction_byte_count, sizeof(a->m->instruction_bytes));
	const struct hv_intercept_header *h = &a->m->header;
	unsigned mode = vp_mode(a->state);
	u64 linear = mode == 64 ? h->rip : (h->cs.base + h->rip) & 0xffffffffu, gpa;
	u32 error;

	if (count) {
		memcpy(bytes, a->m->instruction_bytes, count);
		return count;
	}
	/* up to the page's end first: the next page need not be there */
	count = MIN(15u, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	if (vp_linear(a->vp, a->state, linear, bytes, count, WALK_FETCH | a->user, &error, &gpa) != LINEAR_OK)
		return 0;
	if (count < 15 && vp_linear(a->vp, a->state, linear + count, bytes + count, 15 - count, WALK_FETCH | a->user, &error,
				    &gpa) == LINEAR_OK)
		count = 15;
	return count;
}

static void fill(struct vp *vp, const struct hv_register_page *s, const struct hv_intercept_header *h, struct emul_state *e)
{
	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		e->gpr[i] = i == HV_RSP ? s->gpr[HV_RSP] : hcl_gpr(&vp->hcl, i);
	for (unsigned i = 0; i < EMUL_SEGMENTS; i++)
		e->base[i] = vp_segment(s, i).base;
	e->rip = h->rip;
	e->rflags = h->rflags;
	e->mode = vp_mode(s);
}

static int write_back(struct vp *vp, const struct emul_state *before, const struct emul_state *after)
{
	int r = 0;

	for (unsigned i = 0; i < HV_GPR_COUNT; i++)
		if (after->gpr[i] != before->gpr[i])
			hcl_set_gpr(&vp->hcl, i, after->gpr[i]);
	if (after->rflags != before->rflags)
		r = hcl_set_rflags(&vp->hcl, after->rflags);
	if (!r && after->rip != before->rip)
		r = hcl_set_rip(&vp->hcl, after->rip);
	return r;
}

int exit_memory(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_memory_intercept *m = (const void *)msg->payload;
	struct access a = { .vp = vp, .m = m, .state = hcl_state(&vp->hcl),
			    .user = (m->header.execution_state & HV_EXECUTION_CPL) == 3 ? WALK_USER : 0 };
	struct emul_memory memory = { touch, &a };
	struct emul_state before, after;
	u8 bytes[16];
	int r;

	if (!a.state)
		return -EIO;
	fill(vp, a.state, &m->header, &before);
	after = before;
	size_t count = fetch(&a, bytes);
	enum emul_result result = m->header.access_type == HV_INTERCEPT_ACCESS_EXECUTE ?
				  EMUL_UNSUPPORTED : emul_run(&after, bytes, count, &memory);

	if (result == EMUL_DONE || result == EMUL_FAULT || result == EMUL_AGAIN) {
		vp->emulated++;
		if (vp->apic && (r = interrupt_give_tpr(vp)))
			return r;
		r = write_back(vp, &before, &after);
		return r || result != EMUL_FAULT ? r : vp_inject(vp, VECTOR_PF, true, a.error, a.fault_linear);
	}
	vp->not_emulated++;
	log_guest("VP %u: %s instruction at %#llx on GPA %#llx (%zu bytes: %02x %02x %02x %02x)", vp->index,
		  result == EMUL_TRUNCATED ? "truncated" : "unknown", (unsigned long long)m->header.rip,
		  (unsigned long long)m->gpa, count, count > 0 ? bytes[0] : 0, count > 1 ? bytes[1] : 0,
		  count > 2 ? bytes[2] : 0, count > 3 ? bytes[3] : 0);
	return vp_inject(vp, VECTOR_UD, false, 0, 0);
}
