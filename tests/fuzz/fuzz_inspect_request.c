/*
 * Inspect and Update requests as any client may send them: what is decoded is terminated and bounded, what is passed on to the
 * worker as well; and a tree with values of every kind, a writable one each, answers with something that its reader understands.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/server/control.h"
#include "diag/server/inspect_request.h"
#include "lib/core/check.h"
#include "lib/inspect/inspect.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct thing {
	u32 number;
	bool on;
	char text[32];
	struct bytes raw;
	unsigned below;
};

static void get_text(void *object, char *text, size_t size)
{
	snprintf(text, size, "%s", ((struct thing *)object)->text);
}

static int set_text(void *object, const char *text)
{
	struct thing *t = object;

	if (strlen(text) >= sizeof(t->text))
		return -EINVAL;
	strcpy(t->text, text);
	return 0;
}

static void look(void *object, struct inspect *in)
{
	static const struct inspect_text text = { get_text, set_text };
	struct thing *t = object;

	inspect_u64(in, "a", 1);
	inspect_s64(in, "b", -1);
	inspect_hex(in, "c", ~0ull);
	inspect_count(in, "d", 7);
	inspect_str(in, "e", "text");
	inspect_bytes(in, "f", t->raw.at, t->raw.left);
	inspect_rw_u32(in, "g", &t->number, 3, 9);
	inspect_rw_bool(in, "h", &t->on);
	inspect_rw_text(in, "i", &text, t);
	inspect_embed(in, "j", t->raw);
	if (t->below < NODE_DEPTH_MAX + 2) {
		t->below++;
		inspect_child_index(in, 0, look, t);
		t->below--;
	}
	inspect_sensitivity(in, NODE_SENSITIVE);
	inspect_str(in, "k", "secret");
}

static void answer(struct node *node)
{
	struct node *again;
	struct pb_writer w;

	pb_init(&w);
	CHECK(node);
	node_encode(node, &w);
	CHECK(!w.failed && node_decode(bytes_of(w.data, w.len), "x", &again) == 0);
	node_destroy(again);
	node_destroy(node);
	pb_fini(&w);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct thing t = { .number = 5 };
	struct inspect_ask ask;
	char path[INSPECT_PATH_MAX];
	unsigned depth;

	if (!size || inspect_ask_decode(bytes_of(data + 1, size - 1), data[0] & 1, &ask))
		return 0;
	CHECK(memchr(ask.path, 0, sizeof(ask.path)) && memchr(ask.value, 0, sizeof(ask.value)));
	CHECK(ask.depth < NODE_DEPTH_MAX && (ask.update || !ask.value[0]));
	if (tree_needs_worker(ask.path, ask.depth, path, sizeof(path), &depth))
		CHECK(memchr(path, 0, sizeof(path)) && depth <= ask.depth && !strncmp(path, "vm", 2));
	t.raw = bytes_of(data + size / 2, size - size / 2);
	answer(inspect_now(ask.path, MIN(ask.depth, 3u), ask.update ? ask.value : NULL, look, &t));
	CHECK(t.number >= 3 && t.number <= 9);
	return 0;
}
