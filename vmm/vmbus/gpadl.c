/* Lists of guest pages that the guest shares with a channel; they come in pieces of a message each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmbus/internal.h"

static void created(struct vmbus *bus, u32 relid, u32 id, u32 status)
{
	struct vmbus_gpadl_created m = { { VMBUS_GPADL_CREATED, 0 }, relid, id, status };

	vmbus_send(bus, &m, sizeof(m));
}

struct gpadl *gpadl_find(struct vmbus *bus, u32 id)
{
	list_for_each(node, &bus->gpadls) {
		struct gpadl *g = container_of(node, struct gpadl, link);

		if (g->id == id)
			return g;
	}
	return NULL;
}

static void destroy(struct vmbus *bus, struct gpadl *g)
{
	list_remove(&g->link);
	bus->gpadl_count--;
	free(g->ranges);
	free(g);
}

/*
 * Walks the ranges. each(): one page, false ends the walk. false: the ranges contradict their length, or each() ended it.
 */
static bool walk(struct bytes b, u32 range_count, bool *ret_aligned, bool (*each)(void *ctx, u64 pfn), void *ctx)
{
	bool aligned = true;

	for (u32 i = 0; i < range_count; i++) {
		u32 count, offset;
		u64 pages, pfn;

		if (!bytes_u32(&b, &count) || !bytes_u32(&b, &offset) || offset >= PAGE_SIZE)
			return false;
		pages = ((u64)offset + count + PAGE_SIZE - 1) >> PAGE_SHIFT;
		if (pages > b.left / sizeof(pfn))
			return false;
		aligned &= !offset && !(count % PAGE_SIZE) && count;
		for (u64 k = 0; k < pages; k++)
			if (!bytes_u64(&b, &pfn) || !each(ctx, pfn))
				return false;
	}
	*ret_aligned = aligned;
	return !b.left;
}

struct page_walk {
	struct vmbus *bus;
	u8 **pages;
	u32 count;
};

static bool count_page(void *ctx, u64 pfn)
{
	struct page_walk *w = ctx;

	w->count++;
	return pfn < 1ull << 40 && guest_range(w->bus->guest, pfn << PAGE_SHIFT, PAGE_SIZE);
}

static bool take_page(void *ctx, u64 pfn)
{
	struct page_walk *w = ctx;
	struct iovec iov;

	if (guest_iovec(w->bus->guest, pfn << PAGE_SHIFT, PAGE_SIZE, &iov))
		return false;
	w->pages[w->count++] = iov.iov_base;
	return true;
}

static void complete(struct vmbus *bus, struct gpadl *g)
{
	struct page_walk w = { .bus = bus };

	if (!walk(bytes_of(g->ranges, g->len), g->range_count, &g->aligned, count_page, &w)) {
		vmbus_mistake(bus, "GPADL with ranges that cannot be", g->id);
		created(bus, g->relid, g->id, VMBUS_STATUS_UNSUCCESSFUL);
		destroy(bus, g);
		return;
	}
	g->page_count = w.count;
	g->complete = true;
	created(bus, g->relid, g->id, VMBUS_STATUS_SUCCESS);
}

static void take(struct vmbus *bus, struct gpadl *g, struct bytes b)
{
	u32 len = (u32)MIN(b.left, (size_t)(g->len - g->got));

	memcpy(g->ranges + g->got, b.at, len);
	g->got += len;
	if (g->got == g->len)
		complete(bus, g);
}

static bool relid_known(const struct vmbus *bus, u32 relid)
{
	const struct vmbus_channel *c = relid < VMBUS_RELIDS ? bus->channels[relid] : NULL;

	return c && c->state != CHANNEL_HIDDEN && c->state != CHANNEL_REVOKED;
}

void gpadl_header(struct vmbus *bus, struct bytes b)
{
	u32 relid, id;
	u16 len, range_count;
	struct gpadl *g = NULL;

	if (!bytes_skip(&b, sizeof(struct vmbus_header)) || !bytes_u32(&b, &relid) || !bytes_u32(&b, &id) ||
	    !bytes_u16(&b, &len) || !bytes_u16(&b, &range_count)) {
		vmbus_mistake(bus, "GPADL header cut short", (u32)b.left);
		return;
	}
	if (relid_known(bus, relid) && !gpadl_find(bus, id) && id && range_count && len && bus->gpadl_count < GPADLS_MAX)
		g = calloc(1, sizeof(*g));
	if (g) {
		*g = (struct gpadl){ .id = id, .relid = relid, .range_count = range_count, .len = len, .ranges = malloc(len) };
		if (!g->ranges) {
			free(g);
			g = NULL;
		}
	}
	if (!g) {
		vmbus_mistake(bus, "GPADL that cannot be made", id);
		created(bus, relid, id, VMBUS_STATUS_UNSUCCESSFUL);
		return;
	}
	list_push(&bus->gpadls, &g->link);
	bus->gpadl_count++;
	take(bus, g, b);
}

