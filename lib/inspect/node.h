/*
 * The tree an inspect request yields, in memory; its bytes (openvmm's inspect.Node, see wire.c) and its texts.
 * A node owns its children and strings. Functions that allocate return NULL on ENOMEM; destroy(NULL) is fine.
 */
#pragma once

#include "lib/rpc/pb.h"

enum node_kind { NODE_UNEVALUATED = 1, NODE_FAILED, NODE_VALUE, NODE_DIR };
enum node_value { NODE_SIGNED = 1, NODE_UNSIGNED, NODE_FLOAT, NODE_DOUBLE, NODE_BOOL, NODE_STRING, NODE_BYTES };
enum node_error {
	NODE_UNRESOLVED = 1, NODE_CHANNEL, NODE_IMMUTABLE, NODE_UPDATE, NODE_NOT_A_DIRECTORY, NODE_NOT_FOUND, NODE_INTERNAL
};
enum node_sensitivity { NODE_SAFE = 1, NODE_UNSPECIFIED, NODE_SENSITIVE };

#define NODE_HEX 1u
#define NODE_COUNT 2u
#define NODE_BINARY 4u
#define NODE_DEPTH_MAX 32

struct node {
	char *name;
	enum node_sensitivity sensitivity;
	enum node_kind kind;
	enum node_error error;       /* NODE_FAILED */
	enum node_value value;       /* NODE_VALUE */
	u32 flags;                   /* NODE_HEX.. */
	u64 number;                  /* signed: two's complement; float and double: their bits; bool: 0 or 1 */
	u8 *data;                    /* string (also of an error; NUL-terminated) or bytes */
	size_t data_len;
	struct node *first, *last, *next;
};

struct node *node_create(const char *name, enum node_kind kind);
void node_destroy(struct node *node);
/* empties it: kind becomes NODE_DIR, children and strings go; name and links stay */
void node_clear(struct node *node);
int node_set_data(struct node *node, const void *data, size_t len) __must_check;
/* child goes last and belongs to dir */
void node_add(struct node *dir, struct node *child);
/* the child of that name, NULL if there is none */
struct node *node_find(const struct node *dir, const char *name);
/* follows "a/b/c" */
struct node *node_walk(struct node *node, const char *path);

/*
 * A tree like now, in which each counter that before has too is a rate: a double with NODE_COUNT, by the second. The caller's;
 * NULL when out of memory.
 */
struct node *node_since(const struct node *now, const struct node *before, double seconds) __must_check;

/* the bytes of inspect.Node, without a tag */
void node_encode(const struct node *node, struct pb_writer *w);
/* the bytes of inspect.Value: what an update answers. -EINVAL when node is not a value */
int node_encode_value(const struct node *node, struct pb_writer *w) __must_check;
/*
 * Node bytes into a tree: -EPROTO when malformed, -E2BIG past NODE_DEPTH_MAX levels, -ENOMEM. On success *ret belongs to
 * the caller; node_add() it to a tree of one's own to re-parent what another process answered.
 */
int node_decode(struct bytes b, const char *name, struct node **ret) __must_check;
int node_decode_value(struct bytes b, struct node **ret) __must_check;

struct text {
	char *data; /* NUL-terminated, malloc'd; NULL when out of memory */
	size_t len;
};
/* one line a leaf, two spaces a level; a single value prints as itself */
struct text node_print_tree(const struct node *node);
/* JSON: hex numbers and bytes become strings, failures {"$error": "…"}, unevaluated nodes null */
struct text node_print_json(const struct node *node);
const char *node_error_text(const struct node *node);
