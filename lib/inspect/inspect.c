#include "lib/inspect/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_NS 1000000000ull
#define PATH_MAX_LEN 256

/* one evaluation of a request; shared by home and the executors that answer, freed when the last of them is through */
struct evaluation {
	struct inspect_request *request; /* NULL after done() */
	struct exec *home;
	struct node *root;
	unsigned pending;                /* deferred children not yet back; home's */
	struct timer timer;
};

struct inspect {
	struct node *dir;       /* values are added here; NULL: the path leads elsewhere */
	const char *path;       /* what is left of it */
	unsigned depth;
	const char *update;
	enum node_sensitivity sensitivity, limit;
	struct evaluation *evaluation;
	bool found;
};

struct deferred {
	struct op op;
	struct evaluation *evaluation;
	struct exec *there;
	inspect_fn fn;
	void *object;
	struct node *place;     /* home's: where the answer goes */
	struct node *answer;    /* made over there */
	char path[PATH_MAX_LEN];
	char *update;
	unsigned depth;
	enum node_sensitivity limit;
};

/* the first component of path is name: *ret_rest is what follows it */
static bool step(const char *path, const char *name, const char **ret_rest)
{
	size_t len = strlen(name);

	if (strncmp(path, name, len) || (path[len] && path[len] != '/'))
		return false;
	path += len;
	while (*path == '/')
		path++;
	*ret_rest = path;
	return true;
}

/*
 * Where a child of that name goes: a new node below dir when the path ends here, dir itself when the path names the child,
 * NULL when it is not asked for.
 */
static struct node *enter(struct inspect *in, const char *name, const char **ret_rest)
{
	if (!in->dir || (in->limit && in->sensitivity > in->limit))
		return NULL;
	if (*in->path) {
		if (in->found || !step(in->path, name, ret_rest))
			return NULL;
		in->found = true;
		return in->dir;
	}
	struct node *node = node_create(name, NODE_UNEVALUATED);

	if (node) {
		node->sensitivity = in->sensitivity;
		node_add(in->dir, node);
	}
	*ret_rest = "";
	return node;
}

static void fail(struct node *node, enum node_error error, const char *text)
{
	node_clear(node);
	node->kind = NODE_FAILED;
	node->error = error;
	if (text && node_set_data(node, text, strlen(text)))
		node->error = NODE_INTERNAL;
}

static struct node *leaf(struct inspect *in, const char *name, enum node_value value, bool writable)
{
	const char *rest;
	struct node *node = enter(in, name, &rest);

	if (!node)
		return NULL;
	if (*rest) {
		fail(node, NODE_NOT_A_DIRECTORY, NULL);
		return NULL;
	}
	if (in->update && !writable) {
		fail(node, NODE_IMMUTABLE, NULL);
		return NULL;
	}
	node->kind = NODE_VALUE;
	node->value = value;
	return node;
}

static void number(struct inspect *in, const char *name, enum node_value kind, u64 value, u32 flags)
{
	struct node *node = leaf(in, name, kind, false);

	if (!node)
		return;
	node->number = value;
	node->flags = flags;
}

void inspect_u64(struct inspect *in, const char *name, u64 value)
{
	number(in, name, NODE_UNSIGNED, value, 0);
}

void inspect_s64(struct inspect *in, const char *name, s64 value)
{
	number(in, name, NODE_SIGNED, (u64)value, 0);
}

void inspect_hex(struct inspect *in, const char *name, u64 value)
{
	number(in, name, NODE_UNSIGNED, value, NODE_HEX);
}

void inspect_count(struct inspect *in, const char *name, u64 value)
{
	number(in, name, NODE_UNSIGNED, value, NODE_COUNT);
}

void inspect_bool(struct inspect *in, const char *name, bool value)
{
	number(in, name, NODE_BOOL, value, 0);
}

static void set_data(struct node *node, const void *data, size_t len)
{
	if (node && node_set_data(node, data, len))
		fail(node, NODE_INTERNAL, NULL);
}

void inspect_str(struct inspect *in, const char *name, const char *value)
{
	set_data(leaf(in, name, NODE_STRING, false), value, strlen(value));
}

