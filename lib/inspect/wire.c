/*
 * Node bytes as openvmm's mesh_derive makes them (support/inspect/src/{initiate,lib}.rs, support/mesh/mesh_derive): an
 * enum is a message with one field, the variant; a variant with one value is a message {1: value}, a unit variant an
 * empty message; the flags are a message {1: u64}, left out when zero.
 */
#include <errno.h>
#include <string.h>

#include "lib/inspect/node.h"

static void encode_value(const struct node *node, struct pb_writer *w)
{
	size_t kind = pb_open(w, 1), variant = pb_open(w, (u32)node->value);

	switch (node->value) {
	case NODE_SIGNED:
		pb_s64(w, 1, (s64)node->number);
		break;
	case NODE_UNSIGNED:
	case NODE_BOOL:
		pb_u64(w, 1, node->number);
		break;
	case NODE_FLOAT:
		pb_tag(w, 1, PB_FIXED32);
		pb_raw(w, &node->number, 4);
		break;
	case NODE_DOUBLE:
		pb_tag(w, 1, PB_FIXED64);
		pb_raw(w, &node->number, 8);
		break;
	case NODE_STRING:
	case NODE_BYTES:
		pb_bytes(w, 1, node->data, node->data_len);
		break;
	}
	pb_close(w, variant);
	pb_close(w, kind);
	if (node->flags) {
		size_t flags = pb_open(w, 2);

		pb_u64(w, 1, node->flags);
		pb_close(w, flags);
	}
}

static void encode_error(const struct node *node, struct pb_writer *w)
{
	size_t error = pb_open(w, 1), variant = pb_open(w, (u32)node->error);

	if (node->error == NODE_CHANNEL || node->error == NODE_UPDATE)
		pb_bytes(w, 1, node->data, node->data_len);
	pb_close(w, variant);
	pb_close(w, error);
}

static void encode_entry(const struct node *child, struct pb_writer *w)
{
	size_t entry = pb_open(w, 1);

	pb_string(w, 1, child->name);
	size_t node = pb_open(w, 2);

	node_encode(child, w);
	pb_close(w, node);
	size_t sensitivity = pb_open(w, 3);

	pb_bytes(w, (u32)child->sensitivity, NULL, 0);
	pb_close(w, sensitivity);
	pb_close(w, entry);
}

void node_encode(const struct node *node, struct pb_writer *w)
{
	size_t variant = pb_open(w, (u32)node->kind);

	if (node->kind == NODE_FAILED) {
		encode_error(node, w);
	} else if (node->kind == NODE_VALUE) {
		size_t value = pb_open(w, 1);

		encode_value(node, w);
		pb_close(w, value);
	} else if (node->kind == NODE_DIR) {
		for (const struct node *child = node->first; child; child = child->next)
			encode_entry(child, w);
	}
	pb_close(w, variant);
}

int node_encode_value(const struct node *node, struct pb_writer *w)
{
	if (node->kind != NODE_VALUE)
		return -EINVAL;
	encode_value(node, w);
	return 0;
}

/* ---- decoding */

/* the last field `number` of a message as a sub-message; absent: empty */
static int sub_message(struct bytes b, u32 number, struct bytes *ret)
{
	struct pb_field f;
	bool bad;

	*ret = bytes_of(NULL, 0);
	while (pb_next(&b, &f, &bad))
		if (f.number == number && f.wire == PB_BYTES)
			*ret = f.body;
	return bad ? -EPROTO : 0;
}

/* the variant of an enum: its number and its message */
static int variant_of(struct bytes b, u32 max, u32 *ret_number, struct bytes *ret_body)
{
	struct pb_field f;
	bool bad, found = false;

	while (pb_next(&b, &f, &bad)) {
		if (f.number > max || f.wire != PB_BYTES)
			continue;
		found = true;
		*ret_number = f.number;
		*ret_body = f.body;
	}
	return bad || !found ? -EPROTO : 0;
}

