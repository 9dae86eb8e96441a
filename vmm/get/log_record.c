#include "vmm/get/log_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US_PER_S 1000000u
#define TARGET_MAX 64u
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ---- reading a record */

static bool number(struct bytes *b, char end, u64 *ret)
{
	u64 value = 0;
	bool any = false;
	u8 c;

	while (bytes_u8(b, &c) && c != (u8)end) {
		if (c < '0' || c > '9' || value > UINT64_MAX / 10 - 1)
			return false;
		value = value * 10 + (c - '0');
		any = true;
	}
	*ret = value;
	return any;
}

static bool name_byte(u8 c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* "process/domain: " at the front of what a process of ours writes (lib/log/kmsg.c) */
static void take_target(struct log_record *r)
{
	const u8 *at = r->text.at;
	size_t n = 0, slashes = 0;

	while (n < r->text.left && n < TARGET_MAX && (name_byte(at[n]) || (at[n] == '/' && n && !slashes)))
		slashes += at[n++] == '/';
	if (slashes && n + 2 <= r->text.left && at[n - 1] != '/' && at[n] == ':' && at[n + 1] == ' ') {
		r->target = bytes_of(at, n);
		bytes_skip(&r->text, n + 2);
	}
}

bool log_record_parse(struct bytes raw, struct log_record *ret)
{
	struct log_record r = { 0 };
	const u8 *semicolon = memchr(raw.at, ';', raw.left);
	u64 priority;

	if (!semicolon || !number(&raw, ',', &priority) || !number(&raw, ',', &r.sequence) || !number(&raw, ',', &r.time_us))
		return false;
	/* flags and what later kernels add there say nothing to a host */
	if (raw.at > semicolon + 1 || priority > 0xffff)
		return false;
	bytes_skip(&raw, (size_t)(semicolon + 1 - raw.at));
	const u8 *newline = memchr(raw.at, '\n', raw.left);

	/* behind the first line: a dictionary of the device that the record is about */
	r.text = bytes_of(raw.at, newline ? (size_t)(newline - raw.at) : raw.left);
	r.priority = priority & 7;
	r.facility = (u8)MIN(priority >> 3, 255u);
	if (r.facility != LOG_RECORD_KERNEL)
		take_target(&r);
	*ret = r;
	return true;
}

enum log_level log_record_level(const struct log_record *r)
{
	static const u8 ours[] = { LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
	static const u8 kernels[] = { LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_NOTICE, LOG_WARN, LOG_INFO, LOG_DEBUG };

	return r->target.left ? ours[r->priority] : kernels[r->priority];
}

/* ---- writing JSON */

struct text {
	char *at;
	size_t len, room;
};

static void put(struct text *t, const char *piece, size_t len)
{
	if (len > t->room - t->len)
		return;
	memcpy(t->at + t->len, piece, len);
	t->len += len;
}

/* the next byte that was meant; the kernel wrote what is not printable, and the backslash, as \xNN */
static bool next_byte(struct bytes *b, u8 *ret)
{
	unsigned value = 0;

	if (!bytes_u8(b, ret))
		return false;
	if (*ret != '\\' || b->left < 3 || b->at[0] != 'x')
		return true;
	for (int i = 1; i < 3; i++) {
		u8 c = b->at[i], lower = c | 0x20;

		if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'f'))
			return true;
		value = value * 16 + (unsigned)(c <= '9' ? c - '0' : lower - 'a' + 10);
	}
	bytes_skip(b, 3);
	*ret = (u8)value;
	return true;
}

/*
 * The rest of a UTF-8 sequence (RFC 3629, section 4): its length with the first byte, whole in out; 0 where it is none, and
 * then only the first byte is used up.
 */
