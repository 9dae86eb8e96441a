#include <string.h>

#include "lib/inspect/node.h"

static void set_rate(struct node *node, u64 now, u64 before, double seconds)
{
	/* a counter that began anew (another worker) has grown from zero */
	double rate = seconds > 0 ? (double)(now >= before ? now - before : now) / seconds : 0;

	node->value = NODE_DOUBLE;
	node->flags = NODE_COUNT;
	memcpy(&node->number, &rate, sizeof(rate));
}

static bool is_count(const struct node *node)
{
	return node->kind == NODE_VALUE && node->value == NODE_UNSIGNED && node->flags & NODE_COUNT;
}

struct node *node_since(const struct node *now, const struct node *before, double seconds)
{
	struct node *node = node_create(now->name, now->kind), *child;

	if (!node)
		return NULL;
	node->sensitivity = now->sensitivity;
	node->error = now->error;
	node->value = now->value;
	node->flags = now->flags;
	node->number = now->number;
	if (is_count(now) && before && is_count(before))
		set_rate(node, now->number, before->number, seconds);
	bool good = !now->data || !node_set_data(node, now->data, now->data_len);

	for (const struct node *n = now->first; good && n; n = n->next) {
		child = node_since(n, before ? node_find(before, n->name) : NULL, seconds);
		good = child;
		if (child)
			node_add(node, child);
	}
	if (good)
		return node;
	node_destroy(node);
	return NULL;
}
