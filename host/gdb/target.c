/* VTL2 of a partition as gdb's target. All is done at once: VPs that are paused can be asked from here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/gdb/internal.h"
#include "lib/log/log.h"

LOG_DOMAIN("gdb");

/* ---- registers */
void gdb_host_forget_registers(struct gdb_host *g)
{
	for (u32 i = 0; i < ARRAY_SIZE(g->regs); i++)
		g->regs[i].valid = 0;
}

static int target_registers(void *ctx, unsigned vp, unsigned classes, struct gdb_registers **ret)
{
	struct gdb_host *g = ctx;
	struct gdb_registers *regs = &g->regs[vp];

	*ret = regs;
	if ((regs->valid & classes) == classes)
		return 0;
	*regs = (struct gdb_registers){ 0 };
	for (enum gdb_unit unit = 0; unit < UNITS; unit++) {
		const struct gdb_unit_place place = gdb_unit_place(unit);
		u64 value[2];

		if (unit == UNIT_FX)
			continue;
		int r = partition_get_register(g->partition, vp, VTL2, place.name, value);

		if (r)
			return log_err(r, "VP %u: register %#x", vp, place.name);
		memcpy((u8 *)regs + place.at, value, place.len);
	}
	int r = partition_debug_fx(g->partition, vp, regs->fx, false);

	if (!r)
		regs->valid = GDB_CORE | GDB_SYSTEM;
	return r;
}

/* general registers are shared between the VTLs: what is written while VTL0 has them would be VTL0's */
static int target_put(void *ctx, unsigned vp)
{
	struct gdb_host *g = ctx;
	struct gdb_registers *regs = &g->regs[vp];
	struct partition_vp_state state;
	int r = 0;

	partition_vp_state(g->partition, vp, &state);
	if (state.vtl != VTL2)
		r = -EBUSY;
	for (enum gdb_unit unit = 0; !r && unit < UNITS; unit++) {
		const struct gdb_unit_place place = gdb_unit_place(unit);
		u64 value[2] = { 0 };

		if (!(regs->changed & BIT(unit)) || unit == UNIT_FX)
			continue;
		memcpy(value, (u8 *)regs + place.at, place.len);
		r = partition_set_register(g->partition, vp, VTL2, place.name, value);
	}
	if (!r && regs->changed & BIT(UNIT_FX))
		r = partition_debug_fx(g->partition, vp, regs->fx, true);
	regs->changed = 0;
	if (r)
		regs->valid = 0;
	return r;
}

/* ---- memory */
static int memory_read(void *ctx, u64 gpa, void *to, size_t len)
{
	const void *at = partition_memory(((struct gdb_host *)ctx)->partition, gpa, len, true);

	if (at)
		memcpy(to, at, len);
	return at ? 0 : -EFAULT;
}

static int memory_write(void *ctx, u64 gpa, const void *from, size_t len)
{
	void *at = partition_memory(((struct gdb_host *)ctx)->partition, gpa, len, true);

	if (at)
		memcpy(at, from, len);
	return at ? 0 : -EFAULT;
}

static bool memory_there(void *ctx, u64 gpa, size_t len)
{
	return partition_memory(((struct gdb_host *)ctx)->partition, gpa, len, true);
}

static int memory_translate(void *ctx, unsigned vp, u64 linear, u64 *ret_gpa)
{
	return partition_debug_translate(((struct gdb_host *)ctx)->partition, vp, linear, ret_gpa) ? 0 : -EFAULT;
}

const struct gdb_memory_ops gdb_host_memory = { memory_read, memory_write, memory_there, memory_translate };

static int target_read(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len)
{
	return gdb_memory_read(&((struct gdb_host *)ctx)->memory, vp, physical, address, to, len, ret_len);
}

static int target_write(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len)
{
	return gdb_memory_write(&((struct gdb_host *)ctx)->memory, vp, physical, address, from, len);
}

/* ---- breakpoints */
int gdb_host_set_hardware(struct gdb_host *g)
{
	u64 address[GDB_HARD_MAX], dr7 = gdb_hard_registers(&g->memory, address);

	return partition_debug_hardware(g->partition, address, dr7);
}

