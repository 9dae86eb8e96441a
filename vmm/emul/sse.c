/*
 * SSE moves between memory and an XMM register. That SSE is there and switched on (CR0.EM, CR0.TS, CR4.OSFXSR) the processor
 * has found before it touched memory.
 */
#include <string.h>

#include "vmm/emul/run.h"

enum sse_kind {
	LOAD,       /* the rest of the register becomes zero */
	LOAD_LOW,   /* the rest stays */
	LOAD_HIGH,
	LOAD_TWICE, /* MOVDDUP */
	LOAD_EVEN,  /* MOVSLDUP: dwords 0 0 2 2 */
	LOAD_ODD,   /* MOVSHDUP: dwords 1 1 3 3 */
	STORE,
	STORE_HIGH,
};

#define SIZE_BY_REX 0 /* 4, or 8 with REX.W */

struct sse_move {
	u16 opcode;
	u8 prefix; /* the one that is part of the opcode: 66, F2, F3, or none */
	u8 kind, size;
	bool aligned;
};
#define ANY false
#define ALIGNED true

static const struct sse_move moves[] = {
	{ 0x110, 0x00, LOAD, 16, ANY }, { 0x110, 0x66, LOAD, 16, ANY }, { 0x110, 0xf3, LOAD, 4, ANY },
	{ 0x110, 0xf2, LOAD, 8, ANY },
	{ 0x111, 0x00, STORE, 16, ANY }, { 0x111, 0x66, STORE, 16, ANY }, { 0x111, 0xf3, STORE, 4, ANY },
	{ 0x111, 0xf2, STORE, 8, ANY },
	{ 0x112, 0x00, LOAD_LOW, 8, ANY }, { 0x112, 0x66, LOAD_LOW, 8, ANY }, { 0x112, 0xf3, LOAD_EVEN, 16, ALIGNED },
	{ 0x112, 0xf2, LOAD_TWICE, 8, ANY },
	{ 0x113, 0x00, STORE, 8, ANY }, { 0x113, 0x66, STORE, 8, ANY },
	{ 0x116, 0x00, LOAD_HIGH, 8, ANY }, { 0x116, 0x66, LOAD_HIGH, 8, ANY }, { 0x116, 0xf3, LOAD_ODD, 16, ALIGNED },
	{ 0x117, 0x00, STORE_HIGH, 8, ANY }, { 0x117, 0x66, STORE_HIGH, 8, ANY },
	{ 0x128, 0x00, LOAD, 16, ALIGNED }, { 0x128, 0x66, LOAD, 16, ALIGNED },
	{ 0x129, 0x00, STORE, 16, ALIGNED }, { 0x129, 0x66, STORE, 16, ALIGNED },
	{ 0x12b, 0x00, STORE, 16, ALIGNED }, { 0x12b, 0x66, STORE, 16, ALIGNED },
	{ 0x16e, 0x66, LOAD, SIZE_BY_REX, ANY },
	{ 0x16f, 0x66, LOAD, 16, ALIGNED }, { 0x16f, 0xf3, LOAD, 16, ANY },
	{ 0x17e, 0x66, STORE, SIZE_BY_REX, ANY }, { 0x17e, 0xf3, LOAD, 8, ANY },
	{ 0x17f, 0x66, STORE, 16, ALIGNED }, { 0x17f, 0xf3, STORE, 16, ANY },
	{ 0x1d6, 0x66, STORE, 8, ANY },
	{ 0x1e7, 0x66, STORE, 16, ALIGNED },
	{ 0x1f0, 0xf2, LOAD, 16, ANY },
	{ 0x22a, 0x66, LOAD, 16, ALIGNED },
};

static const struct sse_move *find(const struct insn *i)
{
	u8 prefix = i->rep ? i->rep : i->opsize ? 0x66 : 0;

	for (size_t k = 0; k < ARRAY_SIZE(moves); k++)
		if (moves[k].opcode == i->opcode && moves[k].prefix == prefix)
			return &moves[k];
	return NULL;
}

static void take(struct emul_xmm *x, enum sse_kind kind, const u64 v[2])
{
	const u64 low = 0xffffffffu, high = low << 32;

	switch (kind) {
	case LOAD: *x = (struct emul_xmm){ v[0], v[1] }; break;
	case LOAD_LOW: x->low = v[0]; break;
	case LOAD_HIGH: x->high = v[0]; break;
	case LOAD_TWICE: *x = (struct emul_xmm){ v[0], v[0] }; break;
	case LOAD_EVEN: *x = (struct emul_xmm){ (v[0] & low) | v[0] << 32, (v[1] & low) | v[1] << 32 }; break;
	case LOAD_ODD: *x = (struct emul_xmm){ (v[0] & high) | v[0] >> 32, (v[1] & high) | v[1] >> 32 }; break;
	default: break;
	}
}

bool run_sse(struct run *r)
{
	const struct sse_move *m = find(&r->i);
	struct emul_xmm *x = &r->s.xmm[r->i.reg];
	u64 v[2] = { 0, 0 };

	if (!m)
		return unsupported(r);
	unsigned size = m->size == SIZE_BY_REX ? (r->i.rex_bits & 8 ? 8 : 4) : m->size;
	bool write = m->kind >= STORE;

	if (!find_operand(r, size, (write ? EMUL_WRITE : EMUL_READ) | (m->aligned ? ACCESS_ALIGNED : 0)))
		return false;
	if (write) {
		v[0] = m->kind == STORE_HIGH ? x->high : x->low;
		v[1] = x->high;
		return write_place(r, &r->operand, v);
	}
	if (!read_place(r, &r->operand, v))
		return false;
	take(x, (enum sse_kind)m->kind, v);
	return true;
}
