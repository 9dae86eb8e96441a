/* VTL0's SynIC: its posts and signals come here as intercepts (facts B8), ours go there by direct hypercalls. */
#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

/* a hypercall's input as its convention gives it (TLFS 3.7) */
struct input {
	u64 control, first;
	bool wide; /* 64-bit caller */
};

static struct input input_of(const struct hv_hypercall_intercept *m)
{
	if (m->header.cs.attributes & BIT(13))
		return (struct input){ m->rcx, m->rdx, true };
	return (struct input){ m->rdx << 32 | (u32)m->rax, m->rbx << 32 | (u32)m->rcx, false };
}

/* the input block in the guest's memory; false: it does not lie there as it must */
static bool read_input(struct vp *vp, const struct input *in, void *to, size_t len)
{
	return !(in->control & HV_HYPERCALL_FAST) && !(in->first & 7) && (in->first & (PAGE_SIZE - 1)) + len <= PAGE_SIZE &&
	       !guest_read(vp->machine->guest, in->first, to, len);
}

static u16 post_message(struct vp *vp, const struct input *in)
{
	struct hv_post_message m;

	vp->posts++;
	if (!read_input(vp, in, &m, sizeof(m)))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (m.payload_size > sizeof(m.payload))
		return HV_STATUS_INVALID_PARAMETER;
	return vp->machine->post_message ? vp->machine->post_message(vp->machine, &m) : HV_STATUS_INVALID_CONNECTION_ID;
}

static u16 signal_event(struct vp *vp, const struct input *in)
{
	u64 word = in->first;

	vp->signals++;
	if (!(in->control & HV_HYPERCALL_FAST) && !read_input(vp, in, &word, sizeof(word)))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	return vp->machine->signal_event ? vp->machine->signal_event(vp->machine, (u32)word, (u16)(word >> 32)) :
					   HV_STATUS_INVALID_CONNECTION_ID;
}

int exit_hypercall(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_hypercall_intercept *m = (const void *)msg->payload;
	struct input in = input_of(m);
	u16 code = (u16)(in.control & HV_HYPERCALL_CODE), status = HV_STATUS_INVALID_HYPERCALL_CODE;

	if (code == HVCALL_POST_MESSAGE)
		status = post_message(vp, &in);
	else if (code == HVCALL_SIGNAL_EVENT)
		status = signal_event(vp, &in);
	else
		log_guest("VP %u: hypercall %#x is not served", vp->index, code);
	vp->invalid_connections += status == HV_STATUS_INVALID_CONNECTION_ID;
	hcl_set_gpr(&vp->hcl, HV_RAX, status);
	if (!in.wide) /* 32-bit callers get EDX:EAX */
		hcl_set_gpr(&vp->hcl, HV_RDX, 0);
	return vp_skip(vp, &m->header, vp_length(&m->header, 3)); /* VMCALL and VMMCALL, or what else the hypercall page has */
}

int exit_sint_deliverable(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_sint_deliverable *m = (const void *)msg->payload;

	if (vp->machine->sint_deliverable)
		vp->machine->sint_deliverable(vp->machine, vp->index, m->sints);
	return 0;
}

u16 vp_post_message(struct machine *m, u32 vp, u8 sint, const struct hv_message *message)
{
	if (m->apics)
		return synic_post_direct(vapic_synic(vapics_get(m->apics, vp)), sint, message);

	struct hv_post_message_direct in = { .partition_id = HV_PARTITION_ID_SELF, .vp_index = vp, .sint = sint };
	u16 status = 0;

	memcpy(in.message, message, sizeof(in.message));
	int r = hcl_call(m->hcl, HVCALL_POST_MESSAGE_DIRECT, &in, sizeof(in), &status);

	return r && r != -EIO ? HV_STATUS_OPERATION_DENIED : status;
}

void vp_signal_event(struct machine *m, u32 vp, u8 sint, u16 flag)
{
	if (m->apics) {
		synic_signal(vapic_synic(vapics_get(m->apics, vp)), sint, flag);
		return;
	}

	struct hv_signal_event_direct in = { .partition_id = HV_PARTITION_ID_SELF, .vp_index = vp, .sint = sint, .flag = flag };
	u16 status = 0;

	if (vp_here && vp_here->running && hcl_defer_signal(&vp_here->hcl, vp, sint, flag)) {
		vp_here->signals_deferred++;
		return;
	}
	if (vp_here)
		vp_here->signals_called++;
	if (hcl_call(m->hcl, HVCALL_SIGNAL_EVENT_DIRECT, &in, sizeof(in), &status))
		log_guest("VP %u: event flag %u cannot be set: status %#x", vp, flag, status);
}

/* the register is the VP's own, and set on its CPU only */
static void ask_for_sints(struct op *op, int ignored)
{
	struct vp *vp = container_of(op, struct vp, sint_op);
	u32 sints;

	atomic_store(&vp->sint_posted, false);
	if (vp->apic) {
		interrupt_look_at_slots(vp);
		return;
	}
	sints = atomic_exchange(&vp->wanted_sints, 0);
	if (sints && hcl_set64(&vp->hcl, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, FIELD_PREP(HV_DELIVERABILITY_SINTS, sints)))
		log_at(LOG_WARN, "VP %u: no notification for SINTs %#x", vp->index, sints);
}

void vp_want_sint(struct vp *vp, u8 sint)
{
	atomic_fetch_or(&vp->wanted_sints, 1u << sint);
	if (!atomic_exchange(&vp->sint_posted, true))
		exec_post(vp->exec, &vp->sint_op, ask_for_sints, 0);
}