void inspect_bytes(struct inspect *in, const char *name, const void *data, size_t len)
{
	set_data(leaf(in, name, NODE_BYTES, false), data, len);
}

void inspect_sensitivity(struct inspect *in, enum node_sensitivity sensitivity)
{
	in->sensitivity = sensitivity;
}

bool inspect_wants(struct inspect *in, const char *name)
{
	const char *rest;

	return in->dir && (*in->path ? !in->found && step(in->path, name, &rest) : in->depth > 1);
}

static void evaluate(struct inspect *in, inspect_fn fn, void *object)
{
	if (in->update && !*in->path) {
		/* only a leaf can be set: a path that ends at a directory would otherwise set every leaf in it */
		fail(in->dir, NODE_IMMUTABLE, NULL);
		return;
	}
	if (!*in->path && !in->depth)
		return;
	in->dir->kind = NODE_DIR;
	fn(object, in);
	if (*in->path && !in->found)
		fail(in->dir, NODE_NOT_FOUND, NULL);
}

/* depth counts levels below the node the path names, so it does not shrink on the way there */
static unsigned depth_below(struct inspect *in)
{
	return *in->path ? in->depth : in->depth ? in->depth - 1 : 0;
}

void inspect_child(struct inspect *in, const char *name, inspect_fn fn, void *object)
{
	const char *rest;
	unsigned depth = depth_below(in);
	struct node *node = enter(in, name, &rest);

	if (!node)
		return;
	struct inspect below = { .dir = node, .path = rest, .depth = depth, .update = in->update,
				 .sensitivity = NODE_UNSPECIFIED, .limit = in->limit, .evaluation = in->evaluation };

	evaluate(&below, fn, object);
}

void inspect_child_index(struct inspect *in, unsigned index, inspect_fn fn, void *object)
{
	char name[12];

	snprintf(name, sizeof(name), "%u", index);
	inspect_child(in, name, fn, object);
}

void inspect_embed(struct inspect *in, const char *name, struct bytes node_bytes)
{
	const char *rest;
	struct node *node = enter(in, name, &rest), *got;

	if (!node)
		return;
	if (node_decode(node_bytes, "", &got)) {
		fail(node, NODE_CHANNEL, "malformed answer");
		return;
	}
	/* take got's content over; the name and place in the tree are ours */
	char *own_name = node->name;
	struct node *next = node->next;
	enum node_sensitivity sensitivity = node->sensitivity;

	node_clear(node);
	char *spare = got->name;

	*node = *got;
	node->name = own_name;
	node->next = next;
	node->sensitivity = sensitivity;
	free(spare);
	free(got);
}

/* ---- values that can be set */
static int parse_u64(const char *text, u64 *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno || end == text || *end || *text == '-' ? -EINVAL : 0;
}

void inspect_rw_u32(struct inspect *in, const char *name, u32 *value, u32 min, u32 max)
{
	struct node *node = leaf(in, name, NODE_UNSIGNED, true);
	u64 wanted;

	if (!node)
		return;
	if (in->update) {
		if (parse_u64(in->update, &wanted) || wanted < min || wanted > max) {
			fail(node, NODE_UPDATE, "not a number in range");
			return;
		}
		*value = (u32)wanted;
	}
	node->number = *value;
}

void inspect_rw_bool(struct inspect *in, const char *name, bool *value)
{
	struct node *node = leaf(in, name, NODE_BOOL, true);

	if (!node)
		return;
	if (in->update) {
		if (strcmp(in->update, "true") && strcmp(in->update, "false")) {
			fail(node, NODE_UPDATE, "neither true nor false");
			return;
		}
		*value = in->update[0] == 't';
	}
	node->number = *value;
}

void inspect_rw_text(struct inspect *in, const char *name, const struct inspect_text *ops, void *object)
{
	struct node *node = leaf(in, name, NODE_STRING, true);
	char text[512] = "";
	int r;

	if (!node)
		return;
	if (in->update && (r = ops->set(object, in->update))) {
		fail(node, NODE_UPDATE, strerror(-r));
		return;
	}
	ops->get(object, text, sizeof(text));
	set_data(node, text, strlen(text));
}

/* ---- deferred children */
static void evaluation_put(struct evaluation *e)
{
	if (!e->pending && !e->request)
		free(e);
}

