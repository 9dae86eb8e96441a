/* Bytes into the structs of settings.h, in either encoding. A path to the field in question is kept for errors. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rpc/pb.h"
#include "vmm/settings/schema.h"

#define ITEMS_MAX 1024u /* of one list: more than any machine has, less than what hurts */

struct place {
	const struct place *up;
	const char *name;
	int index; /* -1: no list */
};

struct reader {
	struct settings_error *error;
	const char *format_error; /* id's name for a malformed document */
};

static void print_place(const struct place *p, char *out, size_t room)
{
	size_t len;

	if (!p)
		return;
	print_place(p->up, out, room);
	len = strlen(out);
	snprintf(out + len, room - len, p->index < 0 ? "%s%s" : "%s%s[%d]", len ? "." : "", p->name, p->index);
}

static int refuse(const struct reader *r, const struct place *p, const char *why)
{
	char where[160] = "";

	print_place(p, where, sizeof(where));
	return settings_refuse(r->error, r->format_error, "%s%s%s", where, *where ? ": " : "", why);
}

static int no_memory(const struct reader *r)
{
	settings_refuse(r->error, "InternalFailure", "out of memory for the settings");
	return -ENOMEM;
}

static int set_text(const struct reader *r, const struct place *p, char **at, const char *text, size_t len)
{
	if (memchr(text, 0, len))
		return refuse(r, p, "text with a zero byte in it");
	char *copy = strndup(text, len);

	if (!copy)
		return no_memory(r);
	free(*at);
	*at = copy;
	return 0;
}

/* a new zeroed item at a list's end; NULL: too many or no memory, refused */
static void *append(const struct reader *r, const struct place *p, struct settings_list *list, size_t size, int *ret_error)
{
	void **items;
	void *item = NULL;

	if (list->count == ITEMS_MAX) {
		*ret_error = refuse(r, p, "too many items");
		return NULL;
	}
	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (items) {
		list->items = items;
		item = calloc(1, size);
	}
	if (!item) {
		*ret_error = no_memory(r);
		return NULL;
	}
	items[list->count++] = item;
	return item;
}

/* where a nested message goes: the one there is (protobuf merges), or a new one */
static void *nested(const struct reader *r, const struct place *p, const struct field *f, void *at, int *ret_error)
{
	if (f->kind == FIELD_LIST)
		return append(r, p, at, f->message->size, ret_error);
	void **one = at;

	if (!*one)
		*one = calloc(1, f->message->size);
	if (!*one)
		*ret_error = no_memory(r);
	return *one;
}

static int set_number(const struct reader *r, const struct place *p, const struct field *f, void *at, u64 value)
{
	if (f->kind != FIELD_U64 && value > ~0u)
		return refuse(r, p, "a number of more than 32 bits");
	*(struct settings_number *)at = (struct settings_number){ value, true };
	return 0;
}

bool base64_decode(const char *text, size_t len, struct settings_blob *ret)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t pad = len && text[len - 1] == '=' ? (len > 1 && text[len - 2] == '=' ? 2 : 1) : 0;
	u8 *out = len % 4 ? NULL : malloc(len / 4 * 3 + 1);
	u32 bits = 0;

	if (!out)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *at = i < len - pad && text[i] ? strchr(alphabet, text[i]) : NULL;

		if (!at && i < len - pad) {
			free(out);
			return false;
		}
		bits = bits << 6 | (at ? (u32)(at - alphabet) : 0);
		if (i % 4 == 3) {
			out[i / 4 * 3] = (u8)(bits >> 16);
			out[i / 4 * 3 + 1] = (u8)(bits >> 8);
			out[i / 4 * 3 + 2] = (u8)bits;
		}
	}
	*ret = (struct settings_blob){ out, len / 4 * 3 - pad };
	return true;
}

/* ---- protobuf */
static int pb_message(const struct reader *r, const struct place *up, const struct message *m, struct bytes b, void *into);

static int pb_value(const struct reader *r, const struct place *p, const struct field *f, const struct pb_field *v, void *at)
{
	bool number = f->kind == FIELD_U32 || f->kind == FIELD_U64 || f->kind == FIELD_BOOL || f->kind == FIELD_ENUM;
	int error = 0;

	if (f->kind == FIELD_IGNORED)
		return 0;
	if (v->wire != (number ? PB_VARINT : PB_BYTES))
		return refuse(r, p, "wrong wire type");
	if (number)
		return set_number(r, p, f, at, v->value);
	if (f->kind == FIELD_TEXT)
		return set_text(r, p, at, (const char *)v->body.at, v->body.left);
	if (f->kind == FIELD_BYTES) {
		struct settings_blob *blob = at;
		u8 *copy = malloc(v->body.left + 1);

		if (!copy)
			return no_memory(r);
		memcpy(copy, v->body.at, v->body.left);
		free(blob->data);
		*blob = (struct settings_blob){ copy, v->body.left };
		return 0;
	}
	void *object = nested(r, p, f, at, &error);

	return object ? pb_message(r, p, f->message, v->body, object) : error;
}

