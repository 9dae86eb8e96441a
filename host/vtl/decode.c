/* KVM tells neither the length of an instruction nor, on EFAULT, its address: both are found here. */
#include <Zydis/Zydis.h>
#include <string.h>

#include "host/vtl/vp.h"

static u64 register_value(struct vp *vp, ZydisRegister reg, u64 next_rip)
{
	const struct kvm_regs *r = &REGS(&vp->per[VTL0].vcpu);
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	u64 value;

	switch (wide) {
	case ZYDIS_REGISTER_RAX: value = r->rax; break;
	case ZYDIS_REGISTER_RCX: value = r->rcx; break;
	case ZYDIS_REGISTER_RDX: value = r->rdx; break;
	case ZYDIS_REGISTER_RBX: value = r->rbx; break;
	case ZYDIS_REGISTER_RSP: value = r->rsp; break;
	case ZYDIS_REGISTER_RBP: value = r->rbp; break;
	case ZYDIS_REGISTER_RSI: value = r->rsi; break;
	case ZYDIS_REGISTER_RDI: value = r->rdi; break;
	case ZYDIS_REGISTER_R8: value = r->r8; break;
	case ZYDIS_REGISTER_R9: value = r->r9; break;
	case ZYDIS_REGISTER_R10: value = r->r10; break;
	case ZYDIS_REGISTER_R11: value = r->r11; break;
	case ZYDIS_REGISTER_R12: value = r->r12; break;
	case ZYDIS_REGISTER_R13: value = r->r13; break;
	case ZYDIS_REGISTER_R14: value = r->r14; break;
	case ZYDIS_REGISTER_R15: value = r->r15; break;
	case ZYDIS_REGISTER_RIP: value = next_rip; break;
	default: return 0;
	}
	ZyanU16 width = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return width == 64 ? value : width == 32 ? (u32)value : (u16)value;
}

static u64 segment_base(struct vp *vp, ZydisRegister reg, bool long_mode)
{
	const struct kvm_sregs *s = &SREGS(&vp->per[VTL0].vcpu);

	switch (reg) {
	case ZYDIS_REGISTER_FS: return s->fs.base;
	case ZYDIS_REGISTER_GS: return s->gs.base;
	case ZYDIS_REGISTER_ES: return long_mode ? 0 : s->es.base;
	case ZYDIS_REGISTER_CS: return long_mode ? 0 : s->cs.base;
	case ZYDIS_REGISTER_SS: return long_mode ? 0 : s->ss.base;
	default: return long_mode ? 0 : s->ds.base;
	}
}

static ZydisDecoder decoder_for(const struct kvm_sregs *s)
{
	ZydisDecoder decoder;

	if (s->efer & BIT(10) && s->cs.l)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (s->cs.db)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&decoder, s->cr0 & 1 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_16 : ZYDIS_MACHINE_MODE_REAL_16,
				 ZYDIS_STACK_WIDTH_16);
	return decoder;
}

static void find_operand(struct vp *vp, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op,
			 struct decoded *ret)
{
	bool long_mode = insn->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
	u64 next = REGS(&vp->per[VTL0].vcpu).rip + insn->length;
	u64 address = 0;

	if (op->mem.base != ZYDIS_REGISTER_NONE)
		address += register_value(vp, op->mem.base, next);
	if (op->mem.index != ZYDIS_REGISTER_NONE)
		address += register_value(vp, op->mem.index, next) * op->mem.scale;
	if (op->mem.disp.has_displacement)
		address += (u64)op->mem.disp.value;
	if (insn->address_width == 32)
		address = (u32)address;
	else if (insn->address_width == 16)
		address = (u16)address;
	address += segment_base(vp, op->mem.segment, long_mode);
	ret->linear = long_mode ? address : (u32)address;
	ret->size = op->size / 8;
	ret->write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	ret->memory = true;
}

/* among the operands in memory, the one whose page is no RAM or denied: string moves have two */
static bool faults(struct vp *vp, const struct decoded *d)
{
	u64 gpa;

	return walk_linear(vp, d->linear, &gpa) &&
	       !memory_for_vtl0(vp->partition, gpa, 1, d->write ? HV_MAP_READ | HV_MAP_WRITE : HV_MAP_READ);
}

void decode_at_rip(struct vp *vp, struct decoded *ret)
{
	const struct kvm_sregs *s = &SREGS(&vp->per[VTL0].vcpu);
	u64 rip = REGS(&vp->per[VTL0].vcpu).rip;
	bool long_mode = s->efer & BIT(10) && s->cs.l;

	memset(ret, 0, sizeof(*ret));
	ret->byte_count = fetch_code(vp, long_mode ? rip : (u32)(s->cs.base + rip), ret->bytes, 15);
	if (!ret->byte_count)
		return;
	ZydisDecoder decoder = decoder_for(s);
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, ret->bytes, ret->byte_count, &insn, operands)))
		return;
	ret->length = insn.length;
	for (u32 i = 0; i < insn.operand_count; i++) {
		if (operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY || operands[i].mem.type == ZYDIS_MEMOP_TYPE_AGEN)
			continue;
		struct decoded candidate = *ret;

		find_operand(vp, &insn, &operands[i], &candidate);
		if (!ret->memory || faults(vp, &candidate))
			*ret = candidate;
		if (faults(vp, ret))
			return;
	}
}
