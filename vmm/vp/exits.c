/* One function an exit message type (facts B9); the table is at the end. */
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/vp/internal.h"

LOG_DOMAIN("vp");

static int exit_cpuid(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_cpuid_intercept *m = (const void *)msg->payload;
	u32 leaf = (u32)m->rax;
	u32 r[CPUID_REGISTERS] = { (u32)m->default_rax, (u32)m->default_rbx, (u32)m->default_rcx, (u32)m->default_rdx };

	/* leaves of a paravisor's own range are not there for VTL0 */
	if (leaf >= 0x40000080u && leaf < 0x40010000u)
		memset(r, 0, sizeof(r));
	if (vp->machine->cpuid)
		cpuid_apply(vp->machine->cpuid, leaf, (u32)m->rcx, r);
	hcl_set_gpr(&vp->hcl, HV_RAX, r[CPUID_EAX]);
	hcl_set_gpr(&vp->hcl, HV_RBX, r[CPUID_EBX]);
	hcl_set_gpr(&vp->hcl, HV_RCX, r[CPUID_ECX]);
	hcl_set_gpr(&vp->hcl, HV_RDX, r[CPUID_EDX]);
	return vp_skip(vp, &m->header, vp_length(&m->header, 2)); /* 0F A2, and perhaps prefixes */
}

/* with the hypervisor's APIC it sends none: then the VP just goes on, as after a spurious wake */
static int exit_halt(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_intercept_header *h = (const void *)msg->payload;

	if (vp->apic)
		interrupt_halt(vp);
	return vp_skip(vp, h, h->instruction_length & 0xf);
}

static int exit_exception(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_exception_intercept *m = (const void *)msg->payload;

	return debug_exception(vp, m);
}

static int exit_unrecoverable(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_intercept_header *h = (const void *)msg->payload;
	struct vp_registers registers;
	char text[120];

	snprintf(text, sizeof(text), "VP %u: triple fault at %#x:%#llx, RFLAGS %#llx", vp->index, h->cs.selector,
		 (unsigned long long)h->rip, (unsigned long long)h->rflags);
	log_at(LOG_NOTICE, "%s", text);
	vp_stop(vp);
	vp_read_registers(vp, &registers);
	vp->machine->event(vp->machine, VP_TRIPLE_FAULT, vp->index, text, &registers);
	return 0;
}

static int exit_apic_eoi(struct vp *vp, const struct hv_message *msg)
{
	const struct hv_apic_eoi *m = (const void *)msg->payload;

	ioapic_eoi(vp->machine->ioapic, (u8)m->vector);
	return 0;
}

/* what waits is injected at the next entry. With its own APIC the hypervisor queues what we assert, and nothing asks for this. */
static int exit_deliverable(struct vp *vp, const struct hv_message *msg)
{
	vp->window = 0;
	return 0;
}

struct exit {
	u32 type;
	enum exit_reason reason;
	int (*handle)(struct vp *, const struct hv_message *);
};

static const struct exit exit_table[] = {
	{ HVMSG_X64_IO_PORT, EXIT_IO, exit_io },
	{ HVMSG_UNMAPPED_GPA, EXIT_MEMORY, exit_memory },
	{ HVMSG_GPA_INTERCEPT, EXIT_MEMORY, exit_memory },
	{ HVMSG_X64_MSR, EXIT_MSR, exit_msr },
	{ HVMSG_HYPERCALL_INTERCEPT, EXIT_HYPERCALL, exit_hypercall },
	{ HVMSG_X64_APIC_EOI, EXIT_APIC_EOI, exit_apic_eoi },
	{ HVMSG_X64_CPUID, EXIT_CPUID, exit_cpuid },
	{ HVMSG_X64_HALT, EXIT_HALT, exit_halt },
	{ HVMSG_X64_EXCEPTION, EXIT_EXCEPTION, exit_exception },
	{ HVMSG_X64_INTERRUPTION_DELIVERABLE, EXIT_INTERRUPTION_DELIVERABLE, exit_deliverable },
	{ HVMSG_SYNIC_SINT_DELIVERABLE, EXIT_SINT_DELIVERABLE, exit_sint_deliverable },
	{ HVMSG_UNRECOVERABLE_EXCEPTION, EXIT_UNRECOVERABLE, exit_unrecoverable },
};
_Static_assert(sizeof(struct hv_exception_intercept) <= HV_MESSAGE_PAYLOAD_LEN, "every payload fits a message");

int exit_dispatch(struct vp *vp)
{
	const struct hv_message *msg = &vp->hcl.run->exit_message;
	char text[80];

	u64 injected = vp->injected;

	hcl_exit_begin(&vp->hcl);
	for (size_t i = 0; i < ARRAY_SIZE(exit_table); i++)
		if (exit_table[i].type == msg->type) {
			vp->exits[exit_table[i].reason]++;
			int r = exit_table[i].handle(vp, msg);

			return r || !vp->debug.stepping ? r : debug_after_exit(vp, exit_table[i].reason, injected);
		}
	/* resuming at the same instruction would only bring it back */
	vp->exits[EXIT_UNKNOWN]++;
	snprintf(text, sizeof(text), "VP %u: exit of unknown type %#x", vp->index, msg->type);
	log_at(LOG_ERROR, "%s", text);
	vp_stop(vp);
	vp->machine->event(vp->machine, VP_FAILED, vp->index, text, NULL);
	return 0;
}
