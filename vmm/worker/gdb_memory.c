/* The guest's memory as lib/gdb wants it, and breakpoints that the hypervisor has a say in */
#include <errno.h>

#include "vmm/mem/walk.h"
#include "vmm/worker/gdb_internal.h"

#define EFER_LMA BIT(10)
#define CR4_LA57 BIT(12)

static int memory_read(void *ctx, u64 gpa, void *to, size_t len)
{
	return guest_read(((struct gdb_server *)ctx)->w->board.machine.guest, gpa, to, len);
}

static int memory_write(void *ctx, u64 gpa, const void *from, size_t len)
{
	return guest_write(((struct gdb_server *)ctx)->w->board.machine.guest, gpa, from, len);
}

static bool memory_there(void *ctx, u64 gpa, size_t len)
{
	return guest_range(((struct gdb_server *)ctx)->w->board.machine.guest, gpa, len);
}

static bool is_canonical(const struct gdb_registers *regs, u64 linear)
{
	unsigned shift = regs->cr4 & CR4_LA57 ? 7 : 16;

	return !(regs->efer & EFER_LMA) || (u64)((s64)(linear << shift) >> shift) == linear;
}

/* registers that have become stale are read again: then -EAGAIN */
static int memory_translate(void *ctx, unsigned vp, u64 linear, u64 *ret_gpa)
{
	struct gdb_server *s = ctx;
	struct gdb_registers *regs;
	int r = s->gdb.ops->registers(s, vp, GDB_CORE, &regs);

	if (r)
		return r;
	struct walk_state w = { regs->cr0, regs->cr3, regs->cr4, regs->efer, false };

	return is_canonical(regs, linear) && walk_any(s->w->board.machine.guest, w, linear, ret_gpa) ? 0 : -EFAULT;
}

const struct gdb_memory_ops gdb_server_memory = { memory_read, memory_write, memory_there, memory_translate };

int gdb_target_read(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len)
{
	return gdb_memory_read(&((struct gdb_server *)ctx)->memory, vp, physical, address, to, len, ret_len);
}

int gdb_target_write(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len)
{
	return gdb_memory_write(&((struct gdb_server *)ctx)->memory, vp, physical, address, from, len);
}

static int insert_soft(struct gdb_server *s, unsigned vp, u64 address)
{
	struct gdb_registers *regs;
	int r = s->gdb.ops->registers(s, vp, GDB_CORE, &regs);

	if (!r && !gdb_soft_possible(&s->memory, regs, address))
		r = -EPERM;
	return r ? r : gdb_soft_insert(&s->memory, vp, address);
}

/* ---- in debug registers */
static void apply_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	v->apply_result = vp_debug_hardware(v->vp, &v->hardware);
	v->applied = true;
	gdb_vp_answer(v);
}

/* one VP tries: what the hypervisor refuses there, it refuses everywhere. The others get it as they run on. */
static int insert_hard(struct gdb_server *s, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_vp *v = &s->vps[vp];
	struct gdb_hard *h;
	int r = gdb_hard_insert(&s->memory, kind, address, len, &h);

	if (r)
		return r;
	if (v->busy)
		return -EAGAIN;
	if (!v->applied) {
		v->hardware = gdb_break_hardware(s);
		gdb_vp_ask(v, apply_vp);
		return -EAGAIN;
	}
	v->applied = false;
	if (v->apply_result)
		h->used = false;
	return v->apply_result;
}

struct vp_hardware gdb_break_hardware(const struct gdb_server *s)
{
	struct vp_hardware wanted;

	wanted.dr7 = gdb_hard_registers(&s->memory, wanted.address);
	return wanted;
}

int gdb_break_insert(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	return kind == GDB_BREAK_SOFT ? insert_soft(ctx, vp, address) : insert_hard(ctx, vp, kind, address, len);
}

int gdb_break_remove(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_server *s = ctx;

	return kind == GDB_BREAK_SOFT ? gdb_soft_remove(&s->memory, vp, address) :
					gdb_hard_remove(&s->memory, kind, address, len);
}
