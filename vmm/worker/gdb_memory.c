/* What gdb sees of memory, and the breakpoints in it: their original bytes are what is read and written */
#include <errno.h>
#include <string.h>

#include "vmm/mem/walk.h"
#include "vmm/worker/gdb_internal.h"

#define OPCODE_INT3 0xcc
#define EFER_LMA BIT(10)
#define CR4_LA57 BIT(12)

/* ---- software breakpoints by GPA; the lock is held */
static struct soft_break *find(struct gdb_server *s, u64 gpa)
{
	for (size_t i = 0; i < SOFT_MAX; i++)
		if (s->breaks[i].uses && s->breaks[i].gpa == gpa)
			return &s->breaks[i];
	return NULL;
}

bool gdb_break_at(struct gdb_server *s, u64 gpa)
{
	pthread_mutex_lock(&s->lock);
	bool found = find(s, gpa);

	pthread_mutex_unlock(&s->lock);
	return found;
}

/* ---- physical memory */
static int read_physical(struct gdb_server *s, u64 gpa, u8 *to, size_t len)
{
	if (guest_read(s->w->machine.guest, gpa, to, len))
		return -EFAULT;
	for (size_t i = 0; i < SOFT_MAX; i++) {
		const struct soft_break *b = &s->breaks[i];

		if (b->uses && range_within(b->gpa, 1, gpa, len) && to[b->gpa - gpa] == s->opcode)
			to[b->gpa - gpa] = b->original;
	}
	return 0;
}

static int write_physical(struct gdb_server *s, u64 gpa, const u8 *from, size_t len)
{
	int r = guest_write(s->w->machine.guest, gpa, from, len);

	for (size_t i = 0; !r && i < SOFT_MAX; i++) {
		struct soft_break *b = &s->breaks[i];

		if (!b->uses || !range_within(b->gpa, 1, gpa, len))
			continue;
		b->original = from[b->gpa - gpa];
		r = guest_write(s->w->machine.guest, b->gpa, &s->opcode, 1);
	}
	return r ? -EFAULT : 0;
}

/* ---- linear memory as a VP sees it, rights aside. The registers are there: gdb.c asks for them when VPs stop. */
static bool is_canonical(const struct gdb_registers *regs, u64 linear)
{
	unsigned shift = regs->cr4 & CR4_LA57 ? 7 : 16;

	return !(regs->efer & EFER_LMA) || (u64)((s64)(linear << shift) >> shift) == linear;
}

static int to_physical(struct gdb_server *s, unsigned vp, bool physical, u64 address, u64 *ret)
{
	const struct gdb_registers *regs = &s->vps[vp].regs;
	struct walk_state w = { regs->cr0, regs->cr3, regs->cr4, regs->efer, false };

	if (physical) {
		*ret = address;
		return 0;
	}
	if (s->vps[vp].busy || !(regs->valid & GDB_CORE))
		return -EAGAIN;
	if (!is_canonical(regs, address) || !walk_any(s->w->machine.guest, w, address, ret))
		return -EFAULT;
	return 0;
}

/* registers that have become stale are read again: then -EAGAIN */
static int need_registers(struct gdb_server *s, unsigned vp, bool physical)
{
	struct gdb_registers *regs;

	return physical ? 0 : s->gdb.ops->registers(s, vp, GDB_CORE, &regs);
}

int gdb_memory_read(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len)
{
	struct gdb_server *s = ctx;
	size_t done = 0;
	int r = need_registers(s, vp, physical);

	while (!r && done < len) {
		size_t piece = MIN(len - done, PAGE_SIZE - ((address + done) & (PAGE_SIZE - 1)));
		u64 gpa;

		r = to_physical(s, vp, physical, address + done, &gpa);
		if (!r)
			r = read_physical(s, gpa, (u8 *)to + done, piece);
		if (!r)
			done += piece;
	}
	if (!done)
		return r;
	*ret_len = done;
	return 0;
}

int gdb_memory_write(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len)
{
	struct gdb_server *s = ctx;
	int r = need_registers(s, vp, physical);

	/* all of it or nothing: first a look */
	for (unsigned pass = 0; !r && pass < 2; pass++)
		for (size_t done = 0, piece; !r && done < len; done += piece) {
			u64 gpa;

			piece = MIN(len - done, PAGE_SIZE - ((address + done) & (PAGE_SIZE - 1)));
			r = to_physical(s, vp, physical, address + done, &gpa);
			if (!r && !pass && !guest_range(s->w->machine.guest, gpa, piece))
				r = -EFAULT;
			if (!r && pass)
				r = write_physical(s, gpa, (const u8 *)from + done, piece);
		}
	return r;
}

