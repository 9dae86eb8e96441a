/* inspect.InspectService: one Inspect or Update, the worker's part first, then our own */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag/server/inspect_request.h"
#include "diag/server/service.h"
#include "lib/log/log.h"

LOG_DOMAIN("inspect");

#define WORKER_TIMEOUT_NS 10000000000ull
#define MARGIN_NS 100000000ull /* our answer, even "the worker does not", should beat the client's deadline */

struct inspection {
	struct control *control;
	struct ttrpc_call *call;
	struct inspect_request request;
	struct link_query query;
	struct tree tree;
	struct inspect_ask ask;
};

static void inspection_end(struct inspection *i)
{
	i->control->inspections--;
	free(i);
}

static void answer_node(struct inspection *i, struct bytes node)
{
	struct pb_writer w;

	pb_init(&w);
	pb_bytes(&w, 1, node.at, node.left); /* InspectResponse.result, UpdateResponse.new_value */
	if (w.failed)
		ttrpc_fail(i->call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		ttrpc_reply(i->call, w.data, w.len);
	pb_fini(&w);
}

static void evaluated(struct inspect_request *request, struct node *node)
{
	struct inspection *i = container_of(request, struct inspection, request);
	struct pb_writer w;

	pb_init(&w);
	if (!node) {
		ttrpc_fail(i->call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	} else if (!i->ask.update) {
		node_encode(node, &w);
		if (w.failed)
			ttrpc_fail(i->call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		else
			answer_node(i, bytes_of(w.data, w.len));
	} else if (node_encode_value(node, &w) || w.failed) {
		ttrpc_fail(i->call, TTRPC_UNKNOWN, "%s", node->kind == NODE_FAILED ? node_error_text(node) : "not a value");
	} else {
		answer_node(i, bytes_of(w.data, w.len));
	}
	pb_fini(&w);
	node_destroy(node);
	inspection_end(i);
}

static void evaluate(struct inspection *i)
{
	inspect_start(&i->request, i->control->exec, tree_inspect, &i->tree);
}

static void worker_inspected(struct link_query *q, int error, struct bytes body)
{
	struct inspection *i = container_of(q, struct inspection, query);

	i->tree.vm_error = error;
	i->tree.vm = body;
	evaluate(i);
}

static void worker_updated(struct link_query *q, int error, struct bytes body)
{
	struct inspection *i = container_of(q, struct inspection, query);

	if (error)
		ttrpc_fail(i->call, TTRPC_UNKNOWN, "%s", error == -EPIPE ? "no worker runs" :
			   error == -EPERM ? "immutable node" : error == -ENOENT ? "not found" : strerror(-error));
	else
		answer_node(i, body);
	inspection_end(i);
}

/* the log filter is one for all processes: the worker's follows ours, and its refusal would change nothing here */
static void filter_followed(struct link_query *q, int error, struct bytes body)
{
	struct inspection *i = container_of(q, struct inspection, query);

	if (error && error != -EPIPE)
		log_at(LOG_WARN, "the worker's log filter: %s", strerror(-error));
	evaluate(i);
}

static bool is_filter(const char *path)
{
	while (*path == '/')
		path++;
	return !strcmp(path, "trace/filter");
}

static u64 worker_time(const struct inspection *i)
{
	u64 left = ttrpc_call_time_left(i->call, WORKER_TIMEOUT_NS + MARGIN_NS);

	return left > 2 * MARGIN_NS ? left - MARGIN_NS : left / 2;
}

static void ask_worker(struct inspection *i, enum link_op op, const char *path, unsigned depth,
		       void (*done)(struct link_query *, int, struct bytes))
{
	i->query.done = done;
	if (link_query_set(&i->query, op, path, depth, i->ask.update ? i->ask.value : NULL)) {
		done(&i->query, -ENAMETOOLONG, bytes_of(NULL, 0));
		return;
	}
	i->query.limit = i->request.limit;
	link_ask(i->control->worker.link, &i->query, worker_time(i));
}

/* NULL: the call is answered */
static struct inspection *inspection_create(struct control *c, struct ttrpc_call *call, struct bytes payload, bool update)
{
	struct inspection *i = calloc(1, sizeof(*i));
	int r = i ? inspect_ask_decode(payload, update, &i->ask) : -ENOMEM;

	if (r) {
		ttrpc_fail(call, i ? TTRPC_INVALID_ARGUMENT : TTRPC_RESOURCE_EXHAUSTED, "%s",
			   r == -EPROTO ? "malformed request" : r == -E2BIG ? "path or value is too long" : "out of memory");
		free(i);
		return NULL;
	}
	c->inspections++;
	i->control = c;
	i->call = call;
	i->tree.control = c;
	i->request = (struct inspect_request){ .path = i->ask.path, .depth = i->ask.depth, .done = evaluated,
					       .update = update ? i->ask.value : NULL,
					       .limit = c->restricted ? NODE_UNSPECIFIED : 0 };
	return i;
}

void inspect_service_inspect(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;
	struct inspection *i = inspection_create(c, call, payload, false);
	char path[INSPECT_PATH_MAX];
	unsigned depth;

	c->inspect_requests++;
	if (!i)
		return;
	if (tree_needs_worker(i->ask.path, i->ask.depth, path, sizeof(path), &depth))
		ask_worker(i, LINK_INSPECT, path, depth, worker_inspected);
	else
		evaluate(i);
}

void inspect_service_update(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;
	struct inspection *i;
	char path[INSPECT_PATH_MAX];
	unsigned depth;

	c->update_requests++;
	if (service_restricted(c, call, "Update"))
		return;
	i = inspection_create(c, call, payload, true);
	if (!i)
		return;
	if (tree_needs_worker(i->ask.path, 0, path, sizeof(path), &depth))
		ask_worker(i, LINK_UPDATE, path, 0, worker_updated);
	else if (is_filter(i->ask.path))
		ask_worker(i, LINK_UPDATE, "trace/filter", 0, filter_followed);
	else
		evaluate(i);
}
