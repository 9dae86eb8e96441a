#include "vmm/hcl/hcl.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"

LOG_DOMAIN("hcl");

void hcl_destroy(struct hcl *hcl)
{
	if (hcl)
		hcl->ops->destroy(hcl);
}

int hcl_vp_open(struct hcl *hcl, unsigned cpu, struct hcl_vp *vp)
{
	*vp = (struct hcl_vp){ .hcl = hcl, .cpu = cpu };
	union hv_register_value capabilities = { { 0, 0 } };
	int r = hcl->ops->vp_open(hcl, vp);

	if (!r && !hcl->ops->get(vp, HV_REGISTER_VSM_CAPABILITIES, &capabilities))
		vp->return_actions = capabilities.u64[0] & HV_VSM_CAP_RETURN_ACTION;
	return r;
}

bool hcl_defer_signal(struct hcl_vp *vp, u32 target, u8 sint, u16 flag)
{
	const struct hv_vtl_return_signal_event action = { HV_VTL_RETURN_SIGNAL_EVENT, target, 0, sint, flag };
	u32 len = vp->run->vtl_ret_action_size;

	if (!vp->return_actions || len + sizeof(action) > sizeof(vp->run->vtl_ret_actions))
		return false;
	for (u32 at = 0; at < len; at += sizeof(action))
		if (!memcmp(vp->run->vtl_ret_actions + at, &action, sizeof(action)))
			return true;
	memcpy(vp->run->vtl_ret_actions + len, &action, sizeof(action));
	vp->run->vtl_ret_action_size = len + (u32)sizeof(action);
	return true;
}

unsigned hcl_take_signals(struct hcl_vp *vp, struct hv_vtl_return_signal_event *ret, unsigned max)
{
	unsigned count = vp->run ? MIN(vp->run->vtl_ret_action_size / (u32)sizeof(*ret), max) : 0;

	if (!count)
		return 0;
	memcpy(ret, vp->run->vtl_ret_actions, count * sizeof(*ret));
	vp->run->vtl_ret_action_size = 0;
	return count;
}

int hcl_run(struct hcl_vp *vp)
{
	vp->shadow_valid = false;
	return vp->hcl->ops->run(vp);
}

int hcl_set_poll_file(struct hcl_vp *vp, int fd)
{
	return vp->hcl->ops->set_poll_file(vp, fd);
}

int hcl_get(struct hcl_vp *vp, u32 name, union hv_register_value *ret)
{
	vp->register_calls++;
	return vp->hcl->ops->get(vp, name, ret);
}

/*
 * A value set by hypercall is older than what a dirty register page holds: the hypervisor would write the page's value
 * over it at the next entry (host-spike.md). So the bit goes, and the page takes the new value.
 */
static void forget_dirty(struct hcl_vp *vp, u32 name, u64 value)
{
	if (!vp->page)
		return;
	if (name == HV_X64_REGISTER_RIP) {
		vp->page->rip = value;
		vp->page->dirty &= ~(u32)HV_REGISTER_CLASS_IP;
	} else if (name == HV_X64_REGISTER_RFLAGS) {
		vp->page->rflags = value;
		vp->page->dirty &= ~(u32)HV_REGISTER_CLASS_FLAGS;
	} else if (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_GS) {
		vp->page->dirty &= ~(u32)HV_REGISTER_CLASS_SEGMENT;
	} else if (name == HV_REGISTER_PENDING_INTERRUPTION) {
		vp->page->pending_interruption = value;
	} else if (name == HV_X64_REGISTER_CR8) {
		vp->page->cr8 = value;
	} else if (name == HV_X64_REGISTER_RSP) {
		vp->page->gpr[HV_RSP] = value;
	}
}

int hcl_set(struct hcl_vp *vp, u32 name, const union hv_register_value *value)
{
	int r;

	vp->register_calls++;
	vp->shadow_valid = false;
	r = vp->hcl->ops->set(vp, name, value);
	if (!r)
		forget_dirty(vp, name, value->u64[0]);
	return r;
}

