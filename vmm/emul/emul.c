#include "vmm/emul/emul.h"

#include "vmm/emul/run.h"

#define RACES_MAX 16u /* then the caller gets to see other work */

static unsigned size_of(const struct form *f, const struct insn *i)
{
	switch ((enum form_size)f->size) {
	case SIZE_BYTE: return 1;
	case SIZE_BIT0: return i->opcode & 1 ? i->operand : 1;
	case SIZE_STACK: return i->mode == 64 ? i->operand == 2 ? 2 : 8 : i->operand;
	case SIZE_OPERAND: break;
	}
	return i->operand;
}

static unsigned imm_len(const struct form *f, const struct insn *i, unsigned size)
{
	switch ((enum form_imm)f->imm) {
	case IMM_NONE: return 0;
	case IMM_BYTE: return 1;
	case IMM_TEST: return decode_peek_reg(i) == 0 ? MIN(size, 4u) : 0;
	case IMM_FULL: break;
	}
	return MIN(size, 4u);
}

/* what follows the opcode */
static bool decode_rest(struct run *r, const struct form *f)
{
	struct insn *i = &r->i;
	unsigned imm;

	r->size = size_of(f, i);
	imm = imm_len(f, i, r->size);
	if (f->flags & FORM_MOFFS)
		decode_moffs(i);
	else if (!(f->flags & FORM_NO_MODRM))
		decode_modrm(i, &r->s, imm);
	decode_imm(i, imm);
	return !i->truncated;
}

static enum emul_result ran_out(struct run *r, size_t len)
{
	if (len < EMUL_INSTRUCTION_MAX)
		return EMUL_TRUNCATED;
	fault(r, EMUL_GP);
	return EMUL_FAULT;
}

static void move_rip(struct run *r)
{
	u64 rip = r->s.rip + r->i.at;

	r->s.rip = r->s.mode == 64 ? rip : rip & 0xffffffffu;
}

static enum emul_result run_once(struct run *r, size_t len)
{
	if (!decode_head(&r->i, &r->s))
		return ran_out(r, len);
	const struct form *f = form_find(r->i.opcode);

	if (!f)
		return EMUL_UNSUPPORTED;
	if (!decode_rest(r, f))
		return ran_out(r, len);
	if (!(f->flags & FORM_NO_MODRM) && r->i.mod == 3)
		return EMUL_UNSUPPORTED;
	if (r->i.lock && !(f->lock >> (r->i.reg & 7) & 1)) {
		fault(r, EMUL_UD);
		return EMUL_FAULT;
	}
	r->locked = r->i.lock;
	move_rip(r); /* before the handler: a CALL pushes it, a JMP changes it */
	if (!f->run(r))
		return r->result;
	return r->more ? EMUL_MORE : EMUL_DONE;
}

enum emul_result emul_run(struct emul_state *state, const u8 *bytes, size_t len, const struct emul_memory *memory)
{
	for (unsigned races = 0; races < RACES_MAX; races++) {
		struct run r = { .s = *state, .i = { .bytes = bytes, .len = MIN(len, EMUL_INSTRUCTION_MAX) }, .memory = memory };
		enum emul_result result = run_once(&r, len);

		if (r.lost)
			continue;
		if (result == EMUL_FAULT)
			state->exception = r.s.exception;
		if (result != EMUL_DONE && result != EMUL_MORE)
			return result;
		if (result == EMUL_MORE)
			r.s.rip = state->rip;
		r.s.rflags &= ~RF; /* SDM volume 3, 2.3: it holds for one instruction */
		*state = r.s;
		return result;
	}
	return EMUL_RETRY;
}
