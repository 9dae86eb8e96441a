#include <string.h>

#include "host/vtl/vp.h"

#define INSTRUCTION_LENGTH_MASK 0xf

bool intercept_wanted(struct partition *p, u32 type)
{
	return __atomic_load_n(&p->intercepts, __ATOMIC_RELAXED) >> type & 1;
}

static void fill_header(struct vp *vp, struct hv_intercept_header *h, u32 length, u8 access)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_sregs *s = &SREGS(v);

	h->vp_index = vp->index;
	h->instruction_length = (u8)((length & INSTRUCTION_LENGTH_MASK) | (s->cr8 & 0xf) << 4);
	h->access_type = access;
	h->execution_state = (u16)((s->ss.dpl & HV_EXECUTION_CPL) | (s->cr0 & 1 ? HV_EXECUTION_CR0_PE : 0) |
				   (s->cr0 >> 18 & 1 ? HV_EXECUTION_CR0_AM : 0) |
				   (s->efer >> 10 & 1 ? HV_EXECUTION_EFER_LMA : 0) |
				   (v->run->s.regs.events.interrupt.shadow ? HV_EXECUTION_INTERRUPT_SHADOW : 0));
	segment_to_hv(&s->cs, &h->cs);
	h->rip = REGS(v).rip;
	h->rflags = REGS(v).rflags;
}

/* hand the message over in the assist page and enter VTL2 */
static void deliver(struct vp *vp, u32 type, const void *payload, u32 len, enum partition_intercept count)
{
	u64 msr = vp->per[VTL2].assist_page;
	struct hv_vp_assist_page *assist =
		msr & HV_MSR_PAGE_ENABLE ? partition_memory(vp->partition, msr & HV_MSR_PAGE_GPA, PAGE_SIZE, true) : NULL;

	if (!assist) {
		vp_event(vp, PARTITION_FATAL, VTL2,
			 "an intercept %#x of VTL0 cannot be delivered: VTL2 enabled no VP assist page", type);
		return;
	}
	assist->intercept_message.type = type;
	assist->intercept_message.payload_size = (u8)len;
	assist->intercept_message.flags = 0;
	assist->intercept_message.origin = 0;
	memcpy(assist->intercept_message.payload, payload, len);
	vp->counters.intercepts[count]++;
	switch_to_vtl2(vp, HV_VTL_ENTRY_INTERCEPT);
}

void intercept_io(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_run *run = v->run;
	struct hv_io_port_intercept m = { 0 };
	struct decoded d;

	decode_at_rip(vp, &d);
	fill_header(vp, &m.header, d.length,
		    run->io.direction == KVM_EXIT_IO_OUT ? HV_INTERCEPT_ACCESS_WRITE : HV_INTERCEPT_ACCESS_READ);
	m.port = run->io.port;
	m.access_info = run->io.size & HV_IO_SIZE;
	if (decoded_string_io(&d)) {
		m.access_info |= HV_IO_STRING;
		for (u32 i = 0; i < d.length; i++)
			if (d.bytes[i] == 0xf2 || d.bytes[i] == 0xf3)
				m.access_info |= HV_IO_REP;
	}
	m.instruction_byte_count = (u8)d.byte_count;
	memcpy(m.instruction_bytes, d.bytes, sizeof(m.instruction_bytes));
	segment_to_hv(&SREGS(v).ds, &m.ds);
	segment_to_hv(&SREGS(v).es, &m.es);
	m.rax = REGS(v).rax;
	m.rcx = REGS(v).rcx;
	m.rsi = REGS(v).rsi;
	m.rdi = REGS(v).rdi;
	deliver(vp, HVMSG_X64_IO_PORT, &m, sizeof(m), COUNT_IO_PORT);
}

