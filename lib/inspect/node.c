#include "lib/inspect/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node *node_create(const char *name, enum node_kind kind)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->name = strdup(name);
	node->kind = kind;
	node->sensitivity = NODE_UNSPECIFIED;
	if (!node->name) {
		free(node);
		return NULL;
	}
	return node;
}

/* depth is bounded: by NODE_DEPTH_MAX when decoded, by our own objects' nesting when visited */
void node_clear(struct node *node)
{
	for (struct node *child = node->first, *next; child; child = next) {
		next = child->next;
		node_destroy(child);
	}
	free(node->data);
	node->data = NULL;
	node->data_len = 0;
	node->first = node->last = NULL;
	node->kind = NODE_DIR;
}

void node_destroy(struct node *node)
{
	if (!node)
		return;
	node_clear(node);
	free(node->name);
	free(node);
}

int node_set_data(struct node *node, const void *data, size_t len)
{
	u8 *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, data, len);
	copy[len] = 0;
	free(node->data);
	node->data = copy;
	node->data_len = len;
	return 0;
}

void node_add(struct node *dir, struct node *child)
{
	child->next = NULL;
	if (dir->last)
		dir->last->next = child;
	else
		dir->first = child;
	dir->last = child;
}

static struct node *find(const struct node *dir, const char *name, size_t len)
{
	for (struct node *child = dir->first; child; child = child->next)
		if (strlen(child->name) == len && !memcmp(child->name, name, len))
			return child;
	return NULL;
}

struct node *node_find(const struct node *dir, const char *name)
{
	return find(dir, name, strlen(name));
}

struct node *node_walk(struct node *node, const char *path)
{
	while (node && *path) {
		size_t len = strcspn(path, "/");

		if (len)
			node = find(node, path, len);
		path += len;
		if (*path == '/')
			path++;
	}
	return node;
}

const char *node_error_text(const struct node *node)
{
	static const char *const texts[] = {
		[NODE_UNRESOLVED] = "unresolved", [NODE_CHANNEL] = "channel error", [NODE_IMMUTABLE] = "immutable node",
		[NODE_UPDATE] = "update error", [NODE_NOT_A_DIRECTORY] = "not a directory", [NODE_NOT_FOUND] = "not found",
		[NODE_INTERNAL] = "internal error",
	};

	if (node->data_len)
		return (const char *)node->data;
	return node->error < ARRAY_SIZE(texts) && texts[node->error] ? texts[node->error] : "unknown error";
}