static size_t take_utf8(struct bytes *b, u8 first, u8 out[4])
{
	size_t len = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	struct bytes rest = *b;
	u32 value = first & (0x7fu >> len);

	out[0] = first;
	for (size_t i = 1; i < len; i++) {
		if (!next_byte(&rest, &out[i]) || (out[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (out[i] & 0x3f);
	}
	if (!len || (len == 3 && value < 0x800) || (value >= 0xd800 && value < 0xe000) || (len == 4 && value < 0x10000) ||
	    value > 0x10ffff)
		return 0;
	*b = rest;
	return len;
}

/* one character of a JSON string (RFC 8259, section 7) into out; its length */
static size_t character(struct bytes *b, char out[8])
{
	u8 c, sequence[4];
	size_t n;

	if (!next_byte(b, &c))
		return 0;
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c < 0x20 || c == 0x7f)
		return (size_t)snprintf(out, 8, "\\u%04x", c);
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	n = take_utf8(b, c, sequence);
	memcpy(out, n ? (const char *)sequence : REPLACEMENT, n ? n : sizeof(REPLACEMENT) - 1);
	return n ? n : sizeof(REPLACEMENT) - 1;
}

/* with room for reserve bytes left behind it */
static void put_string(struct text *t, struct bytes text, size_t reserve)
{
	static const char more[] = "...";
	char piece[8];

	put(t, "\"", 1);
	for (size_t n; (n = character(&text, piece));) {
		if (t->len + n + sizeof(more) + reserve > t->room) {
			put(t, more, sizeof(more) - 1);
			break;
		}
		put(t, piece, n);
	}
	put(t, "\"", 1);
}

/* ---- the message */

struct shape {
	u64 time_us, missed;
	const char *level;     /* as OpenVMM's host and tracing call it; NOTICE is ours and shown as it is */
	u8 wire_level;
	u16 flags;
	struct bytes target, text;
};

static void put_json(struct text *t, const struct shape *s)
{
	char piece[160], tail[48] = "}}";
	int n = snprintf(piece, sizeof(piece), "{\"timestamp\":\"%llu.%06llu000s\",\"level\":\"%s\",\"target\":",
			 (unsigned long long)(s->time_us / US_PER_S), (unsigned long long)(s->time_us % US_PER_S), s->level);

	if (s->missed)
		snprintf(tail, sizeof(tail), ",\"missed_entries\":%llu}}", (unsigned long long)s->missed);
	put(t, piece, (size_t)n);
	put_string(t, s->target, 0);
	put(t, ",\"fields\":{\"message\":", 21);
	put_string(t, s->text, strlen(tail) + 1);
	put(t, tail, strlen(tail));
}

static void make_message(const struct shape *s, struct log_message *ret)
{
	struct get_log_header h = { .type = GET_LOG_EVENT, .level = s->wire_level, .flags = s->flags,
				    .timestamp = s->time_us * 10 };
	u8 *buffer = ret->bytes + sizeof(h);
	size_t target_len = MIN(s->target.left, (size_t)GET_LOG_TARGET_MAX);
	struct text json = { (char *)buffer + target_len, 0, GET_LOG_MESSAGE_MAX };

	/* name, target, fields, message, each behind the other, empty ones too (get_helpers/src/lib.rs) */
	memcpy(buffer, s->target.at, target_len);
	put_json(&json, s);
	h.target = (struct get_log_part){ (u16)target_len, 0 };
	h.fields = (struct get_log_part){ 0, (u16)target_len };
	h.message = (struct get_log_part){ (u16)json.len, (u16)target_len };
	memcpy(ret->bytes, &h, sizeof(h));
	ret->len = sizeof(h) + target_len + json.len;
}

void log_record_message(const struct log_record *r, struct log_message *ret)
{
	static const char *const names[] = { "ERROR", "ERROR", "ERROR", "ERROR", "WARN", "NOTICE", "INFO", "DEBUG" };
	/* openhcl get_tracing.rs, tracing_log_level(), for what the firmware says; kmsg_stream.rs for what is not its own */
	static const u8 ours[] = { GET_LOG_CRITICAL, GET_LOG_CRITICAL, GET_LOG_CRITICAL, GET_LOG_ERROR, GET_LOG_WARNING,
				   GET_LOG_INFORMATION, GET_LOG_INFORMATION, GET_LOG_VERBOSE };
	bool own = r->target.left != 0, kernel = r->facility == LOG_RECORD_KERNEL;
	struct shape s = {
		.time_us = r->time_us, .level = names[r->priority & 7], .wire_level = ours[r->priority & 7],
		.flags = own ? 0 : GET_LOG_FLAG_KMSG, .text = r->text,
		.target = own ? r->target : kernel ? bytes_of("kernel", 6) : bytes_of("user", 4),
	};

	if (!own && r->priority == 6)
		s.wire_level = GET_LOG_VERBOSE;
	make_message(&s, ret);
}

void log_record_lost(u64 count, u64 time_us, struct log_message *ret)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%llu records were lost", (unsigned long long)count);
	struct shape s = { .time_us = time_us, .missed = count, .level = "WARN", .wire_level = GET_LOG_WARNING,
			   .target = bytes_of("control/host_log", 16), .text = bytes_of(text, (size_t)n) };

	make_message(&s, ret);
}
