/* Remembers the newest requests. Two requests at once may tear one entry; it is for people to read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log/log.h"
#include "vmm/disk/disk.h"

LOG_DOMAIN("disk");

#define ENTRIES 64u

struct trace {
	struct disk disk;
	atomic_uint next;
	struct entry {
		u64 sector, count;
		u8 op, flags;
		int result;
	} entries[ENTRIES];
};

#define UNDER_WAY 1

static struct trace *of(struct disk *disk)
{
	return container_of(disk, struct trace, disk);
}

static void back(struct disk_request *r, struct disk_frame *frame, int result)
{
	of(frame->disk)->entries[frame->word[0]].result = result;
	disk_done(r, result);
}

static void trace_submit(struct disk *disk, struct disk_request *r)
{
	struct trace *t = of(disk);
	unsigned i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed) % ENTRIES;
	struct disk_frame *frame = disk_push(disk, r, back);

	t->entries[i] = (struct entry){ r->sector, r->count, (u8)r->op, (u8)r->flags, UNDER_WAY };
	if (frame)
		frame->word[0] = i;
	disk_pass(t->disk.below, r);
}

static void trace_inspect(struct disk *disk, struct inspect *in)
{
	struct trace *t = of(disk);
	unsigned next = atomic_load(&t->next);
	char name[12], text[96];

	inspect_count(in, "requests", next);
	for (unsigned i = next > ENTRIES ? next - ENTRIES : 0; i < next; i++) {
		const struct entry *e = &t->entries[i % ENTRIES];

		snprintf(name, sizeof(name), "%u", i);
		snprintf(text, sizeof(text), "%s%s %llu+%llu: %d", disk_op_name(e->op), e->flags & DISK_FUA ? " fua" : "",
			 (unsigned long long)e->sector, (unsigned long long)e->count, e->result);
		inspect_str(in, name, e->result == UNDER_WAY ? "under way" : text);
	}
	inspect_child(in, "below", disk_inspect, t->disk.below);
}

static void trace_destroy(struct disk *disk)
{
	disk_destroy(disk->below);
	free(of(disk));
}

static const struct disk_ops ops = { .submit = trace_submit, .inspect = trace_inspect, .destroy = trace_destroy };

struct disk *disk_trace(struct disk *below)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t) {
		log_err(-ENOMEM, "trace filter");
		disk_destroy(below);
		return NULL;
	}
	disk_like(&t->disk, &ops, "trace", below);
	t->disk.below = below;
	return &t->disk;
}
