#include "host/vmbus/guest_record.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/get.h"

#define TICKS_PER_S 10000000u

struct line {
	char *at;
	size_t len;
};

struct record {
	struct get_log_header header;
	struct bytes target, message;
	json_t *json;          /* NULL: the message is no JSON object */
};

/* ---- reading */

static bool take_part(struct bytes buffer, const struct get_log_part *part, struct bytes *ret)
{
	return bytes_skip(&buffer, part->offset) && bytes_take(&buffer, part->size, ret);
}

static bool read_record(struct bytes b, struct record *r)
{
	if (!bytes_copy(&b, &r->header, sizeof(r->header)) || !take_part(b, &r->header.target, &r->target) ||
	    !take_part(b, &r->header.message, &r->message))
		return false;
	r->json = json_loadb((const char *)r->message.at, r->message.left, 0, NULL);
	if (!json_is_object(r->json)) {
		json_decref(r->json);
		r->json = NULL;
	}
	return true;
}

static const char *level_name(const struct record *r)
{
	static const char *const names[] = { "ERROR", "WARN", "NOTICE", "INFO", "DEBUG", "TRACE" };
	static const char *const of_header[] = { "?", "CRIT", "ERROR", "WARN", "INFO", "DEBUG" };
	static const char *const of_kmsg[] = { "CRIT", "CRIT", "CRIT", "ERROR", "WARN", "NOTICE", "INFO", "DEBUG" };
	const char *said = json_string_value(json_object_get(r->json, "level"));

	for (size_t i = 0; said && i < ARRAY_SIZE(names); i++)
		if (!strcmp(said, names[i]))
			return names[i];
	/* OpenHCL gives the number of a record of the kernel's log (kmsg_stream.rs) */
	if (said && said[0] >= '0' && said[0] <= '7' && !said[1])
		return of_kmsg[said[0] - '0'];
	return of_header[r->header.level < ARRAY_SIZE(of_header) ? r->header.level : 0];
}

/* ---- writing */

static void put(struct line *l, const char *text)
{
	size_t len = strlen(text);

	/* one byte is kept for the newline */
	if (len < GUEST_RECORD_LINE_MAX - l->len) {
		memcpy(l->at + l->len, text, len);
		l->len += len;
	}
}

/* utf8: what is not ASCII is known to be valid */
static void put_clean(struct line *l, struct bytes text, bool utf8)
{
	while (text.left) {
		const u8 *at = text.at;
		char piece[8] = { (char)at[0] };
		/* C1 controls, U+0080 to U+009F */
		bool c1 = utf8 && at[0] == 0xc2 && text.left > 1 && at[1] < 0xa0;

		if (c1)
			snprintf(piece, sizeof(piece), "\\u%04x", at[1]);
		else if (at[0] < 0x20 || at[0] == 0x7f || (at[0] >= 0x80 && !utf8))
			snprintf(piece, sizeof(piece), "\\x%02x", at[0]);
		put(l, piece);
		bytes_skip(&text, c1 ? 2 : 1);
	}
}

static void put_value(struct line *l, json_t *value)
{
	char *dumped;

	if (json_is_string(value)) {
		put_clean(l, bytes_of(json_string_value(value), json_string_length(value)), true);
		return;
	}
	dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (dumped)
		put_clean(l, bytes_of(dumped, strlen(dumped)), true);
	free(dumped);
}

static void put_fields(struct line *l, const struct record *r)
{
	json_t *fields = json_object_get(r->json, "fields"), *message = json_object_get(fields, "message"), *value;
	const char *key;

	/* a span has a name instead of a message */
	if (!message)
		message = json_object_get(r->json, "name");
	if (message)
		put_value(l, message);
	json_object_foreach(fields, key, value) {
		if (!strcmp(key, "message"))
			continue;
		put(l, " ");
		put_clean(l, bytes_of(key, strlen(key)), true);
		put(l, "=");
		put_value(l, value);
	}
}

static size_t text_line(const struct record *r, const char *when, char *out)
{
	struct line l = { out, 0 };
	json_t *target = json_object_get(r->json, "target");
	char head[128];

	snprintf(head, sizeof(head), "%s [%5llu.%06llu] %-6s ", when, (unsigned long long)(r->header.timestamp / TICKS_PER_S),
		 (unsigned long long)(r->header.timestamp % TICKS_PER_S / 10), level_name(r));
	put(&l, head);
	if (target)
		put_value(&l, target);
	else
		put_clean(&l, r->target, false);
	put(&l, ": ");
	if (r->json)
		put_fields(&l, r);
	else
		put_clean(&l, r->message, false);
	out[l.len++] = '\n';
	return l.len;
}

static json_t *clean_string(struct bytes text)
{
	char buffer[GUEST_RECORD_LINE_MAX];
	struct line l = { buffer, 0 };

	put_clean(&l, text, false);
	return json_stringn(buffer, l.len);
}

/* dumps and lets go of it; 0: too long */
static size_t dump_line(json_t *object, const char *when, char *out)
{
	json_object_set_new(object, "host_time", json_string(when));
	size_t len = json_dumpb(object, out, GUEST_RECORD_LINE_MAX - 1, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(object);
	if (!len || len > GUEST_RECORD_LINE_MAX - 1)
		return 0;
	/* DEL is the one control character that JSON lets through */
	for (char *del = out; (del = memchr(del, 0x7f, len - (size_t)(del - out)));)
		*del = '?';
	out[len++] = '\n';
	return len;
}

static size_t json_line(const struct record *r, const char *when, char *out)
{
	json_t *object = r->json ? json_incref(r->json) : json_object(), *fields;

	if (!r->json) {
		fields = json_object();
		json_object_set_new(fields, "message", clean_string(r->message));
		json_object_set_new(object, "level", json_string(level_name(r)));
		json_object_set_new(object, "target", clean_string(r->target));
		json_object_set_new(object, "fields", fields);
	}
	return dump_line(object, when, out);
}

size_t guest_record_line(struct bytes message, bool json, const char *when, char out[GUEST_RECORD_LINE_MAX])
{
	struct record r;

	if (!read_record(message, &r))
		return 0;
	size_t len = json ? json_line(&r, when, out) : text_line(&r, when, out);

	json_decref(r.json);
	return len;
}

size_t guest_record_note(const char *text, bool json, const char *when, char out[GUEST_RECORD_LINE_MAX])
{
	static const char object[] = "{\"level\":\"WARN\",\"target\":\"pvhost\",\"fields\":{\"message\":\"%2$s\"},"
				     "\"host_time\":\"%1$s\"}\n";
	static const char plain[] = "%s [       host ] WARN   pvhost: %s\n";

	return (size_t)snprintf(out, GUEST_RECORD_LINE_MAX, json ? object : plain, when, text);
}