/* ---- breakpoints in memory */
static int insert_soft(struct gdb_server *s, unsigned vp, u64 address)
{
	const struct gdb_registers *regs = &s->vps[vp].regs;
	struct soft_break *b;
	u64 gpa;
	int r = need_registers(s, vp, false);

	if (!r)
		r = to_physical(s, vp, false, address, &gpa);
	/* IN exits at CPL 0 only; what lies in the lower half is taken for programs */
	if (!r && s->opcode != OPCODE_INT3 && regs->efer & EFER_LMA && !(address >> 63) && (regs->segment[2].attributes >> 5 & 3))
		r = -EPERM;
	if (r)
		return r;
	b = find(s, gpa);
	if (b) {
		b->uses++;
		return 0;
	}
	for (size_t i = 0; i < SOFT_MAX && !b; i++)
		if (!s->breaks[i].uses)
			b = &s->breaks[i];
	if (!b)
		return -ENOSPC;
	if (guest_read(s->w->machine.guest, gpa, &b->original, 1) || guest_write(s->w->machine.guest, gpa, &s->opcode, 1))
		return -EFAULT;
	b->gpa = gpa;
	b->uses = 1;
	return 0;
}

/* what lies there now is no breakpoint of ours any more when the guest has used the page for something else */
static void restore(struct gdb_server *s, struct soft_break *b)
{
	u8 now;

	b->uses = 0;
	if (!guest_read(s->w->machine.guest, b->gpa, &now, 1) && now == s->opcode &&
	    guest_write(s->w->machine.guest, b->gpa, &b->original, 1))
		b->gpa = 0;
}

static int remove_soft(struct gdb_server *s, unsigned vp, u64 address)
{
	struct soft_break *b;
	u64 gpa;
	int r = need_registers(s, vp, false);

	if (!r)
		r = to_physical(s, vp, false, address, &gpa);
	if (r)
		return r;
	b = find(s, gpa);
	if (!b)
		return -ENOENT;
	if (!--b->uses)
		restore(s, b);
	return 0;
}

/* ---- in debug registers */
static struct hard_break *find_hard(struct gdb_server *s, enum gdb_break kind, u64 address, u64 len)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->hard); i++)
		if (s->hard[i].used && s->hard[i].kind == kind && s->hard[i].address == address && s->hard[i].len == len)
			return &s->hard[i];
	return NULL;
}

static void apply_vp(struct op *op, int ignored)
{
	struct gdb_vp *v = container_of(op, struct gdb_vp, op);

	v->apply_result = vp_debug_hardware(v->vp, &v->hardware);
	v->applied = true;
	gdb_vp_answer(v);
}

/* one VP tries: what the hypervisor refuses there, it refuses everywhere. The others get it as they run on. */
static int try_hard(struct gdb_server *s, unsigned vp, struct hard_break *h)
{
	struct gdb_vp *v = &s->vps[vp];

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

static int insert_hard(struct gdb_server *s, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct hard_break *h;

	if (kind == GDB_BREAK_HARD)
		len = 1;
	if ((len != 1 && len != 2 && len != 4 && len != 8) || !IS_ALIGNED(address, len))
		return -EINVAL;
	h = find_hard(s, kind, address, len);
	for (size_t i = 0; i < ARRAY_SIZE(s->hard) && !h; i++)
		if (!s->hard[i].used) {
			s->hard[i] = (struct hard_break){ true, kind, address, (u8)len };
			h = &s->hard[i];
		}
	return h ? try_hard(s, vp, h) : -ENOSPC;
}

static int remove_hard(struct gdb_server *s, enum gdb_break kind, u64 address, u64 len)
{
	struct hard_break *h = find_hard(s, kind, address, kind == GDB_BREAK_HARD ? 1 : len);

	if (!h)
		return -ENOENT;
	h->used = false;
	return 0;
}

/* SDM volume 3, 19.2.4: L0 to L3, from bit 16 on R/W and LEN of each */
struct vp_hardware gdb_break_hardware(const struct gdb_server *s)
{
	static const u8 lengths[9] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	struct vp_hardware wanted = { 0 };

	for (unsigned i = 0; i < ARRAY_SIZE(s->hard); i++) {
		const struct hard_break *h = &s->hard[i];
		u64 type = h->kind == GDB_BREAK_HARD ? 0 : h->kind == GDB_WATCH_WRITE ? 1 : 3;

		if (!h->used)
			continue;
		wanted.address[i] = h->address;
		wanted.dr7 |= 1ull << 2 * i | type << (16 + 4 * i) | (u64)lengths[h->len] << (18 + 4 * i);
	}
	return wanted;
}

int gdb_break_insert(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_server *s = ctx;

	if (kind != GDB_BREAK_SOFT)
		return insert_hard(s, vp, kind, address, len);
	pthread_mutex_lock(&s->lock);
	int r = insert_soft(s, vp, address);

	pthread_mutex_unlock(&s->lock);
	return r;
}

int gdb_break_remove(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_server *s = ctx;

	if (kind != GDB_BREAK_SOFT)
		return remove_hard(s, kind, address, len);
	pthread_mutex_lock(&s->lock);
	int r = remove_soft(s, vp, address);

	pthread_mutex_unlock(&s->lock);
	return r;
}

void gdb_break_remove_all(struct gdb_server *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SOFT_MAX; i++)
		if (s->breaks[i].uses)
			restore(s, &s->breaks[i]);
	pthread_mutex_unlock(&s->lock);
	memset(s->hard, 0, sizeof(s->hard));
}
