/* Hypercalls of both VTLs (TLFS chapter 3): checked input, one handler each, HV_STATUS_* out. */
#include <errno.h>
#include <string.h>

#include "host/vtl/vp.h"
#include "lib/log/log.h"

LOG_DOMAIN("hypercall");

struct call {
	struct vp *vp;
	enum vtl vtl;
	u64 control, input_gpa, output_gpa;
	u32 code, reps, start, done;
	bool fast;
	u32 header_room; /* of a fast call: 16 bytes in RDX and R8 */
	u8 fast_input[16];
	const u8 *input; /* up to the end of its page */
	u32 input_len;
	u8 *output;
	u32 output_len;
};

typedef u16 (*call_fn)(struct call *c);

#define ALLOW_VTL0 1u
#define ALLOW_VTL2 2u

/* VTL2 names the VTL it means; a plain zero is its own */
static enum vtl target_vtl(const struct call *c, u8 input_vtl)
{
	if (c->vtl == VTL0 || !(input_vtl & HV_INPUT_VTL_USE_TARGET))
		return c->vtl;
	return (input_vtl & HV_INPUT_VTL_TARGET) == 0 ? VTL0 : VTL2;
}

static struct vp *target_vp(const struct call *c, u64 partition_id, u32 index)
{
	struct partition *p = c->vp->partition;

	if (partition_id != HV_PARTITION_ID_SELF)
		return NULL;
	if (index == HV_VP_INDEX_SELF)
		return c->vp;
	return index < p->vp_count ? &p->vps[index] : NULL;
}

