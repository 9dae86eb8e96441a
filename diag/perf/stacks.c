#include "diag/perf/stacks.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct stack {
	struct stack *next;
	u64 seen;
	char thread[16];
	unsigned count;
	u64 frames[];
};

struct stacks {
	struct stack *buckets[BUCKETS];
	unsigned different;
	u64 lost;
};

struct stacks *stacks_create(void)
{
	return calloc(1, sizeof(struct stacks));
}

void stacks_destroy(struct stacks *s)
{
	for (unsigned i = 0; s && i < BUCKETS; i++)
		for (struct stack *k = s->buckets[i], *next; k; k = next) {
			next = k->next;
			free(k);
		}
	free(s);
}

static u32 hash(const char *thread, const u64 *frames, unsigned count)
{
	u64 h = 0xcbf29ce484222325; /* FNV-1a */

	for (; *thread; thread++)
		h = (h ^ (u8)*thread) * 0x100000001b3;
	for (unsigned i = 0; i < count; i++)
		h = (h ^ frames[i]) * 0x100000001b3;
	return (u32)(h >> 32 ^ h) % BUCKETS;
}

void stacks_add(struct stacks *s, const char *thread, const u64 *frames, unsigned count)
{
	count = MIN(count, (unsigned)STACK_DEPTH_MAX);
	struct stack **place = &s->buckets[hash(thread, frames, count)];

	for (struct stack *k = *place; k; k = k->next)
		if (k->count == count && !strcmp(k->thread, thread) &&
		    (!count || !memcmp(k->frames, frames, count * sizeof(*frames)))) {
			k->seen++;
			return;
		}
	struct stack *k = s->different < STACKS_MAX ? calloc(1, sizeof(*k) + count * sizeof(*frames)) : NULL;

	if (!k) {
		s->lost++;
		return;
	}
	snprintf(k->thread, sizeof(k->thread), "%s", thread);
	if (count)
		memcpy(k->frames, frames, count * sizeof(*frames));
	k->count = count;
	k->seen = 1;
	k->next = *place;
	*place = k;
	s->different++;
}

void stacks_print(const struct stacks *s, FILE *out)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct stack *k = s->buckets[i]; k; k = k->next) {
			fputs(k->thread, out);
			for (unsigned n = k->count; n-- > 0;)
				fprintf(out, ";%#llx", (unsigned long long)k->frames[n]);
			fprintf(out, " %llu\n", (unsigned long long)k->seen);
		}
	if (s->lost)
		fprintf(out, "lost %llu\n", (unsigned long long)s->lost);
}
