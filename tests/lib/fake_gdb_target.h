/*
 * A machine for lib/gdb to debug: VPs with registers, 64 KiB of memory at 0 (linear) and twice as much physical, breakpoints in
 * tables. With `slow` each operation says -EAGAIN once.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/gdb/gdb.h"

#define FAKE_MEMORY 0x10000u
#define FAKE_VPS 3u
#define FAKE_BREAKS 4u

struct fake_gdb_target {
	struct gdb gdb;
	struct gdb_registers regs[FAKE_VPS];
	u8 memory[2 * FAKE_MEMORY];
	struct { bool used; enum gdb_break kind; u64 address; } breaks[FAKE_BREAKS];
	struct gdb_resume resumed[FAKE_VPS];
	unsigned resumes, interrupts, detached, killed, puts;
	bool slow, asked, refuse_put;
};

/* true: not now */
static inline bool fake_gdb_later(struct fake_gdb_target *t)
{
	t->asked = t->slow && !t->asked;
	return t->asked;
}

static unsigned fake_gdb_count(void *ctx) { return FAKE_VPS; }
static void fake_gdb_interrupt(void *ctx) { ((struct fake_gdb_target *)ctx)->interrupts++; }
static void fake_gdb_detach(void *ctx) { ((struct fake_gdb_target *)ctx)->detached++; }
static void fake_gdb_kill(void *ctx) { ((struct fake_gdb_target *)ctx)->killed++; }

static void fake_gdb_resume(void *ctx, const struct gdb_resume *vps)
{
	struct fake_gdb_target *t = ctx;

	t->resumes++;
	memcpy(t->resumed, vps, sizeof(t->resumed));
}

static int fake_gdb_registers(void *ctx, unsigned vp, unsigned classes, struct gdb_registers **ret)
{
	struct fake_gdb_target *t = ctx;

	if (fake_gdb_later(t))
		return -EAGAIN;
	*ret = &t->regs[vp];
	return 0;
}

static int fake_gdb_put(void *ctx, unsigned vp)
{
	struct fake_gdb_target *t = ctx;

	t->puts++;
	t->regs[vp].changed = 0;
	return t->refuse_put ? -EIO : 0;
}

static int fake_gdb_read(void *ctx, unsigned vp, bool physical, u64 address, void *to, size_t len, size_t *ret_len)
{
	struct fake_gdb_target *t = ctx;
	u64 end = physical ? 2 * FAKE_MEMORY : FAKE_MEMORY;

	if (fake_gdb_later(t))
		return -EAGAIN;
	if (address >= end)
		return -EFAULT;
	*ret_len = (size_t)MIN((u64)len, end - address);
	memcpy(to, t->memory + address, *ret_len);
	return 0;
}

static int fake_gdb_write(void *ctx, unsigned vp, bool physical, u64 address, const void *from, size_t len)
{
	struct fake_gdb_target *t = ctx;

	if (fake_gdb_later(t))
		return -EAGAIN;
	if (!range_within(address, len, 0, physical ? 2 * FAKE_MEMORY : FAKE_MEMORY))
		return -EFAULT;
	memcpy(t->memory + address, from, len);
	return 0;
}

static int fake_gdb_insert(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct fake_gdb_target *t = ctx;

	if (kind == GDB_WATCH_READ)
		return -ENOTSUP;
	for (unsigned i = 0; i < FAKE_BREAKS; i++)
		if (!t->breaks[i].used) {
			t->breaks[i].used = true;
			t->breaks[i].kind = kind;
			t->breaks[i].address = address;
			return 0;
		}
	return -ENOSPC;
}

static int fake_gdb_remove(void *ctx, unsigned vp, enum gdb_break kind, u64 address, u64 len)
{
	struct fake_gdb_target *t = ctx;

	for (unsigned i = 0; i < FAKE_BREAKS; i++)
		if (t->breaks[i].used && t->breaks[i].kind == kind && t->breaks[i].address == address) {
			t->breaks[i].used = false;
			return 0;
		}
	return -ENOENT;
}

static int fake_gdb_monitor(void *ctx, unsigned vp, const char *words, struct gdb_text *ret)
{
	if (fake_gdb_later(ctx))
		return -EAGAIN;
	if (!strcmp(words, "long"))
		for (unsigned i = 0; i < 1000; i++)
			gdb_say(ret, "line %u of a long answer\n", i);
	else if (!strcmp(words, "hello"))
		gdb_say(ret, "VP %u\n", vp);
	else
		return !strcmp(words, "bad") ? -EINVAL : -ENOENT;
	return 0;
}

static void fake_gdb_describe(void *ctx, unsigned vp, char *text, size_t size)
{
	snprintf(text, size, "VP %u", vp);
}

static const struct gdb_target_ops fake_gdb_ops = {
	.count = fake_gdb_count, .interrupt = fake_gdb_interrupt, .resume = fake_gdb_resume, .registers = fake_gdb_registers,
	.put = fake_gdb_put, .read = fake_gdb_read, .write = fake_gdb_write, .insert = fake_gdb_insert, .remove = fake_gdb_remove,
	.monitor = fake_gdb_monitor, .describe = fake_gdb_describe, .detach = fake_gdb_detach, .kill = fake_gdb_kill,
};

/* all that len bytes lead to, also what is late; the answers stay in gdb.out */
static inline void fake_gdb_feed(struct fake_gdb_target *t, const void *data, size_t len)
{
	const u8 *at = data;

	while (len) {
		size_t taken = gdb_receive(&t->gdb, at, len);

		at += taken;
		len -= taken;
		for (unsigned i = 0; i < 100 && t->gdb.waits; i++)
			gdb_ready(&t->gdb);
		if (!taken && t->gdb.out.failed)
			return;
	}
}