static u16 get_vp_registers(struct call *c)
{
	const struct hv_get_vp_registers *in = (const void *)c->input;

	if (c->input_len < sizeof(*in) + c->reps * sizeof(in->names[0]) || c->output_len < c->reps * 16)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	struct vp *vp = target_vp(c, in->partition_id, in->vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if (vp != c->vp && atomic_load(&vp->started))
		return HV_STATUS_INVALID_VP_STATE; /* its registers are in its thread's hands */
	for (u32 i = c->start; i < c->reps; i++, c->done = i) {
		union hv_register_value value;
		u16 status = register_get(vp, target_vtl(c, in->input_vtl), in->names[i], &value);

		if (status)
			return status;
		memcpy(c->output + 16 * i, &value, 16);
	}
	return HV_STATUS_SUCCESS;
}

static u16 set_vp_registers(struct call *c)
{
	const struct hv_set_vp_registers *in = (const void *)c->input;

	if (c->input_len < sizeof(*in) + c->reps * sizeof(in->elements[0]))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	struct vp *vp = target_vp(c, in->partition_id, in->vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if (vp != c->vp && atomic_load(&vp->started))
		return HV_STATUS_INVALID_VP_STATE;
	for (u32 i = c->start; i < c->reps; i++, c->done = i) {
		struct hv_register_assoc element;

		memcpy(&element, &in->elements[i], sizeof(element));
		u16 status = register_set(vp, target_vtl(c, in->input_vtl), element.name, &element.value);

		if (status)
			return status;
	}
	return HV_STATUS_SUCCESS;
}

static u16 post_message(struct call *c)
{
	struct hv_post_message m;

	if (c->input_len < sizeof(m))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&m, c->input, sizeof(m));
	if (m.payload_size > sizeof(m.payload))
		return HV_STATUS_INVALID_PARAMETER;
	const struct partition *p = c->vp->partition;

	return p->config.ops->post_message(p->config.ctx, c->vp->index, c->vtl, &m);
}

static u16 signal_event(struct call *c)
{
	struct {
		u32 connection;
		u16 flag, reserved;
	} in;
	const struct partition *p = c->vp->partition;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	return p->config.ops->signal_event(p->config.ctx, c->vp->index, c->vtl, in.connection, in.flag);
}

/* VTL2 puts a message into a slot of VTL0's, or sets one of its event flags, without port and connection */
static u16 post_message_direct(struct call *c)
{
	struct hv_post_message_direct in;
	struct hv_message m;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	memcpy(&m, in.message, sizeof(m));
	struct vp *vp = target_vp(c, in.partition_id, in.vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if (in.vtl != 0 || in.sint >= HV_SINT_COUNT || m.type == HVMSG_NONE || m.payload_size > HV_MESSAGE_PAYLOAD_LEN)
		return HV_STATUS_INVALID_PARAMETER;
	if (c->vp->partition->config.no_apic)
		return HV_STATUS_OPERATION_DENIED;
	return synic_post_direct(&vp->per[VTL0].synic, in.sint, &m);
}

static u16 signal_event_direct(struct call *c)
{
	struct hv_signal_event_direct in;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	struct vp *vp = target_vp(c, in.partition_id, in.vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if (in.vtl != 0 || in.sint >= HV_SINT_COUNT || in.flag >= SYNIC_EVENT_FLAGS)
		return HV_STATUS_INVALID_PARAMETER;
	if (c->vp->partition->config.no_apic)
		return HV_STATUS_OPERATION_DENIED;
	bool fresh = partition_signal(c->vp->partition, vp->index, VTL0, in.sint, in.flag);

	if (c->output_len >= 8)
		memcpy(c->output, &(u64){ fresh }, 8);
	return HV_STATUS_SUCCESS;
}

static u16 retarget_interrupt(struct call *c)
{
	const struct partition *p = c->vp->partition;

	if (!p->config.ops->retarget)
		return HV_STATUS_INVALID_PARAMETER;
	return p->config.ops->retarget(p->config.ctx, c->vp->index, c->vtl, c->input, c->input_len);
}

static u16 install_intercept(struct call *c)
{
	struct hv_install_intercept in;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	switch (in.intercept_type) {
	case HV_INTERCEPT_EXCEPTION:
		return debug_install(c->vp->partition, in.parameter, in.access_type);
	case HV_INTERCEPT_IO_PORT:
	case HV_INTERCEPT_IO_PORT_RANGE: /* all ports exit here; the range given is not narrowed */
	case HV_INTERCEPT_MSR:
	case HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION:
	case HV_INTERCEPT_APIC_EOI:
	case HV_INTERCEPT_RETARGET_UNKNOWN_DEVICE:
		break;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
	u32 bit = 1u << in.intercept_type;

	if (in.access_type)
		__atomic_fetch_or(&c->vp->partition->intercepts, bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&c->vp->partition->intercepts, ~bit, __ATOMIC_SEQ_CST);
	return HV_STATUS_SUCCESS;
}

static u16 register_intercept_result(struct call *c)
{
	struct hv_register_intercept_result in;

	if (c->input_len < offsetof(struct hv_register_intercept_result, pad))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, offsetof(struct hv_register_intercept_result, pad));
	if (in.intercept_type != HV_INTERCEPT_CPUID)
		return HV_STATUS_INVALID_PARAMETER;
	return cpuid_register_result(c->vp->partition, &in.parameters);
}

static u16 modify_vtl_protection_mask(struct call *c)
{
	const struct hv_modify_vtl_protection_mask *in = (const void *)c->input;

	if (c->input_len < sizeof(*in) + c->reps * sizeof(in->gpa_pages[0]))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	for (u32 i = c->start; i < c->reps; i++, c->done = i) {
		int r = memory_protect(c->vp->partition, in->gpa_pages[i] << PAGE_SHIFT, in->map_flags);

		if (r)
			return r == -EINVAL ? HV_STATUS_INVALID_PARAMETER :
			       r == -EPERM  ? HV_STATUS_OPERATION_DENIED :
					      HV_STATUS_INSUFFICIENT_MEMORY;
	}
	return HV_STATUS_SUCCESS;
}

static u16 assert_virtual_interrupt(struct call *c)
{
	struct hv_assert_virtual_interrupt in;
	struct partition *p = c->vp->partition;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	if (in.target_vtl != 0 || in.vector > 0xff)
		return HV_STATUS_INVALID_PARAMETER;
	if (p->config.no_apic)
		return HV_STATUS_OPERATION_DENIED;
	for (u32 i = 0; i < p->vp_count; i++) {
		struct lapic *apic = &p->vps[i].per[VTL0].apic;

		if (!lapic_matches(apic, (u32)in.destination, in.control & HV_INTERRUPT_LOGICAL))
			continue;
		if (in.interrupt_type == LAPIC_NMI)
			lapic_request_nmi(apic);
		else if (in.interrupt_type <= LAPIC_LOWEST || in.interrupt_type == LAPIC_EXTINT)
			lapic_request(apic, (u8)in.vector, in.control & HV_INTERRUPT_LEVEL, false);
		else
			return HV_STATUS_INVALID_PARAMETER;
		c->vp->counters.interrupts[VTL0]++;
		vp_kick(&p->vps[i]);
		if (in.interrupt_type == LAPIC_LOWEST)
			break;
	}
	return HV_STATUS_SUCCESS;
}

static u16 enable_vp_vtl(struct call *c)
{
	const struct hv_start_vp *in = (const void *)c->input;

	if (c->input_len < sizeof(*in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	struct vp *vp = target_vp(c, in->partition_id, in->vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if ((in->target_vtl & HV_INPUT_VTL_TARGET) != 2)
		return HV_STATUS_INVALID_PARAMETER;
	if (vp->vtl2_enabled)
		return HV_STATUS_VTL_ALREADY_ENABLED;
	vp->vtl2_enabled = true;
	return HV_STATUS_SUCCESS;
}

static u16 start_vp(struct call *c)
{
	const struct hv_start_vp *in = (const void *)c->input;

	if (c->input_len < sizeof(*in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	struct vp *vp = target_vp(c, in->partition_id, in->vp_index);

	if (!vp)
		return HV_STATUS_INVALID_VP_INDEX;
	if ((in->target_vtl & HV_INPUT_VTL_TARGET) != 2)
		return HV_STATUS_INVALID_PARAMETER;
	if (atomic_load(&vp->started) || !vp->vtl2_enabled)
		return HV_STATUS_INVALID_VP_STATE;
	memcpy(&vp->start_context, in, sizeof(*in));
	atomic_store(&vp->started, true);
	vp_kick(vp);
	return HV_STATUS_SUCCESS;
}

static u16 vp_index_from_apic_id(struct call *c)
{
	const struct partition_config *config = &c->vp->partition->config;
	u32 header = 16;

	if (c->input_len < header + c->reps * 4 || c->output_len < c->reps * 4)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	for (u32 i = c->start; i < c->reps; i++, c->done = i) {
		u32 apic_id, index = 0;

		memcpy(&apic_id, c->input + header + 4 * i, 4);
		while (index < config->vp_count && config->apic_ids[index] != apic_id)
			index++;
		if (index == config->vp_count)
			return HV_STATUS_INVALID_PARAMETER;
		memcpy(c->output + 4 * i, &index, 4);
	}
	return HV_STATUS_SUCCESS;
}

static u16 send_ipi(struct call *c)
{
	struct {
		u32 vector;
		u8 target_vtl, pad[3];
		u64 mask;
	} in;
	struct partition *p = c->vp->partition;

	if (c->input_len < sizeof(in))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memcpy(&in, c->input, sizeof(in));
	if (in.vector < 16 || in.vector > 0xff)
		return HV_STATUS_INVALID_PARAMETER;
	enum vtl vtl = target_vtl(c, in.target_vtl);

	if (vtl == VTL0 && p->config.no_apic)
		return HV_STATUS_OPERATION_DENIED;
	for (u32 i = 0; i < p->vp_count; i++)
		if (in.mask >> i & 1) {
			lapic_request(&p->vps[i].per[vtl].apic, (u8)in.vector, false, false);
			vp_kick(&p->vps[i]);
		}
	return HV_STATUS_SUCCESS;
}

static u16 notify_long_spin_wait(struct call *c)
{
	return HV_STATUS_SUCCESS; /* advice; the scheduler here is Linux's */
}

static const struct {
	u16 code;
	u8 allow;
	call_fn run;
} calls[] = {
	{ HVCALL_NOTIFY_LONG_SPIN_WAIT, ALLOW_VTL0 | ALLOW_VTL2, notify_long_spin_wait },
	{ HVCALL_SEND_IPI, ALLOW_VTL0 | ALLOW_VTL2, send_ipi },
	{ HVCALL_MODIFY_VTL_PROTECTION_MASK, ALLOW_VTL2, modify_vtl_protection_mask },
	{ HVCALL_ENABLE_VP_VTL, ALLOW_VTL2, enable_vp_vtl },
	{ HVCALL_INSTALL_INTERCEPT, ALLOW_VTL2, install_intercept },
	{ HVCALL_GET_VP_REGISTERS, ALLOW_VTL2, get_vp_registers },
	{ HVCALL_SET_VP_REGISTERS, ALLOW_VTL2, set_vp_registers },
	{ HVCALL_POST_MESSAGE, ALLOW_VTL0 | ALLOW_VTL2, post_message },
	{ HVCALL_SIGNAL_EVENT, ALLOW_VTL0 | ALLOW_VTL2, signal_event },
	{ HVCALL_RETARGET_INTERRUPT, ALLOW_VTL2, retarget_interrupt },
	{ HVCALL_REGISTER_INTERCEPT_RESULT, ALLOW_VTL2, register_intercept_result },
	{ HVCALL_ASSERT_VIRTUAL_INTERRUPT, ALLOW_VTL2, assert_virtual_interrupt },
	{ HVCALL_START_VP, ALLOW_VTL2, start_vp },
	{ HVCALL_SIGNAL_EVENT_DIRECT, ALLOW_VTL2, signal_event_direct },
	{ HVCALL_POST_MESSAGE_DIRECT, ALLOW_VTL2, post_message_direct },
	{ HVCALL_GET_VP_INDEX_FROM_APIC_ID, ALLOW_VTL0 | ALLOW_VTL2, vp_index_from_apic_id },
};

/* input and output as the control word says they lie; false: HV_STATUS_INVALID_HYPERCALL_INPUT / ALIGNMENT in *status */
static bool map_arguments(struct call *c, const struct kvm_regs *r, u16 *status)
{
	if (c->fast) {
		memcpy(c->fast_input, &r->rdx, 8);
		memcpy(c->fast_input + 8, &r->r8, 8);
		c->input = c->fast_input;
		c->input_len = sizeof(c->fast_input);
		return true;
	}
	*status = HV_STATUS_INVALID_ALIGNMENT;
	if ((c->input_gpa | c->output_gpa) & 7)
		return false;
	c->input_len = PAGE_SIZE - (u32)(c->input_gpa & (PAGE_SIZE - 1));
	c->input = partition_memory(c->vp->partition, c->input_gpa, c->input_len, c->vtl == VTL2);
	c->output_len = PAGE_SIZE - (u32)(c->output_gpa & (PAGE_SIZE - 1));
	c->output = partition_memory(c->vp->partition, c->output_gpa, c->output_len, c->vtl == VTL2);
	if (!c->output)
		c->output_len = 0;
	if (!c->input)
		c->input_len = 0;
	return true;
}

static u16 dispatch(struct call *c, const struct kvm_regs *r)
{
	u16 status;

	if (c->control & HV_HYPERCALL_RESERVED || c->start > c->reps || (c->start && c->start == c->reps))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (!map_arguments(c, r, &status))
		return status;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].code == c->code)
			return calls[i].allow & (c->vtl == VTL2 ? ALLOW_VTL2 : ALLOW_VTL0) ? calls[i].run(c) :
											     HV_STATUS_ACCESS_DENIED;
	log_at(LOG_DEBUG, "VP %u VTL%u: hypercall %#x is not offered", c->vp->index, vtl_number(c->vtl), c->code);
	return HV_STATUS_INVALID_HYPERCALL_CODE;
}

/* may VTL2 want to answer this instead? */
static bool becomes_intercept(const struct call *c, u16 status)
{
	if (c->vtl != VTL0)
		return false;
	if (c->code == HVCALL_POST_MESSAGE || c->code == HVCALL_SIGNAL_EVENT)
		return status == HV_STATUS_INVALID_CONNECTION_ID &&
		       intercept_wanted(c->vp->partition, HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION);
	if (c->code == HVCALL_RETARGET_INTERRUPT)
		return intercept_wanted(c->vp->partition, HV_INTERCEPT_RETARGET_UNKNOWN_DEVICE);
	return false;
}

void hypercall(struct vp *vp, enum vtl vtl)
{
	struct vcpu *v = &vp->per[vtl].vcpu;
	struct kvm_regs *r = &REGS(v);
	struct call c = {
		.vp = vp, .vtl = vtl, .control = r->rcx, .input_gpa = r->rdx, .output_gpa = r->r8,
		.code = r->rcx & HV_HYPERCALL_CODE, .reps = FIELD_GET(HV_HYPERCALL_REP_COUNT, r->rcx),
		.start = FIELD_GET(HV_HYPERCALL_REP_START, r->rcx), .fast = r->rcx & HV_HYPERCALL_FAST,
	};

	c.done = c.start;
	if (c.code < ARRAY_SIZE(vp->counters.hypercalls[0]))
		vp->counters.hypercalls[vtl][c.code]++;
	u16 status = dispatch(&c, r);

	if (becomes_intercept(&c, status)) {
		v->open = ACCESS_PORT;
		v->open_rip = r->rip;
		intercept_hypercall(vp);
		return;
	}
	r->rax = status | FIELD_PREP(HV_RESULT_REPS_DONE, c.done);
	r->rip += 2;
	regs_dirty(v);
	if (vtl == VTL0) /* one that waits while VTL2 calls stays */
		vp->trap_pending = debug_stepping(vp);
}
