/*
 * Flattened device trees, version 17. Source: Devicetree Specification 0.4, chapter 5. Freestanding, no allocation, no
 * recursion. The reader checks the whole tree in fdt_open(); afterwards walking it cannot fail.
 */
#pragma once

#include "lib/core/types.h"

#define FDT_DEPTH_MAX 16u

struct fdt {
	const u8 *structure;
	u32 structure_len;
	const char *strings;
	u32 strings_len;
	u32 total_size;
	u32 boot_cpuid_phys;
};

struct fdt_node {
	const struct fdt *fdt;
	const char *name; /* "" for the root */
	u32 at; /* first token behind the name */
};

struct fdt_property {
	const u8 *data;
	u32 len;
};

/*
 * Checks the blob: header, token stream, nesting up to FDT_DEPTH_MAX, NUL-terminated names, properties before children.
 * len is the room the blob lies in; the tree may be shorter. NULL when it is sound, else a sentence saying what is not.
 * *ret borrows data.
 */
const char *fdt_open(const void *data, size_t len, struct fdt *ret);
struct fdt_node fdt_root(const struct fdt *fdt);
/* first child of parent, then the next one; false at the end */
bool fdt_first_child(const struct fdt_node *parent, struct fdt_node *ret);
bool fdt_next_sibling(struct fdt_node *node);
/* child of that exact name; false when there is none */
bool fdt_child(const struct fdt_node *parent, const char *name, struct fdt_node *ret);
bool fdt_property(const struct fdt_node *node, const char *name, struct fdt_property *ret);
/* index-th cell or pair of cells; false when the property is too short */
bool fdt_cell(const struct fdt_property *p, u32 index, u32 *ret);
bool fdt_cell64(const struct fdt_property *p, u32 index, u64 *ret);
/* the property as one string: NULL unless its only NUL is its last byte */
const char *fdt_string(const struct fdt_property *p);
/* is text the property's string, or one of its list of strings? */
bool fdt_has_string(const struct fdt_property *p, const char *text);
/* freestanding strcmp() == 0 and "name begins with prefix" */
bool fdt_name_is(const char *a, const char *b);
bool fdt_name_begins(const char *name, const char *prefix);

#define FDT_STRINGS_MAX 1024u

/* writes a tree into a caller's buffer; running out of room is remembered and reported by fdt_finish() */
struct fdt_writer {
	u8 *buffer;
	u32 size, used;
	u32 structure; /* where the structure block starts */
	u32 depth;
	bool reserving, failed;
	char strings[FDT_STRINGS_MAX];
	u32 strings_len;
};

void fdt_begin(struct fdt_writer *w, void *buffer, u32 size);
/* memory reservations, all of them before the first node */
void fdt_reserve(struct fdt_writer *w, u64 address, u64 size);
/* the first node is the root, named "" */
void fdt_node(struct fdt_writer *w, const char *name);
/* name@unit, unit in hexadecimal */
void fdt_node_at(struct fdt_writer *w, const char *name, u64 unit);
void fdt_end_node(struct fdt_writer *w);
void fdt_bytes(struct fdt_writer *w, const char *name, const void *data, u32 len);
void fdt_empty(struct fdt_writer *w, const char *name);
void fdt_text(struct fdt_writer *w, const char *name, const char *text);
void fdt_u32(struct fdt_writer *w, const char *name, u32 value);
void fdt_u64(struct fdt_writer *w, const char *name, u64 value);
void fdt_u64s(struct fdt_writer *w, const char *name, const u64 *values, u32 count);
/* length of the finished tree; 0 when it did not fit or nodes are left open */
u32 fdt_finish(struct fdt_writer *w, u32 boot_cpuid_phys);
