#include "lib/gdb/memory.h"

#include <errno.h>
#include <string.h>

#define EFER_LMA BIT(10)

void gdb_memory_init(struct gdb_memory *m, const struct gdb_memory_ops *ops, void *ctx)
{
	*m = (struct gdb_memory){ .ops = ops, .ctx = ctx };
	pthread_mutex_init(&m->lock, NULL);
}

void gdb_memory_fini(struct gdb_memory *m)
{
	pthread_mutex_destroy(&m->lock);
}

/* ---- physical memory */
static int read_physical(struct gdb_memory *m, u64 gpa, u8 *to, size_t len)
{
	if (m->ops->read(m->ctx, gpa, to, len))
		return -EFAULT;
	for (size_t i = 0; i < GDB_SOFT_MAX; i++) {
		const struct gdb_soft *b = &m->soft[i];

		if (b->uses && range_within(b->gpa, 1, gpa, len) && to[b->gpa - gpa] == m->opcode)
			to[b->gpa - gpa] = b->original;
	}
	return 0;
}

static int write_physical(struct gdb_memory *m, u64 gpa, const u8 *from, size_t len)
{
	int r = m->ops->write(m->ctx, gpa, from, len);

	for (size_t i = 0; !r && i < GDB_SOFT_MAX; i++) {
		struct gdb_soft *b = &m->soft[i];

		if (!b->uses || !range_within(b->gpa, 1, gpa, len))
			continue;
		b->original = from[b->gpa - gpa];
		r = m->ops->write(m->ctx, b->gpa, &m->opcode, 1);
	}
	return r ? -EFAULT : 0;
}

/* ---- linear memory, a page at a time */
static int to_physical(struct gdb_memory *m, unsigned vp, bool physical, u64 address, u64 *ret)
{
	*ret = address;
	return physical ? 0 : m->ops->translate(m->ctx, vp, address, ret);
}

static size_t piece_at(u64 address, size_t left)
{
	return MIN(left, PAGE_SIZE - (address & (PAGE_SIZE - 1)));
}

int gdb_memory_read(struct gdb_memory *m, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len)
{
	size_t done = 0;
	int r = 0;

	while (!r && done < len) {
		size_t piece = piece_at(address + done, len - done);
		u64 gpa;

		r = to_physical(m, vp, physical, address + done, &gpa);
		if (!r)
			r = read_physical(m, gpa, (u8 *)to + done, piece);
		if (!r)
			done += piece;
	}
	if (!done)
		return r;
	*ret_len = done;
	return 0;
}

int gdb_memory_write(struct gdb_memory *m, unsigned vp, bool physical, u64 address, const void *from, size_t len)
{
	int r = 0;

	/* all of it or nothing: first a look */
	for (unsigned pass = 0; !r && pass < 2; pass++)
		for (size_t done = 0, piece; !r && done < len; done += piece) {
			u64 gpa;

			piece = piece_at(address + done, len - done);
			r = to_physical(m, vp, physical, address + done, &gpa);
			if (!r && !pass && !m->ops->there(m->ctx, gpa, piece))
				r = -EFAULT;
			if (!r && pass)
				r = write_physical(m, gpa, (const u8 *)from + done, piece);
		}
	return r;
}

/* ---- breakpoints in memory; the lock is held */
static struct gdb_soft *find(struct gdb_memory *m, u64 gpa)
{
	for (size_t i = 0; i < GDB_SOFT_MAX; i++)
		if (m->soft[i].uses && m->soft[i].gpa == gpa)
			return &m->soft[i];
	return NULL;
}

static int put(struct gdb_memory *m, struct gdb_soft *b)
{
	return m->ops->read(m->ctx, b->gpa, &b->original, 1) || m->ops->write(m->ctx, b->gpa, &m->opcode, 1) ? -EFAULT : 0;
}

static int insert(struct gdb_memory *m, u64 gpa)
{
	struct gdb_soft *b = find(m, gpa);

	if (b) {
		b->uses++;
		return 0;
	}
	for (size_t i = 0; i < GDB_SOFT_MAX && !b; i++)
		if (!m->soft[i].uses)
			b = &m->soft[i];
	if (!b)
		return -ENOSPC;
	b->gpa = gpa;
	int r = put(m, b);

	b->uses = !r;
	return r;
}

/* what lies there now is no breakpoint of ours any more when the guest has used the page for something else */
static void restore(struct gdb_memory *m, struct gdb_soft *b)
{
	u8 now;

	b->uses = 0;
	if (!m->ops->read(m->ctx, b->gpa, &now, 1) && now == m->opcode && m->ops->write(m->ctx, b->gpa, &b->original, 1))
		b->gpa = 0;
}