static int pb_message(const struct reader *r, const struct place *up, const struct message *m, struct bytes b, void *into)
{
	struct pb_field v;
	bool bad = false;
	int error = 0;

	while (!error && pb_next(&b, &v, &bad))
		for (unsigned i = 0; i < m->count; i++) {
			const struct field *f = &m->fields[i];

			if (f->number != v.number)
				continue;
			void *at = (char *)into + f->offset;
			struct place p = { up, f->name, f->kind == FIELD_LIST ? (int)((struct settings_list *)at)->count : -1 };

			error = pb_value(r, &p, f, &v, at);
			break;
		}
	return error ? error : bad ? refuse(r, up, "malformed or cut off") : 0;
}

int schema_read_protobuf(const struct message *m, const void *data, size_t len, void *into, struct settings_error *error)
{
	struct reader r = { error, "ProtobufFormatError" };

	return pb_message(&r, NULL, m, bytes_of(data, len), into);
}

/* ---- JSON, as protobuf's canonical mapping has it */
static int json_message(const struct reader *r, const struct place *up, const struct message *m, json_t *json, void *into);

/* "storage_controllers" is also written "storageControllers" */
static bool same_name(const char *field, const char *key)
{
	if (!strcmp(field, key))
		return true;
	for (; *field; field++, key++) {
		char want = *field;

		if (want == '_' && field[1])
			want = (char)(*++field - 'a' + 'A');
		if (want != *key)
			return false;
	}
	return !*key;
}

static int json_enum(const struct reader *r, const struct place *p, const struct field *f, json_t *json, void *at)
{
	const char *text = json_string_value(json);

	for (const struct enum_name *n = f->names; text && n->name; n++)
		if (!strcmp(n->name, text))
			return set_number(r, p, f, at, n->value);
	if (json_is_integer(json) && json_integer_value(json) >= 0)
		return set_number(r, p, f, at, (u64)json_integer_value(json));
	return refuse(r, p, "a name that is none of this field's");
}

static int json_number(const struct reader *r, const struct place *p, const struct field *f, json_t *json, void *at)
{
	const char *text = json_string_value(json);
	char *end;

	if (json_is_integer(json) && json_integer_value(json) >= 0)
		return set_number(r, p, f, at, (u64)json_integer_value(json));
	if (text && *text >= '0' && *text <= '9') { /* 64-bit numbers are text in this mapping */
		errno = 0;
		u64 value = strtoull(text, &end, 10);

		if (!*end && !errno)
			return set_number(r, p, f, at, value);
	}
	return refuse(r, p, "not a number that is 0 or more");
}

static int json_bytes(const struct reader *r, const struct place *p, json_t *json, struct settings_blob *at)
{
	struct settings_blob blob;

	if (!json_is_string(json) || !base64_decode(json_string_value(json), json_string_length(json), &blob))
		return refuse(r, p, "not base64");
	free(at->data);
	*at = blob;
	return 0;
}

static int json_list(const struct reader *r, struct place *p, const struct field *f, json_t *json, void *at)
{
	struct settings_list *list = at;
	int error = 0;

	if (!json_is_array(json))
		return refuse(r, p, "not a list");
	for (size_t i = 0; !error && i < json_array_size(json); i++) {
		p->index = (int)i;
		void *item = append(r, p, list, f->message->size, &error);

		if (item)
			error = json_message(r, p, f->message, json_array_get(json, i), item);
	}
	return error;
}

static int json_value(const struct reader *r, struct place *p, const struct field *f, json_t *json, void *at)
{
	int error = 0;
	void *object;

	if (json_is_null(json))
		return 0;
	switch (f->kind) {
	case FIELD_IGNORED: return 0;
	case FIELD_ENUM: return json_enum(r, p, f, json, at);
	case FIELD_U32:
	case FIELD_U64: return json_number(r, p, f, json, at);
	case FIELD_BOOL:
		return json_is_boolean(json) ? set_number(r, p, f, at, json_is_true(json)) : refuse(r, p, "not true or false");
	case FIELD_TEXT:
		return json_is_string(json) ? set_text(r, p, at, json_string_value(json), json_string_length(json)) :
					      refuse(r, p, "not a text");
	case FIELD_BYTES: return json_bytes(r, p, json, at);
	case FIELD_LIST: return json_list(r, p, f, json, at);
	case FIELD_MESSAGE:
		object = nested(r, p, f, at, &error);
		return object ? json_message(r, p, f->message, json, object) : error;
	}
	return 0;
}

static int json_message(const struct reader *r, const struct place *up, const struct message *m, json_t *json, void *into)
{
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return refuse(r, up, "not an object");
	json_object_foreach(json, key, value) {
		struct place p = { up, key, -1 };
		unsigned i = 0;

		while (i < m->count && !same_name(m->fields[i].name, key))
			i++;
		int error = i == m->count ? refuse(r, &p, "no such field") :
			    json_value(r, &p, &m->fields[i], value, (char *)into + m->fields[i].offset);

		if (error)
			return error;
	}
	return 0;
}

int schema_read_json(const struct message *m, const void *data, size_t len, void *into, struct settings_error *error)
{
	struct reader r = { error, "JsonFormatError" };
	json_error_t at;
	json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, &at);

	if (!json)
		return settings_refuse(error, "JsonFormatError", "line %d, column %d: %s", at.line, at.column, at.text);
	int result = json_message(&r, NULL, m, json, into);

	json_decref(json);
	return result;
}