int hcl_get64(struct hcl_vp *vp, u32 name, u64 *ret)
{
	union hv_register_value value = { { 0, 0 } };
	int r = hcl_get(vp, name, &value);

	if (!r)
		*ret = value.u64[0];
	return r;
}

int hcl_set64(struct hcl_vp *vp, u32 name, u64 value)
{
	union hv_register_value v = { { value, 0 } };

	return hcl_set(vp, name, &v);
}

int hcl_call(struct hcl *hcl, u32 code, const void *in, size_t in_len, u16 *ret_status)
{
	u64 result = 0;
	int r = hcl->ops->call(hcl, code, in, in_len, NULL, 0, &result);

	*ret_status = (u16)(result & HV_RESULT_STATUS);
	return r ? r : *ret_status ? -EIO : 0;
}

int hcl_call_rep(struct hcl *hcl, u32 code, const void *head, size_t head_len, const void *elements, size_t size,
		 u32 count, u16 *ret_status)
{
	u8 page[PAGE_SIZE];
	u32 room = (u32)((sizeof(page) - head_len) / size), done = 0;

	*ret_status = 0;
	memcpy(page, head, head_len);
	while (done < count) {
		u32 batch = MIN(count - done, MIN(room, 0xfffu)), at = 0;

		memcpy(page + head_len, (const u8 *)elements + (size_t)done * size, (size_t)batch * size);
		while (at < batch) {
			u64 control = code | FIELD_PREP(HV_HYPERCALL_REP_COUNT, batch) |
				      FIELD_PREP(HV_HYPERCALL_REP_START, at), result = 0;
			int r = hcl->ops->call(hcl, control, page, head_len + (size_t)batch * size, NULL, 0, &result);
			u32 reps = (u32)FIELD_GET(HV_RESULT_REPS_DONE, result);

			*ret_status = (u16)(result & HV_RESULT_STATUS);
			if (r || *ret_status)
				return r ? r : -EIO;
			if (reps <= at || reps > batch) /* no progress, or more than asked: do not loop on it */
				return -EPROTO;
			at = reps;
		}
		done += batch;
	}
	return 0;
}

static bool page_usable(struct hcl_vp *vp)
{
	return vp->page && vp->page->valid && vp->page->version == HV_REGISTER_PAGE_VERSION;
}

void hcl_exit_begin(struct hcl_vp *vp)
{
	vp->shadow_valid = false;
}

/* the run page's slots are RAX RCX RDX RBX CR2 RBP RSI RDI R8.. (spec/mshv.h) */
static u64 *slot(struct hcl_vp *vp, enum hv_gpr gpr)
{
	return &vp->run->context.rax + gpr;
}

u64 hcl_gpr(struct hcl_vp *vp, enum hv_gpr gpr)
{
	u64 value = 0;

	if (gpr != HV_RSP)
		return *slot(vp, gpr);
	if (page_usable(vp))
		return vp->page->gpr[HV_RSP];
	if (hcl_get64(vp, HV_X64_REGISTER_RSP, &value))
		log_at(LOG_WARN, "VP %u: RSP cannot be read", vp->cpu);
	return value;
}

void hcl_gprs(struct hcl_vp *vp, u64 ret[HV_GPR_COUNT])
{
	memcpy(ret, slot(vp, HV_RAX), HV_GPR_COUNT * sizeof(*ret));
	ret[HV_RSP] = hcl_gpr(vp, HV_RSP); /* its slot is CR2's */
}

void hcl_set_gpr(struct hcl_vp *vp, enum hv_gpr gpr, u64 value)
{
	if (gpr != HV_RSP) {
		*slot(vp, gpr) = value;
	} else if (page_usable(vp)) {
		/* the class covers all GPRs, and only RSP of them is the page's to say: keep the shared ones equal */
		for (unsigned i = 0; i < HV_GPR_COUNT; i++)
			vp->page->gpr[i] = i == HV_RSP ? value : *slot(vp, i);
		vp->page->dirty |= (u32)HV_REGISTER_CLASS_GENERAL;
	} else if (hcl_set64(vp, HV_X64_REGISTER_RSP, value)) {
		log_at(LOG_WARN, "VP %u: RSP cannot be set", vp->cpu);
	}
}