bool gdb_soft_possible(const struct gdb_memory *m, const struct gdb_registers *regs, u64 linear)
{
	unsigned cpl = regs->segment[2 /* SS */].attributes >> 5 & 3;

	return m->opcode != GDB_OPCODE_IN || !(regs->efer & EFER_LMA) || linear >> 63 || !cpl;
}

int gdb_soft_insert(struct gdb_memory *m, unsigned vp, u64 linear)
{
	u64 gpa;
	int r = to_physical(m, vp, false, linear, &gpa);

	if (r)
		return r;
	pthread_mutex_lock(&m->lock);
	r = insert(m, gpa);
	pthread_mutex_unlock(&m->lock);
	return r;
}

int gdb_soft_remove(struct gdb_memory *m, unsigned vp, u64 linear)
{
	u64 gpa;
	int r = to_physical(m, vp, false, linear, &gpa);

	if (r)
		return r;
	pthread_mutex_lock(&m->lock);
	struct gdb_soft *b = find(m, gpa);

	if (b && !--b->uses)
		restore(m, b);
	pthread_mutex_unlock(&m->lock);
	return b ? 0 : -ENOENT;
}

bool gdb_soft_at(struct gdb_memory *m, u64 gpa)
{
	pthread_mutex_lock(&m->lock);
	bool found = find(m, gpa);

	pthread_mutex_unlock(&m->lock);
	return found;
}

unsigned gdb_soft_count(const struct gdb_memory *m)
{
	unsigned count = 0;

	for (size_t i = 0; i < GDB_SOFT_MAX; i++)
		count += m->soft[i].uses != 0;
	return count;
}

void gdb_soft_renew(struct gdb_memory *m)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < GDB_SOFT_MAX; i++)
		if (m->soft[i].uses && put(m, &m->soft[i]))
			m->soft[i].uses = 0; /* no memory any more */
	pthread_mutex_unlock(&m->lock);
}

/* ---- in debug registers */
static struct gdb_hard *find_hard(struct gdb_memory *m, enum gdb_break kind, u64 address, u64 len)
{
	for (size_t i = 0; i < GDB_HARD_MAX; i++)
		if (m->hard[i].used && m->hard[i].kind == kind && m->hard[i].address == address && m->hard[i].len == len)
			return &m->hard[i];
	return NULL;
}

int gdb_hard_insert(struct gdb_memory *m, enum gdb_break kind, u64 address, u64 len, struct gdb_hard **ret)
{
	if (kind == GDB_BREAK_HARD)
		len = 1;
	if ((len != 1 && len != 2 && len != 4 && len != 8) || !IS_ALIGNED(address, len))
		return -EINVAL;
	*ret = find_hard(m, kind, address, len);
	for (size_t i = 0; i < GDB_HARD_MAX && !*ret; i++)
		if (!m->hard[i].used) {
			m->hard[i] = (struct gdb_hard){ true, kind, address, (u8)len };
			*ret = &m->hard[i];
		}
	return *ret ? 0 : -ENOSPC;
}

int gdb_hard_remove(struct gdb_memory *m, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_hard *h = find_hard(m, kind, address, kind == GDB_BREAK_HARD ? 1 : len);

	if (!h)
		return -ENOENT;
	h->used = false;
	return 0;
}

/* SDM volume 3, 19.2.4: L0 to L3, from bit 16 on R/W and LEN of each */
u64 gdb_hard_registers(const struct gdb_memory *m, u64 ret_address[GDB_HARD_MAX])
{
	static const u8 lengths[9] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	u64 dr7 = 0;

	for (unsigned i = 0; i < GDB_HARD_MAX; i++) {
		const struct gdb_hard *h = &m->hard[i];
		u64 type = h->kind == GDB_BREAK_HARD ? 0 : h->kind == GDB_WATCH_WRITE ? 1 : 3;

		ret_address[i] = h->used ? h->address : 0;
		if (h->used)
			dr7 |= 1ull << 2 * i | type << (16 + 4 * i) | (u64)lengths[h->len] << (18 + 4 * i);
	}
	return dr7;
}

void gdb_hard_stop(const struct gdb_memory *m, u64 hits, struct gdb_stop *ret)
{
	ret->reason = GDB_STOP_HARD;
	for (unsigned i = 0; i < GDB_HARD_MAX; i++)
		if (hits >> i & 1 && m->hard[i].used && m->hard[i].kind != GDB_BREAK_HARD) {
			ret->reason = GDB_STOP_WATCH;
			ret->watch = m->hard[i].kind;
			ret->address = m->hard[i].address;
		}
}

void gdb_memory_clear(struct gdb_memory *m)
{
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < GDB_SOFT_MAX; i++)
		if (m->soft[i].uses)
			restore(m, &m->soft[i]);
	pthread_mutex_unlock(&m->lock);
	memset(m->hard, 0, sizeof(m->hard));
}
