#include "lib/dtb/dtb.h"
#include "lib/dtb/format.h"

struct token {
	u32 kind;
	const char *name; /* of a node or property */
	const u8 *data;
	u32 len;
};

/* length of the string at p within max bytes; max when it has no end */
static u32 length_within(const char *p, u32 max)
{
	u32 n = 0;

	while (n < max && p[n])
		n++;
	return n;
}

static const char *take_property(const struct dtb *f, u32 *at, struct token *t)
{
	u32 name;

	if (f->structure_len - *at < 8)
		return "a property is cut off";
	t->len = dtb_load32(f->structure + *at);
	name = dtb_load32(f->structure + *at + 4);
	*at += 8;
	if (t->len > f->structure_len - *at || ALIGN_UP((u64)t->len, 4) > f->structure_len - *at)
		return "a property's value passes the end of the tree";
	if (name >= f->strings_len || length_within(f->strings + name, f->strings_len - name) == f->strings_len - name)
		return "a property's name lies outside the strings";
	t->name = f->strings + name;
	t->data = f->structure + *at;
	*at += ALIGN_UP(t->len, 4);
	return NULL;
}

/* the token at *at, which moves behind it; NULL or what is wrong */
static const char *take(const struct dtb *f, u32 *at, struct token *t)
{
	u32 len;

	*t = (struct token){ 0 };
	if (f->structure_len - *at < 4)
		return "the tree ends without DTB_END";
	t->kind = dtb_load32(f->structure + *at);
	*at += 4;
	switch (t->kind) {
	case DTB_BEGIN_NODE:
		t->name = (const char *)f->structure + *at;
		len = length_within(t->name, f->structure_len - *at);
		if (len == f->structure_len - *at || ALIGN_UP((u64)len + 1, 4) > f->structure_len - *at)
			return "a node's name has no end";
		*at += ALIGN_UP(len + 1, 4);
		return NULL;
	case DTB_PROP:
		return take_property(f, at, t);
	case DTB_END_NODE:
	case DTB_NOP:
	case DTB_END:
		return NULL;
	default:
		return "the tree has an unknown token";
	}
}

static const char *check_structure(const struct dtb *f)
{
	u32 at = 0, depth = 0;
	bool properties_allowed = false, seen_root = false;
	const char *wrong;
	struct token t;

	for (;;) {
		wrong = take(f, &at, &t);
		if (wrong)
			return wrong;
		if (t.kind == DTB_END)
			return depth ? "the tree ends within a node" : seen_root ? NULL : "the tree has no root node";
		if (t.kind == DTB_BEGIN_NODE) {
			if (!depth && (seen_root || t.name[0]))
				return "the tree has more than one root, or a root with a name";
			if (depth++ == DTB_DEPTH_MAX)
				return "nodes are nested too deeply";
			seen_root = properties_allowed = true;
		} else if (t.kind == DTB_END_NODE) {
			if (!depth--)
				return "a node ends that never began";
			properties_allowed = false;
		} else if (t.kind == DTB_PROP && (!depth || !properties_allowed)) {
			return "a property stands behind child nodes";
		}
	}
}

const char *dtb_open(const void *data, size_t len, struct dtb *ret)
{
	const u8 *p = data;
	struct dtb_header h;
	struct dtb f;
	const char *wrong;

	if (len < sizeof(h))
		return "the device tree is shorter than its header";
	for (u32 i = 0; i < sizeof(h) / 4; i++)
		((u32 *)&h)[i] = dtb_load32(p + 4 * i);
	if (h.magic != DTB_MAGIC)
		return "there is no device tree (wrong magic)";
	if (h.version < DTB_VERSION || h.last_comp_version > DTB_VERSION)
		return "the device tree's version is not compatible with 17";
	if (h.totalsize < sizeof(h) || h.totalsize > len)
		return "the device tree is longer than the room it was given";
	if (!range_within(h.off_dt_struct, h.size_dt_struct, 0, h.totalsize) || !IS_ALIGNED(h.off_dt_struct, 4) ||
	    !range_within(h.off_dt_strings, h.size_dt_strings, 0, h.totalsize))
		return "the device tree's blocks lie outside it";
	f = (struct dtb){
		.structure = p + h.off_dt_struct,
		.structure_len = h.size_dt_struct,
		.strings = (const char *)p + h.off_dt_strings,
		.strings_len = h.size_dt_strings,
		.total_size = h.totalsize,
		.boot_cpuid_phys = h.boot_cpuid_phys,
	};
	wrong = check_structure(&f);
	if (!wrong)
		*ret = f;
	return wrong;
}