/* its message number is always 0 (Linux): order is what counts */
void gpadl_body(struct vmbus *bus, struct bytes b)
{
	u32 number, id;
	struct gpadl *g;

	if (!bytes_skip(&b, sizeof(struct vmbus_header)) || !bytes_u32(&b, &number) || !bytes_u32(&b, &id)) {
		vmbus_mistake(bus, "GPADL body cut short", (u32)b.left);
		return;
	}
	g = gpadl_find(bus, id);
	if (!g || g->complete)
		vmbus_mistake(bus, "GPADL body of a GPADL that wants none", id);
	else
		take(bus, g, b);
}

static void torn_down(struct vmbus *bus, struct gpadl *g)
{
	struct vmbus_gpadl_torndown m = { { VMBUS_GPADL_TORNDOWN, 0 }, g->id };

	vmbus_send(bus, &m, sizeof(m));
	destroy(bus, g);
}

void gpadl_teardown(struct vmbus *bus, struct bytes b)
{
	u32 relid, id;
	struct gpadl *g;

	if (!bytes_skip(&b, sizeof(struct vmbus_header)) || !bytes_u32(&b, &relid) || !bytes_u32(&b, &id)) {
		vmbus_mistake(bus, "GPADL teardown cut short", (u32)b.left);
		return;
	}
	g = gpadl_find(bus, id);
	if (!g || g->relid != relid)
		vmbus_mistake(bus, "teardown of a GPADL that is none", id);
	else if (gpadl_in_use(bus, g))
		g->teardown = true; /* the guest keeps the pages until it hears: after the channel has stopped */
	else
		torn_down(bus, g);
}

u8 **gpadl_pages(struct vmbus *bus, const struct gpadl *g)
{
	struct page_walk w = { .bus = bus };
	bool aligned;

	if (!g->complete || !g->aligned || !g->page_count)
		return NULL;
	w.pages = calloc(g->page_count, sizeof(*w.pages));
	if (w.pages && !walk(bytes_of(g->ranges, g->len), g->range_count, &aligned, take_page, &w)) {
		free(w.pages);
		w.pages = NULL;
	}
	return w.pages;
}

void gpadl_release(struct vmbus *bus, struct gpadl *g)
{
	if (g && g->teardown && !gpadl_in_use(bus, g))
		torn_down(bus, g);
}

void gpadl_free_all(struct vmbus *bus, u32 relid)
{
	list_for_each_safe(node, &bus->gpadls) {
		struct gpadl *g = container_of(node, struct gpadl, link);

		if (!relid || g->relid == relid)
			destroy(bus, g);
	}
}

void gpadl_save(const struct gpadl *g, struct saver *s)
{
	size_t mark = saver_open(s, TAG_GPADL, 1, 0);

	saver_u32(s, g->id);
	saver_u32(s, g->relid);
	saver_u32(s, g->range_count);
	saver_u32(s, g->len);
	saver_u8(s, g->teardown);
	saver_put(s, g->ranges, g->got);
	saver_close(s, mark);
}

int gpadl_restore(struct vmbus *bus, struct bytes b)
{
	struct page_walk w = { .bus = bus };
	struct gpadl in = { .id = 0 }, *g;
	u8 teardown;

	if (!bytes_u32(&b, &in.id) || !bytes_u32(&b, &in.relid) || !bytes_u32(&b, &in.range_count) || !bytes_u32(&b, &in.len) ||
	    !bytes_u8(&b, &teardown))
		return -EPROTO;
	if (!in.id || gpadl_find(bus, in.id) || in.relid >= VMBUS_RELIDS || !in.len || in.len > 0xffff || b.left > in.len ||
	    bus->gpadl_count == GPADLS_MAX)
		return -EPROTO;
	in.teardown = teardown != 0;
	in.got = (u32)b.left;
	in.complete = in.got == in.len;
	if (in.complete && !walk(b, in.range_count, &in.aligned, count_page, &w))
		return -EPROTO;
	in.page_count = w.count;
	in.ranges = malloc(in.len);
	g = malloc(sizeof(*g));
	if (!in.ranges || !g) {
		free(in.ranges);
		free(g);
		return -ENOMEM;
	}
	memcpy(in.ranges, b.at, in.got);
	*g = in;
	list_push(&bus->gpadls, &g->link);
	bus->gpadl_count++;
	return 0;
}
