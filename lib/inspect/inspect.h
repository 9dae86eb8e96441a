/*
 * What an object says about itself. A visitor: the object names its values and children; the request's path and depth
 * decide which of them are entered, so an object need not know what was asked. Runs on the object's executor; for a child
 * that lives elsewhere use inspect_defer(). A request with a text updates the one value its path names.
 */
#pragma once

#include "lib/inspect/node.h"
#include "lib/task/exec.h"

struct inspect;

typedef void (*inspect_fn)(void *object, struct inspect *in);

void inspect_u64(struct inspect *in, const char *name, u64 value);
void inspect_s64(struct inspect *in, const char *name, s64 value);
void inspect_hex(struct inspect *in, const char *name, u64 value);
/* a number that only grows: printers may show a rate */
void inspect_count(struct inspect *in, const char *name, u64 value);
void inspect_bool(struct inspect *in, const char *name, bool value);
void inspect_str(struct inspect *in, const char *name, const char *value);
void inspect_bytes(struct inspect *in, const char *name, const void *data, size_t len);
void inspect_child(struct inspect *in, const char *name, inspect_fn fn, void *object);
/* name "vps", index 3 → child "3" below "vps" is inspect_child twice; this makes the number's text */
void inspect_child_index(struct inspect *in, unsigned index, inspect_fn fn, void *object);
/* fn runs on that executor, later; the object must live until then. The request waits for it, up to its time limit. */
void inspect_defer(struct inspect *in, const char *name, struct exec *exec, inspect_fn fn, void *object);
/* what another process answered, as it came; -EPROTO leaves an error node */
void inspect_embed(struct inspect *in, const char *name, struct bytes node_bytes);
/* applies to values and children named from here to the end of this object */
void inspect_sensitivity(struct inspect *in, enum node_sensitivity sensitivity);

/* values an operator may set, min and max included */
void inspect_rw_u32(struct inspect *in, const char *name, u32 *value, u32 min, u32 max);
void inspect_rw_bool(struct inspect *in, const char *name, bool *value);
/* set() judges the text: 0 or -errno; get() fills text */
struct inspect_text {
	void (*get)(void *object, char *text, size_t size);
	int (*set)(void *object, const char *text);
};
void inspect_rw_text(struct inspect *in, const char *name, const struct inspect_text *ops, void *object);

/* true when a request could want this child: to spare costly preparation */
bool inspect_wants(struct inspect *in, const char *name);

/* the process's log: its filter, writable, and what was suppressed */
void inspect_log(void *object, struct inspect *in);

/* ---- requests */
struct inspect_request {
	const char *path;      /* "" or "a/b"; must live until done */
	unsigned depth;        /* 0: the node itself is not evaluated */
	const char *update;    /* text of the new value, or NULL */
	u64 timeout_ns;        /* for deferred children; 0: 1 s */
	/* what is more sensitive than this is not there, for this request; 0: everything is */
	enum node_sensitivity limit;
	/* on the home executor, once; node belongs to the callee (NULL: out of memory) */
	void (*done)(struct inspect_request *, struct node *node);
};

/*
 * Evaluates fn(object) on home, the calling thread's executor; done() may run before this returns. A deferred child
 * whose executor does not answer in time becomes an error node "unresolved"; its late answer is dropped.
 */
void inspect_start(struct inspect_request *request, struct exec *home, inspect_fn fn, void *object);
/* the same without an executor; deferred children become "unresolved". For tests and tools. */
struct node *inspect_now(const char *path, unsigned depth, const char *update, inspect_fn fn, void *object);