/* dtb_open() has walked over every token, so take() cannot fail from here on */
static struct token next(const struct dtb *f, u32 *at)
{
	struct token t;

	do {
		if (take(f, at, &t))
			t.kind = DTB_END;
	} while (t.kind == DTB_NOP);
	return t;
}

struct dtb_node dtb_root(const struct dtb *fdt)
{
	struct dtb_node n = { .fdt = fdt };

	n.name = next(fdt, &n.at).name;
	return n;
}

bool dtb_first_child(const struct dtb_node *parent, struct dtb_node *ret)
{
	u32 at = parent->at;

	for (;;) {
		struct token t = next(parent->fdt, &at);

		if (t.kind == DTB_PROP)
			continue;
		if (t.kind != DTB_BEGIN_NODE)
			return false;
		*ret = (struct dtb_node){ parent->fdt, t.name, at };
		return true;
	}
}

bool dtb_next_sibling(struct dtb_node *node)
{
	u32 at = node->at, depth = 1;

	while (depth) {
		struct token t = next(node->fdt, &at);

		if (t.kind == DTB_BEGIN_NODE)
			depth++;
		else if (t.kind == DTB_END_NODE)
			depth--;
		else if (t.kind == DTB_END)
			return false;
	}
	struct token t = next(node->fdt, &at);

	if (t.kind != DTB_BEGIN_NODE)
		return false;
	node->name = t.name;
	node->at = at;
	return true;
}

bool dtb_child(const struct dtb_node *parent, const char *name, struct dtb_node *ret)
{
	struct dtb_node n;

	for (bool more = dtb_first_child(parent, &n); more; more = dtb_next_sibling(&n)) {
		if (!dtb_name_is(n.name, name))
			continue;
		*ret = n;
		return true;
	}
	return false;
}

bool dtb_property(const struct dtb_node *node, const char *name, struct dtb_property *ret)
{
	u32 at = node->at;

	for (;;) {
		struct token t = next(node->fdt, &at);

		if (t.kind != DTB_PROP)
			return false;
		if (!dtb_name_is(t.name, name))
			continue;
		*ret = (struct dtb_property){ t.data, t.len };
		return true;
	}
}

bool dtb_cell(const struct dtb_property *p, u32 index, u32 *ret)
{
	if (!range_within((u64)index * 4, 4, 0, p->len))
		return false;
	*ret = dtb_load32(p->data + (size_t)index * 4);
	return true;
}

bool dtb_cell64(const struct dtb_property *p, u32 index, u64 *ret)
{
	if (!range_within((u64)index * 8, 8, 0, p->len))
		return false;
	*ret = dtb_load64(p->data + (size_t)index * 8);
	return true;
}

const char *dtb_string(const struct dtb_property *p)
{
	if (!p->len || length_within((const char *)p->data, p->len) != p->len - 1)
		return NULL;
	return (const char *)p->data;
}

bool dtb_has_string(const struct dtb_property *p, const char *text)
{
	u32 at = 0;

	while (at < p->len) {
		u32 n = length_within((const char *)p->data + at, p->len - at);

		if (n == p->len - at)
			return false;
		if (dtb_name_is((const char *)p->data + at, text))
			return true;
		at += n + 1;
	}
	return false;
}

bool dtb_name_is(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool dtb_name_begins(const char *name, const char *prefix)
{
	while (*prefix && *name == *prefix) {
		name++;
		prefix++;
	}
	return !*prefix;
}
