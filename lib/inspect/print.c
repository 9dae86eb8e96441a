#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/inspect/node.h"

static void put(struct pb_writer *w, const char *text)
{
	pb_raw(w, text, strlen(text));
}

static void __printf(2, 3) putf(struct pb_writer *w, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(w, text);
}

static void put_hex(struct pb_writer *w, const u8 *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		putf(w, "%02x", data[i]);
}

static void put_binary(struct pb_writer *w, u64 number)
{
	int top = number ? 63 - __builtin_clzll(number) : 0;

	put(w, "0b");
	for (int i = top; i >= 0; i--)
		put(w, number >> i & 1 ? "1" : "0");
}

static double double_of(const struct node *node)
{
	double d;
	float f;
	u32 low = (u32)node->number;

	memcpy(&d, &node->number, sizeof(d));
	memcpy(&f, &low, sizeof(f));
	return node->value == NODE_FLOAT ? (double)f : d;
}

static void put_number(struct pb_writer *w, const struct node *node)
{
	if (node->flags & NODE_HEX)
		putf(w, "0x%" PRIx64, node->number);
	else if (node->flags & NODE_BINARY)
		put_binary(w, node->number);
	else if (node->value == NODE_SIGNED)
		putf(w, "%" PRId64, (s64)node->number);
	else
		putf(w, "%" PRIu64, node->number);
}

static void put_quoted(struct pb_writer *w, const char *text, size_t len)
{
	put(w, "\"");
	for (size_t i = 0; i < len; i++) {
		u8 c = (u8)text[i];

		if (c == '"' || c == '\\')
			putf(w, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			putf(w, "\\u%04x", c);
		else
			pb_raw(w, &c, 1);
	}
	put(w, "\"");
}

/* text from elsewhere may reach a terminal: control characters are not passed on */
static void put_plain(struct pb_writer *w, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put(w, (u8)text[i] < 0x20 || text[i] == 0x7f ? "?" : (char[2]){ text[i], 0 });
}

static void put_value(struct pb_writer *w, const struct node *node, bool json)
{
	const char *text = node->data ? (const char *)node->data : "";
	bool quote = json && (node->flags & (NODE_HEX | NODE_BINARY));

	switch (node->value) {
	case NODE_SIGNED:
	case NODE_UNSIGNED:
		put(w, quote ? "\"" : "");
		put_number(w, node);
		put(w, quote ? "\"" : "");
		break;
	case NODE_FLOAT:
	case NODE_DOUBLE:
		if (node->flags & NODE_COUNT)
			putf(w, json ? "%.3f" : "%.1f/s", double_of(node));
		else
			putf(w, "%.17g", double_of(node));
		break;
	case NODE_BOOL:
		put(w, node->number ? "true" : "false");
		break;
	case NODE_STRING:
		if (json)
			put_quoted(w, text, node->data_len);
		else
			put_plain(w, text, node->data_len);
		break;
	case NODE_BYTES:
		put(w, json ? "\"" : "");
		put_hex(w, node->data, node->data_len);
		put(w, json ? "\"" : "");
		break;
	}
}

static void tree(struct pb_writer *w, const struct node *node, unsigned level)
{
	if (node->kind == NODE_VALUE)
		put_value(w, node, false);
	else if (node->kind == NODE_FAILED)
		putf(w, "error (%.40s)", node_error_text(node));
	else if (node->kind == NODE_UNEVALUATED)
		put(w, "_");
	if (node->kind != NODE_DIR) {
		put(w, "\n");
		return;
	}
	for (const struct node *child = node->first; child; child = child->next) {
		for (unsigned i = 0; i < level; i++)
			put(w, "  ");
		put_plain(w, child->name, strlen(child->name));
		put(w, child->kind == NODE_DIR ? ":\n" : ": ");
		tree(w, child, level + 1);
	}
}

static void json(struct pb_writer *w, const struct node *node)
{
	switch (node->kind) {
	case NODE_UNEVALUATED:
		put(w, "null");
		break;
	case NODE_VALUE:
		put_value(w, node, true);
		break;
	case NODE_FAILED:
		put(w, "{\"$error\":");
		put_quoted(w, node_error_text(node), strlen(node_error_text(node)));
		put(w, "}");
		break;
	case NODE_DIR:
		put(w, "{");
		for (const struct node *child = node->first; child; child = child->next) {
			put_quoted(w, child->name, strlen(child->name));
			put(w, ":");
			json(w, child);
			if (child->next)
				put(w, ",");
		}
		put(w, "}");
		break;
	}
}

static struct text finish(struct pb_writer *w)
{
	pb_raw(w, "", 1);
	if (w->failed) {
		pb_fini(w);
		return (struct text){ 0 };
	}
	return (struct text){ (char *)w->data, w->len - 1 };
}

struct text node_print_tree(const struct node *node)
{
	struct pb_writer w;

	pb_init(&w);
	tree(&w, node, 0);
	return finish(&w);
}

struct text node_print_json(const struct node *node)
{
	struct pb_writer w;

	pb_init(&w);
	json(&w, node);
	return finish(&w);
}
