/* Packets that read and write: registers, memory, breakpoints */
#include <errno.h>
#include <string.h>

#include "lib/gdb/internal.h"

/* ---- registers */
struct gdb_registers *gdb_registers_of(struct gdb *g, unsigned classes)
{
	struct gdb_registers *regs = NULL;
	int r = g->ops->registers(g->ctx, g->general, classes, &regs);

	if (!r)
		return regs;
	gdb_answer_result(g, r == -ENOTSUP ? -EIO : r);
	return NULL;
}

void gdb_on_read_all(struct gdb *g, struct gdb_words *w)
{
	struct gdb_registers *regs = gdb_registers_of(g, GDB_CORE);
	u8 value[16];

	if (!regs)
		return;
	gdb_begin(&g->out);
	for (unsigned i = 0; i < gdb_register_general(); i++)
		gdb_put_hex(&g->out, value, gdb_register_get(regs, i, value));
	gdb_end_packet(g);
}

void gdb_on_write_all(struct gdb *g, struct gdb_words *w)
{
	struct gdb_registers *regs = gdb_registers_of(g, GDB_CORE);
	size_t wanted = 0;
	u8 value[16], old[16];

	if (!regs)
		return;
	for (unsigned i = 0; i < gdb_register_general(); i++)
		wanted += gdb_register_size(i);
	if (gdb_left(w) != 2 * wanted) {
		gdb_fail(g, E_INVALID);
		return;
	}
	struct gdb_registers copy = *regs;

	for (unsigned i = 0; i < gdb_register_general(); i++) {
		size_t len = gdb_register_get(regs, i, old);

		if (!gdb_take_bytes(w, value, len) || (memcmp(value, old, len) && !gdb_register_set(&copy, i, value))) {
			gdb_fail(g, E_INVALID);
			return;
		}
	}
	*regs = copy;
	gdb_answer_result(g, g->ops->put(g->ctx, g->general));
}

void gdb_on_read_one(struct gdb *g, struct gdb_words *w)
{
	u64 number;

	if (!gdb_take_hex(w, &number) || gdb_left(w) || number >= gdb_register_count()) {
		gdb_fail(g, E_INVALID);
		return;
	}
	struct gdb_registers *regs = gdb_registers_of(g, gdb_register_class((unsigned)number));
	u8 value[16];

	if (!regs)
		return;
	gdb_begin(&g->out);
	gdb_put_hex(&g->out, value, gdb_register_get(regs, (unsigned)number, value));
	gdb_end_packet(g);
}

void gdb_on_write_one(struct gdb *g, struct gdb_words *w)
{
	u64 number;
	u8 value[16];

	if (!gdb_take_hex(w, &number) || !gdb_take(w, "=") || number >= gdb_register_count() ||
	    !gdb_take_bytes(w, value, gdb_register_size((unsigned)number)) || gdb_left(w)) {
		gdb_fail(g, E_INVALID);
		return;
	}
	struct gdb_registers *regs = gdb_registers_of(g, gdb_register_class((unsigned)number));

	if (!regs)
		return;
	if (gdb_register_set(regs, (unsigned)number, value))
		gdb_answer_result(g, g->ops->put(g->ctx, g->general));
	else
		gdb_fail(g, E_INVALID);
}

/* ---- memory */
bool gdb_take_range(struct gdb_words *w, u64 *address, u64 *len)
{
	return gdb_take_hex(w, address) && gdb_take(w, ",") && gdb_take_hex(w, len);
}

static void read_memory_as(struct gdb *g, struct gdb_words *w, bool binary)
{
	u8 data[GDB_MEMORY_MAX];
	u64 address, len;
	size_t got = 0;

	if (!gdb_take_range(w, &address, &len) || gdb_left(w)) {
		gdb_fail(g, E_INVALID);
		return;
	}
	int r = len ? g->ops->read(g->ctx, g->general, g->physical, address, data, (size_t)MIN(len, (u64)sizeof(data)), &got) : 0;

	if (r) {
		gdb_answer_result(g, r);
		return;
	}
	gdb_begin(&g->out);
	if (binary) {
		gdb_put(&g->out, "b");
		gdb_put_binary(&g->out, data, got);
	} else {
		gdb_put_hex(&g->out, data, got);
	}
	gdb_end_packet(g);
}

void gdb_on_read_memory(struct gdb *g, struct gdb_words *w)
{
	read_memory_as(g, w, false);
}

void gdb_on_read_binary(struct gdb *g, struct gdb_words *w)
{
	read_memory_as(g, w, true);
}

static void write_bytes(struct gdb *g, u64 address, const void *data, size_t len)
{
	gdb_answer_result(g, len ? g->ops->write(g->ctx, g->general, g->physical, address, data, len) : 0);
}

void gdb_on_write_memory(struct gdb *g, struct gdb_words *w)
{
	u8 data[GDB_MEMORY_MAX];
	u64 address, len;

	if (gdb_take_range(w, &address, &len) && gdb_take(w, ":") && len <= sizeof(data) && gdb_left(w) == 2 * len &&
	    gdb_take_bytes(w, data, (size_t)len))
		write_bytes(g, address, data, (size_t)len);
	else
		gdb_fail(g, E_INVALID);
}

void gdb_on_write_binary(struct gdb *g, struct gdb_words *w)
{
	u64 address, len;

	if (gdb_take_range(w, &address, &len) && gdb_take(w, ":") && gdb_left(w) == len)
		write_bytes(g, address, w->at, (size_t)len);
	else
		gdb_fail(g, E_INVALID);
}

/* ---- breakpoints */
static void change_break(struct gdb *g, struct gdb_words *w, bool insert)
{
	u64 kind, address, len;

	if (!gdb_take_hex(w, &kind) || !gdb_take(w, ",") || !gdb_take_range(w, &address, &len) || gdb_left(w)) {
		gdb_fail(g, E_INVALID); /* conditions and commands were not offered */
		return;
	}
	if (kind > GDB_WATCH_ACCESS) {
		gdb_answer(g, "");
		return;
	}
	gdb_answer_result(g, (insert ? g->ops->insert : g->ops->remove)(g->ctx, g->general, (enum gdb_break)kind, address, len));
}

void gdb_on_insert_break(struct gdb *g, struct gdb_words *w)
{
	change_break(g, w, true);
}

void gdb_on_remove_break(struct gdb *g, struct gdb_words *w)
{
	change_break(g, w, false);
}