int hcl_set_rip(struct hcl_vp *vp, u64 rip)
{
	if (!page_usable(vp))
		return hcl_set64(vp, HV_X64_REGISTER_RIP, rip);
	vp->page->rip = rip;
	vp->page->dirty |= (u32)HV_REGISTER_CLASS_IP;
	return 0;
}

int hcl_set_rflags(struct hcl_vp *vp, u64 rflags)
{
	if (!page_usable(vp))
		return hcl_set64(vp, HV_X64_REGISTER_RFLAGS, rflags);
	vp->page->rflags = rflags;
	vp->page->dirty |= (u32)HV_REGISTER_CLASS_FLAGS;
	return 0;
}

int hcl_flush(struct hcl_vp *vp)
{
	u32 dirty = page_usable(vp) ? vp->page->dirty : 0;
	int r = 0;

	if (dirty & HV_REGISTER_CLASS_GENERAL)
		r = hcl_set64(vp, HV_X64_REGISTER_RSP, vp->page->gpr[HV_RSP]);
	if (!r && dirty & HV_REGISTER_CLASS_IP)
		r = hcl_set64(vp, HV_X64_REGISTER_RIP, vp->page->rip);
	if (!r && dirty & HV_REGISTER_CLASS_FLAGS)
		r = hcl_set64(vp, HV_X64_REGISTER_RFLAGS, vp->page->rflags);
	if (!r && vp->page)
		vp->page->dirty &= ~(u32)HV_REGISTER_CLASS_GENERAL; /* the other classes' bits went with the calls */
	return r;
}

static int fill_segment(struct hcl_vp *vp, u32 name, struct hv_segment *ret)
{
	union hv_register_value value;
	int r = hcl_get(vp, name, &value);

	if (!r)
		*ret = value.segment;
	return r;
}

/* register by register, where the hypervisor fills no page; apart, so that the others do not pay for its large variables */
static __attribute__((noinline)) int fill_shadow(struct hcl_vp *vp)
{
	static const struct { u32 name; size_t at; } words[] = {
		{ HV_X64_REGISTER_RIP, offsetof(struct hv_register_page, rip) },
		{ HV_X64_REGISTER_RFLAGS, offsetof(struct hv_register_page, rflags) },
		{ HV_X64_REGISTER_CR0, offsetof(struct hv_register_page, cr0) },
		{ HV_X64_REGISTER_CR3, offsetof(struct hv_register_page, cr3) },
		{ HV_X64_REGISTER_CR4, offsetof(struct hv_register_page, cr4) },
		{ HV_X64_REGISTER_CR8, offsetof(struct hv_register_page, cr8) },
		{ HV_X64_REGISTER_EFER, offsetof(struct hv_register_page, efer) },
		{ HV_REGISTER_PENDING_INTERRUPTION, offsetof(struct hv_register_page, pending_interruption) },
		{ HV_REGISTER_INTERRUPT_STATE, offsetof(struct hv_register_page, interrupt_state) },
	};

	struct hv_register_page got = { 0 };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		u64 value;

		r = hcl_get64(vp, words[i].name, &value);
		if (r)
			return r;
		memcpy((u8 *)&got + words[i].at, &value, sizeof(value));
	}
	struct hv_segment segments[6];

	for (u32 i = 0; !r && i < 6; i++)
		r = fill_segment(vp, HV_X64_REGISTER_ES + i, &segments[i]);
	if (r)
		return r;
	memcpy((u8 *)&got + offsetof(struct hv_register_page, es), segments, sizeof(segments));
	vp->shadow = got;
	vp->shadow_valid = true;
	return 0;
}

const struct hv_register_page *hcl_state(struct hcl_vp *vp)
{
	if (page_usable(vp))
		return vp->page;
	return vp->shadow_valid || !fill_shadow(vp) ? &vp->shadow : NULL;
}
