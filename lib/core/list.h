/* Intrusive doubly linked list with a sentinel head. No locking; one owner thread. */
#pragma once

#include "lib/core/types.h"

struct list_node {
	struct list_node *next, *prev;
};

static inline void list_init(struct list_node *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_push(struct list_node *head, struct list_node *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* remove node from the list it is in; the node may be removed twice */
static inline void list_remove(struct list_node *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}

/* first node, removed; NULL when empty */
static inline struct list_node *list_pop(struct list_node *head)
{
	struct list_node *node = head->next;

	if (node == head)
		return NULL;
	list_remove(node);
	return node;
}

#define list_for_each(pos, head) for (struct list_node *pos = (head)->next; pos != (head); pos = pos->next)
#define list_for_each_safe(pos, head)                                                                      \
	for (struct list_node *pos = (head)->next, *pos##_next = pos->next; pos != (head);                 \
	     pos = pos##_next, pos##_next = pos->next)