static void finish(struct evaluation *e)
{
	struct inspect_request *request = e->request;

	timer_disarm(e->home, &e->timer);
	e->request = NULL;
	request->done(request, e->root);
	evaluation_put(e);
}

static void timed_out(struct timer *timer)
{
	finish(container_of(timer, struct evaluation, timer));
}

static void adopt(struct node *place, struct node *answer)
{
	place->kind = answer->kind;
	place->error = answer->error;
	place->value = answer->value;
	place->flags = answer->flags;
	place->number = answer->number;
	place->data = answer->data;
	place->data_len = answer->data_len;
	place->first = answer->first;
	place->last = answer->last;
	free(answer->name);
	free(answer);
}

static void came_back(struct op *op, int ignored)
{
	struct deferred *d = container_of(op, struct deferred, op);
	struct evaluation *e = d->evaluation;

	e->pending--;
	if (!e->request) {
		node_destroy(d->answer); /* too late: the tree is gone */
		evaluation_put(e);
	} else {
		if (d->answer) {
			node_clear(d->place);
			adopt(d->place, d->answer);
		}
		if (!e->pending)
			finish(e);
	}
	free(d->update);
	free(d);
}

static void evaluate_there(struct op *op, int ignored)
{
	struct deferred *d = container_of(op, struct deferred, op);

	d->answer = node_create("", NODE_UNEVALUATED);
	if (d->answer) {
		struct inspect in = { .dir = d->answer, .path = d->path, .depth = d->depth, .update = d->update,
				      .sensitivity = NODE_UNSPECIFIED, .limit = d->limit };

		evaluate(&in, d->fn, d->object);
	}
	exec_post(d->evaluation->home, &d->op, came_back, 0);
}

void inspect_defer(struct inspect *in, const char *name, struct exec *exec, inspect_fn fn, void *object)
{
	const char *rest;
	unsigned depth = depth_below(in);
	struct node *node = enter(in, name, &rest);
	struct evaluation *e = in->evaluation;

	if (!node || (!*rest && !depth))
		return;
	fail(node, NODE_UNRESOLVED, NULL);
	if (!e)
		return;
	struct deferred *d = strlen(rest) < PATH_MAX_LEN ? calloc(1, sizeof(*d)) : NULL;

	if (!d) {
		fail(node, NODE_INTERNAL, NULL);
		return;
	}
	*d = (struct deferred){ .evaluation = e, .there = exec, .fn = fn, .object = object, .place = node, .depth = depth,
				.limit = in->limit };
	snprintf(d->path, sizeof(d->path), "%s", rest);
	if (in->update && !(d->update = strdup(in->update))) {
		free(d);
		return;
	}
	e->pending++;
	exec_post(exec, &d->op, evaluate_there, 0);
}

static struct node *evaluate_root(struct evaluation *e, const struct inspect_request *q, inspect_fn fn, void *object)
{
	struct node *root = node_create("", NODE_UNEVALUATED);
	const char *path = q->path;

	if (!root)
		return NULL;
	while (*path == '/')
		path++;
	struct inspect in = { .dir = root, .path = path, .depth = q->depth, .update = q->update,
			      .sensitivity = NODE_UNSPECIFIED, .limit = q->limit, .evaluation = e };

	evaluate(&in, fn, object);
	return root;
}

void inspect_start(struct inspect_request *request, struct exec *home, inspect_fn fn, void *object)
{
	struct evaluation *e = calloc(1, sizeof(*e));

	if (!e) {
		request->done(request, NULL);
		return;
	}
	e->request = request;
	e->home = home;
	e->timer.fire = timed_out;
	e->root = evaluate_root(e, request, fn, object);
	if (!e->pending) {
		finish(e);
		return;
	}
	timer_arm(home, &e->timer,
		  exec_now_ns(home) + (request->timeout_ns ? request->timeout_ns : DEFAULT_TIMEOUT_NS));
}

struct node *inspect_now(const char *path, unsigned depth, const char *update, inspect_fn fn, void *object)
{
	return evaluate_root(NULL, &(struct inspect_request){ .path = path, .depth = depth, .update = update }, fn, object);
}