static int target_insert(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_host *g = ctx;
	struct gdb_hard *h;

	struct gdb_registers *regs;
	int r = target_registers(ctx, vp, GDB_CORE, &regs);

	if (r || kind == GDB_BREAK_SOFT)
		return r ? r : !gdb_soft_possible(&g->memory, regs, address) ? -EPERM : gdb_soft_insert(&g->memory, vp, address);
	r = gdb_hard_insert(&g->memory, kind, address, len, &h);

	if (r)
		return r;
	r = gdb_host_set_hardware(g);
	if (r)
		h->used = false;
	return r;
}

static int target_remove(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct gdb_host *g = ctx;

	if (kind == GDB_BREAK_SOFT)
		return gdb_soft_remove(&g->memory, vp, address);
	int r = gdb_hard_remove(&g->memory, kind, address, len);

	return r ? r : gdb_host_set_hardware(g);
}

/* ---- stop and go */
static unsigned target_count(void *ctx)
{
	return partition_vp_count(((struct gdb_host *)ctx)->partition);
}

static void target_interrupt(void *ctx)
{
	struct gdb_host *g = ctx;

	if (g->holds)
		return;
	partition_pause(g->partition);
	g->holds = true;
	gdb_host_forget_registers(g);
	gdb_stopped(&g->gdb, &(struct gdb_stop){ .vp = g->gdb.general, .reason = GDB_STOP_INTERRUPTED });
}

static void target_resume(void *ctx, const struct gdb_resume *vps)
{
	struct gdb_host *g = ctx;
	bool more = false;

	/*
	 * What others had met before they stood still too: a breakpoint in memory they meet again, a step is done. A watchpoint
	 * traps behind the access: it is told now.
	 */
	pthread_mutex_lock(&g->lock);
	for (u32 i = 0; i < ARRAY_SIZE(g->met); i++) {
		g->met[i].yes = g->met[i].yes && g->met[i].why == PARTITION_STOP_HARDWARE && vps[i].action != GDB_STAY;
		more |= g->met[i].yes;
	}
	pthread_mutex_unlock(&g->lock);
	if (more) {
		loop_post(g->loop, &g->met_work);
		return;
	}
	for (u32 i = 0; i < partition_vp_count(g->partition); i++) {
		const struct partition_run run = { vps[i].action == GDB_STAY, vps[i].action == GDB_STEP, vps[i].from, vps[i].to };

		partition_debug_run(g->partition, i, &run);
	}
	gdb_host_forget_registers(g);
	g->holds = false;
	partition_resume(g->partition);
}

void gdb_host_let_go(struct gdb_host *g)
{
	if (!g->holds)
		partition_pause(g->partition);
	gdb_memory_clear(&g->memory);
	partition_debug(g->partition, NULL);
	g->holds = false;
	partition_resume(g->partition);
}

static void target_detach(void *ctx)
{
	struct gdb_host *g = ctx;

	gdb_host_let_go(g);
	g->attached = false;
}

static void target_kill(void *ctx)
{
	struct gdb_host *g = ctx;

	target_detach(ctx);
	g->config.kill(g->config.ctx);
}

/* ---- words */
static int target_monitor(void *ctx, unsigned vp, const char *words, struct gdb_text *ret)
{
	struct gdb_host *g = ctx;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	g->config.monitor(g->config.ctx, words, out);
	fclose(out);
	for (size_t at = 0; at < len; at += 400) /* gdb_say() takes no more than a line's worth at a time */
		gdb_say(ret, "%.400s", text + at);
	free(text);
	return 0;
}

static void target_describe(void *ctx, unsigned vp, char *text, size_t size)
{
	struct gdb_host *g = ctx;
	struct partition_vp_state state;

	partition_vp_state(g->partition, vp, &state);
	snprintf(text, size, "VP %u: %s", vp, !state.started ? "not started" : state.vtl == VTL0 ? "in VTL0" : "in VTL2");
}

const struct gdb_target_ops gdb_host_target = {
	.count = target_count, .interrupt = target_interrupt, .resume = target_resume, .registers = target_registers,
	.put = target_put, .read = target_read, .write = target_write, .insert = target_insert, .remove = target_remove,
	.monitor = target_monitor, .describe = target_describe, .detach = target_detach, .kill = target_kill,
};