void intercept_memory(struct vp *vp, u64 gpa, u64 gva, u8 access, const u8 *bytes, u32 byte_count, u32 length)
{
	struct hv_memory_intercept m = { .gpa = gpa, .gva = gva, .access_info = 3 };

	fill_header(vp, &m.header, length, access);
	m.tpr_priority = (u8)(vp->per[VTL0].apic.tpr >> 4);
	m.instruction_byte_count = (u8)MIN(byte_count, 16u);
	memcpy(m.instruction_bytes, bytes, m.instruction_byte_count);
	/* RAM that VTL2 has denied, or nothing at all */
	bool ram = partition_memory(vp->partition, gpa, 1, true) != NULL;

	deliver(vp, ram ? HVMSG_GPA_INTERCEPT : HVMSG_UNMAPPED_GPA, &m, sizeof(m), COUNT_MEMORY);
}

void intercept_msr(struct vp *vp, bool write)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	struct hv_msr_intercept m = { .msr = v->run->msr.index, .rdx = REGS(v).rdx, .rax = REGS(v).rax };

	fill_header(vp, &m.header, 2, write ? HV_INTERCEPT_ACCESS_WRITE : HV_INTERCEPT_ACCESS_READ);
	deliver(vp, HVMSG_X64_MSR, &m, sizeof(m), COUNT_MSR);
}

void intercept_hypercall(struct vp *vp)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_regs *r = &REGS(v);
	struct hv_hypercall_intercept m = {
		.rax = r->rax, .rbx = r->rbx, .rcx = r->rcx, .rdx = r->rdx, .r8 = r->r8, .rsi = r->rsi, .rdi = r->rdi,
	};

	fill_header(vp, &m.header, 2 /* OUT imm8 in the hypercall page */, HV_INTERCEPT_ACCESS_EXECUTE);
	deliver(vp, HVMSG_HYPERCALL_INTERCEPT, &m, sizeof(m), COUNT_HYPERCALL);
}

void intercept_simple(struct vp *vp, u32 type)
{
	struct hv_deliverable_intercept m = { 0 };
	bool deliverable = type == HVMSG_X64_INTERRUPTION_DELIVERABLE;

	fill_header(vp, &m.header, 0, HV_INTERCEPT_ACCESS_EXECUTE);
	deliver(vp, type, &m, deliverable ? sizeof(m) : sizeof(m.header),
		deliverable ? COUNT_DELIVERABLE : type == HVMSG_X64_HALT ? COUNT_HALT : COUNT_UNRECOVERABLE);
}

void intercept_exception(struct vp *vp, u8 vector, u64 parameter, u32 length)
{
	struct vcpu *v = &vp->per[VTL0].vcpu;
	const struct kvm_regs *r = &REGS(v);
	struct hv_exception_intercept m = {
		.vector = vector, .parameter = parameter,
		.gprs = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
			  r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 },
	};
	struct decoded d;

	decode_at_rip(vp, &d);
	fill_header(vp, &m.header, length, HV_INTERCEPT_ACCESS_EXECUTE);
	m.instruction_byte_count = (u8)MIN(d.byte_count, 16u);
	memcpy(m.instruction_bytes, d.bytes, m.instruction_byte_count);
	segment_to_hv(&SREGS(v).ds, &m.ds);
	segment_to_hv(&SREGS(v).ss, &m.ss);
	deliver(vp, HVMSG_X64_EXCEPTION, &m, sizeof(m), COUNT_EXCEPTION);
}

void intercept_sints(struct vp *vp, u16 sints)
{
	struct hv_sint_deliverable m = { .sints = sints };

	fill_header(vp, &m.header, 0, HV_INTERCEPT_ACCESS_EXECUTE);
	deliver(vp, HVMSG_SYNIC_SINT_DELIVERABLE, &m, sizeof(m), COUNT_DELIVERABLE);
}

void intercept_eoi(struct vp *vp, u8 vector)
{
	struct hv_apic_eoi m = { .vp_index = vp->index, .vector = vector };

	deliver(vp, HVMSG_X64_APIC_EOI, &m, sizeof(m), COUNT_EOI);
}
