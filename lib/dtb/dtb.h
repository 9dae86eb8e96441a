/*
 * Flattened device trees, version 17. Source: Devicetree Specification 0.4, chapter 5. Freestanding, no
 * allocation, no recursion. The reader checks the whole tree in dtb_open(); afterwards walking it cannot
 * fail.
 */
#pragma once

#include "lib/core/types.h"

#define DTB_DEPTH_MAX 16u

struct dtb {
	const u8 *structure;
	u32 structure_len;
	const char *strings;
	u32 strings_len;
	u32 total_size;
	u32 boot_cpuid_phys;
};

struct dtb_node {
	const struct dtb *fdt;
	const char *name; /* "" for the root */
	u32 at; /* first token behind the name */
};

struct dtb_property {
	const u8 *data;
	u32 len;
};

/*
 * Checks the blob: header, token stream, nesting up to DTB_DEPTH_MAX, NUL-terminated names, properties
 * before children. len is the room the blob lies in; the tree may be shorter. NULL when it is sound, else
 * a sentence saying what is not. *ret borrows data.
 */
const char *dtb_open(const void *data, size_t len, struct dtb *ret);
struct dtb_node dtb_root(const struct dtb *fdt);
/* first child of parent, then the next one; false at the end */
bool dtb_first_child(const struct dtb_node *parent, struct dtb_node *ret);
bool dtb_next_sibling(struct dtb_node *node);
/* child of that exact name; false when there is none */
bool dtb_child(const struct dtb_node *parent, const char *name, struct dtb_node *ret);
bool dtb_property(const struct dtb_node *node, const char *name, struct dtb_property *ret);
/* index-th cell or pair of cells; false when the property is too short */
bool dtb_cell(const struct dtb_property *p, u32 index, u32 *ret);
bool dtb_cell64(const struct dtb_property *p, u32 index, u64 *ret);
/* the property as one string: NULL unless its only NUL is its last byte */
const char *dtb_string(const struct dtb_property *p);
/* is text the property's string, or one of its list of strings? */
bool dtb_has_string(const struct dtb_property *p, const char *text);
/* freestanding strcmp() == 0 and "name begins with prefix" */
bool dtb_name_is(const char *a, const char *b);
bool dtb_name_begins(const char *name, const char *prefix);

#define DTB_STRINGS_MAX 1024u

/* writes a tree into a caller's buffer; running out of room is remembered and reported by dtb_finish() */
struct dtb_writer {
	u8 *buffer;
	u32 size, used;
	u32 structure; /* where the structure block starts */
	u32 depth;
	bool reserving, failed;
	char strings[DTB_STRINGS_MAX];
	u32 strings_len;
};

void dtb_begin(struct dtb_writer *w, void *buffer, u32 size);
/* memory reservations, all of them before the first node */
void dtb_reserve(struct dtb_writer *w, u64 address, u64 size);
/* the first node is the root, named "" */
void dtb_node(struct dtb_writer *w, const char *name);
/* name@unit, unit in hexadecimal */
void dtb_node_at(struct dtb_writer *w, const char *name, u64 unit);
void dtb_end_node(struct dtb_writer *w);
void dtb_bytes(struct dtb_writer *w, const char *name, const void *data, u32 len);
void dtb_empty(struct dtb_writer *w, const char *name);
void dtb_text(struct dtb_writer *w, const char *name, const char *text);
void dtb_u32(struct dtb_writer *w, const char *name, u32 value);
void dtb_u64(struct dtb_writer *w, const char *name, u64 value);
void dtb_u64s(struct dtb_writer *w, const char *name, const u64 *values, u32 count);
/* length of the finished tree; 0 when it did not fit or nodes are left open */
u32 dtb_finish(struct dtb_writer *w, u32 boot_cpuid_phys);