static int decode_scalar(struct bytes b, struct node *node)
{
	struct pb_field f = { 0 };
	bool bad, text = node->value == NODE_STRING || node->value == NODE_BYTES;
	int r = text ? node_set_data(node, NULL, 0) : 0; /* a default value may be left out */

	while (!r && pb_next(&b, &f, &bad)) {
		if (f.number != 1 || (f.wire == PB_BYTES) != text)
			continue;
		if (text)
			r = node_set_data(node, f.body.at, f.body.left);
		else
			node->number = node->value == NODE_SIGNED ? (u64)pb_zigzag(f.value) : f.value;
	}
	return r ? r : bad ? -EPROTO : 0;
}

static int decode_value(struct bytes b, struct node *node)
{
	struct bytes kind, flags, scalar;
	struct pb_field f;
	bool bad;
	u32 variant;
	int r = sub_message(b, 1, &kind);

	if (!r)
		r = variant_of(kind, NODE_BYTES, &variant, &scalar);
	if (r)
		return r;
	node->kind = NODE_VALUE;
	node->value = (enum node_value)variant;
	r = decode_scalar(scalar, node);
	if (!r)
		r = sub_message(b, 2, &flags);
	while (!r && pb_next(&flags, &f, &bad))
		if (f.number == 1 && f.wire == PB_VARINT)
			node->flags = (u32)f.value;
	return r;
}

static int decode_error(struct bytes b, struct node *node)
{
	struct bytes error, body, text;
	u32 variant;
	int r = sub_message(b, 1, &error);

	if (!r)
		r = variant_of(error, NODE_INTERNAL, &variant, &body);
	if (!r)
		r = sub_message(body, 1, &text);
	if (r)
		return r;
	node->error = (enum node_error)variant;
	if (node->error != NODE_CHANNEL && node->error != NODE_UPDATE)
		return 0; /* the others carry no text */
	return text.left ? node_set_data(node, text.at, text.left) : 0;
}

static int decode_node(struct bytes b, struct node *node, unsigned depth);

static int decode_entry(struct bytes b, struct node *dir, unsigned depth)
{
	struct bytes name = { 0 }, body, level;
	struct pb_field f;
	char text[256];
	bool bad;
	u32 sensitivity = NODE_UNSPECIFIED;
	int r = sub_message(b, 2, &body);

	if (!r)
		r = sub_message(b, 3, &level);
	while (!r && pb_next(&b, &f, &bad))
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.body;
	if (r || name.left >= sizeof(text))
		return r ? r : -EPROTO;
	if (name.left)
		memcpy(text, name.at, name.left);
	text[name.left] = 0;
	if (level.left)
		r = variant_of(level, NODE_SENSITIVE, &sensitivity, &level);
	if (r)
		return r;
	struct node *child = node_create(text, NODE_UNEVALUATED);

	if (!child)
		return -ENOMEM;
	child->sensitivity = (enum node_sensitivity)sensitivity;
	node_add(dir, child);
	return decode_node(body, child, depth + 1);
}

static int decode_node(struct bytes b, struct node *node, unsigned depth)
{
	struct bytes body, value;
	struct pb_field f;
	bool bad;
	u32 variant;
	int r = depth > NODE_DEPTH_MAX ? -E2BIG : variant_of(b, NODE_DIR, &variant, &body);

	if (r)
		return r;
	node->kind = (enum node_kind)variant;
	if (node->kind == NODE_FAILED)
		return decode_error(body, node);
	if (node->kind == NODE_VALUE) {
		r = sub_message(body, 1, &value);
		return r ? r : decode_value(value, node);
	}
	if (node->kind == NODE_DIR) {
		while (!r && pb_next(&body, &f, &bad))
			if (f.number == 1 && f.wire == PB_BYTES)
				r = decode_entry(f.body, node, depth);
		if (!r && bad)
			r = -EPROTO;
	}
	return r;
}

static int decode_into(struct bytes b, const char *name, bool value, struct node **ret)
{
	struct node *node = node_create(name, NODE_UNEVALUATED);
	int r = !node ? -ENOMEM : value ? decode_value(b, node) : decode_node(b, node, 0);

	if (r)
		node_destroy(node);
	else
		*ret = node;
	return r;
}

int node_decode(struct bytes b, const char *name, struct node **ret)
{
	return decode_into(b, name, false, ret);
}

int node_decode_value(struct bytes b, struct node **ret)
{
	return decode_into(b, "", true, ret);
}
