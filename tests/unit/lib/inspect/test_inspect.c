#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/inspect/inspect.h"
#include "lib/task/exec_sim.h"

struct leafy { u32 limit; bool on; struct exec *there; };

static void below(void *object, struct inspect *in)
{
	struct leafy *l = object;

	inspect_s64(in, "neg", -1);
	inspect_rw_u32(in, "limit", &l->limit, 1, 16);
	inspect_rw_bool(in, "on", &l->on);
}

static void top(void *object, struct inspect *in)
{
	struct leafy *l = object;

	inspect_str(in, "s", "hi");
	inspect_hex(in, "h", 0x10);
	inspect_child(in, "sub", below, object);
	if (l->there)
		inspect_defer(in, "far", l->there, below, object);
}

static void expect_bytes(struct node *node, const u8 *want, size_t len)
{
	struct pb_writer w;

	pb_init(&w);
	node_encode(node, &w);
	assert_int_equal(w.len, len);
	assert_memory_equal(w.data, want, len);
	pb_fini(&w);
	node_destroy(node);
}

/* derived by hand from mesh_derive's rules, see wire.c */
static void bytes_are_mesh_s(void **state)
{
	struct leafy l = { 3, true, NULL };
	/* Node{3: {1: Value{1: Kind{6: {1: "hi"}}}}} */
	const u8 text[] = { 0x1a, 10, 0x0a, 8, 0x0a, 6, 0x32, 4, 0x0a, 2, 'h', 'i' };
	/* Node{3: {1: Value{1: Kind{2: {1: 16}}, 2: {1: 1}}}} */
	const u8 hex[] = { 0x1a, 12, 0x0a, 10, 0x0a, 4, 0x12, 2, 0x08, 16, 0x12, 2, 0x08, 1 };
	/* zigzag -1 = 1 */
	const u8 neg[] = { 0x1a, 8, 0x0a, 6, 0x0a, 4, 0x0a, 2, 0x08, 1 };
	/* Node{2: {1: Error{6: {}}}} */
	const u8 missing[] = { 0x12, 4, 0x0a, 2, 0x32, 0 };
	/* Node{4: {1: Entry{1: "s", 2: Node…, 3: {2: {}}}, 1: …}}: depth 1 leaves "sub" unevaluated */
	const u8 unevaluated[] = { 0x0a, 0 };

	expect_bytes(inspect_now("s", 1, NULL, top, &l), text, sizeof(text));
	expect_bytes(inspect_now("h", 1, NULL, top, &l), hex, sizeof(hex));
	expect_bytes(inspect_now("sub/neg", 1, NULL, top, &l), neg, sizeof(neg));
	expect_bytes(inspect_now("/sub/nope", 1, NULL, top, &l), missing, sizeof(missing));
	expect_bytes(inspect_now("", 0, NULL, top, &l), unevaluated, sizeof(unevaluated));

	struct node *dir = inspect_now("sub", 1, NULL, below, &l);

	node_destroy(dir);
	dir = node_create("", NODE_DIR);
	node_add(dir, node_create("a", NODE_UNEVALUATED));
	const u8 one_entry[] = { 0x22, 13, 0x0a, 11, 0x0a, 1, 'a', 0x12, 2, 0x0a, 0, 0x1a, 2, 0x12, 0 };

	expect_bytes(dir, one_entry, sizeof(one_entry));
}

static void depth_and_printers(void **state)
{
	struct leafy l = { 3, true, NULL };
	struct node *node = inspect_now("", 1, NULL, top, &l);
	struct text t = node_print_json(node);

	assert_string_equal(t.data, "{\"s\":\"hi\",\"h\":\"0x10\",\"sub\":null}");
	free(t.data);
	node_destroy(node);
	node = inspect_now("", 2, NULL, top, &l);
	t = node_print_tree(node);
	assert_string_equal(t.data, "s: hi\nh: 0x10\nsub:\n  neg: -1\n  limit: 3\n  on: true\n");
	free(t.data);
	node_destroy(node);
}

static void updates_are_checked(void **state)
{
	struct leafy l = { 3, true, NULL };
	struct node *node = inspect_now("sub/limit", 0, "7", top, &l);

	assert_int_equal(node->kind, NODE_VALUE);
	assert_int_equal(l.limit, 7);
	node_destroy(node);
	const struct { const char *path, *text; enum node_error error; } bad[] = {
		{ "sub/limit", "17", NODE_UPDATE }, { "sub/limit", "-1", NODE_UPDATE }, { "sub/neg", "1", NODE_IMMUTABLE },
		{ "sub", "1", NODE_IMMUTABLE }, { "sub/x", "1", NODE_NOT_FOUND }, { "s/x", "1", NODE_NOT_A_DIRECTORY },
		{ "sub/on", "maybe", NODE_UPDATE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		node = inspect_now(bad[i].path, 1, bad[i].text, top, &l);
		assert_int_equal(node->kind, NODE_FAILED);
		assert_int_equal(node->error, bad[i].error);
		node_destroy(node);
	}
	assert_int_equal(l.limit, 7);
}

struct asked { struct inspect_request request; struct node *node; int count; };

static void asked_done(struct inspect_request *request, struct node *node)
{
	struct asked *a = container_of(request, struct asked, request);

	a->node = node;
	a->count++;
}

static void deferred_children_run_there(void **state)
{
	struct sim *sim = sim_create(1);
	struct exec *home = sim_exec(sim, "home");
	struct leafy l = { 3, true, sim_exec(sim, "there") };
	struct asked a = { .request = { .path = "", .depth = 3, .done = asked_done } };
	struct asked u = { .request = { .path = "far/limit", .depth = 1, .update = "9", .done = asked_done } };

	inspect_start(&a.request, home, top, &l);
	inspect_start(&u.request, home, top, &l);
	assert_int_equal(a.count, 0);
	assert_true(sim_run(sim, ~0ull - 1));
	assert_int_equal(a.count, 1);
	assert_int_equal(node_walk(a.node, "far/neg")->number, (u64)-1);
	assert_int_equal(u.node->number, 9);
	assert_int_equal(l.limit, 9);
	node_destroy(a.node);
	node_destroy(u.node);
	sim_destroy(sim);
}

struct embed { struct pb_writer w; };

static void embeds(void *object, struct inspect *in)
{
	struct embed *e = object;

	inspect_embed(in, "vm", bytes_of(e->w.data, e->w.len));
	inspect_embed(in, "junk", bytes_of("\xff", 1));
	inspect_u64(in, "after", 1);
}

static void answers_can_be_reparented(void **state)
{
	struct leafy l = { 3, true, NULL };
	struct node *worker = inspect_now("", 5, NULL, top, &l);
	struct embed e;

	pb_init(&e.w);
	node_encode(worker, &e.w);
	node_destroy(worker);
	struct node *node = inspect_now("", 2, NULL, embeds, &e);

	assert_int_equal(node_walk(node, "vm/sub/limit")->number, 3);
	assert_int_equal(node_walk(node, "junk")->kind, NODE_FAILED);
	assert_int_equal(node_walk(node, "after")->number, 1);
	node_destroy(node);
	pb_fini(&e.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_mesh_s),
		cmocka_unit_test(depth_and_printers),
		cmocka_unit_test(updates_are_checked),
		cmocka_unit_test(deferred_children_run_there),
		cmocka_unit_test(answers_can_be_reparented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
