/*
 * A small block device that loses power: what was written since the last flush survives or not, sector by sector, as drawn.
 * Knows nothing of what is on it.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/vmgs/vmgs.h"

#define MODEL_PENDING_MAX 4096u

struct model_device {
	struct vmgs_device device;
	u8 *now, *safe; /* what a read sees; what a power cut leaves in any case */
	struct { u64 offset; u8 *data; } pending[MODEL_PENDING_MAX]; /* sectors, in order */
	unsigned pending_count;
	/* power goes before this many more sectors are written and flushes done; -1: never */
	int power;
	/* these fail with -EIO, without effect, counted from 1: reads, writes, flushes together; 0: none */
	unsigned fail_call, calls;
	unsigned writes, flushes, reads;
	u64 seed;
};

static inline u64 model_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static bool model_step(struct model_device *m)
{
	if (!m->power)
		return false;
	if (m->power > 0)
		m->power--;
	return true;
}

static int model_judge(struct model_device *m, u64 offset, size_t len)
{
	u32 sector = m->device.sector_size;

	CHECK(len && IS_ALIGNED(offset, sector) && IS_ALIGNED(len, sector));
	CHECK(range_within(offset, len, 0, m->device.capacity));
	return ++m->calls == m->fail_call || !m->power ? -EIO : 0;
}

static int model_read(void *context, u64 offset, void *data, size_t len)
{
	struct model_device *m = context;

	m->reads++;
	if (model_judge(m, offset, len))
		return -EIO;
	memcpy(data, m->now + offset, len);
	return 0;
}

static int model_write(void *context, u64 offset, const void *data, size_t len)
{
	struct model_device *m = context;
	u32 sector = m->device.sector_size;

	m->writes++;
	if (model_judge(m, offset, len))
		return -EIO;
	for (size_t at = 0; at < len; at += sector) {
		if (!model_step(m))
			return -EIO;
		CHECK(m->pending_count < MODEL_PENDING_MAX);
		u8 *copy = malloc(sector);

		CHECK(copy);
		memcpy(copy, (const u8 *)data + at, sector);
		memcpy(m->now + offset + at, copy, sector);
		m->pending[m->pending_count].offset = offset + at;
		m->pending[m->pending_count++].data = copy;
	}
	return 0;
}

/* each pending sector reaches the medium, or (lose) as drawn */
static void model_settle(struct model_device *m, bool lose)
{
	for (unsigned i = 0; i < m->pending_count; i++) {
		if (!lose || model_random(&m->seed) & 1)
			memcpy(m->safe + m->pending[i].offset, m->pending[i].data, m->device.sector_size);
		free(m->pending[i].data);
	}
	m->pending_count = 0;
}

static int model_flush(void *context)
{
	struct model_device *m = context;

	m->flushes++;
	if (++m->calls == m->fail_call || !model_step(m))
		return -EIO;
	model_settle(m, false);
	return 0;
}

/* power is gone, and comes back */
static inline void model_power_cut(struct model_device *m)
{
	model_settle(m, true);
	memcpy(m->now, m->safe, m->device.capacity);
	m->power = -1;
}

/* in memory of the caller's, `capacity` bytes each */
static inline void model_init_in(struct model_device *m, u8 *now, u8 *safe, u64 capacity, u32 sector_size, u64 seed)
{
	*m = (struct model_device){ .now = now, .safe = safe, .power = -1, .seed = seed * 0x9e3779b97f4a7c15ull + 1 };
	m->device = (struct vmgs_device){ model_read, model_write, model_flush, m, capacity, sector_size };
}

static inline void model_init(struct model_device *m, u64 capacity, u32 sector_size, u64 seed)
{
	u8 *now = calloc(1, capacity), *safe = calloc(1, capacity);

	CHECK(now && safe);
	model_init_in(m, now, safe, capacity, sector_size, seed);
}

static inline void model_fini(struct model_device *m)
{
	model_settle(m, true);
	free(m->now);
	free(m->safe);
}
