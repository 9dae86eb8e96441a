/*
 * Packets of the GDB remote serial protocol (GDB manual, appendix E "Remote Serial Protocol"): out of a stream of bytes that
 * nobody is to be trusted for, and into one. Pure: no I/O, no clock; whoever owns a struct is the only one to use it.
 */
#pragma once

#include <stdarg.h>

#include "lib/core/types.h"

#define GDB_PACKET_MAX 0x4000u    /* bytes of a packet's content, as it is told to gdb */
#define GDB_OUTPUT_MAX (1u << 20) /* bytes that wait to be sent; more is a failure */

/* ---- in */
enum gdb_event {
	GDB_NOTHING,    /* more bytes are wanted */
	GDB_PACKET,     /* data[0..len), unescaped, and a NUL behind it */
	GDB_BAD_PACKET, /* its checksum is wrong */
	GDB_LONG_PACKET,/* its checksum is right, its content does not fit */
	GDB_ACK, GDB_NAK,
	GDB_INTERRUPT,  /* the byte 03h between packets: Ctrl-C */
};

struct gdb_reader {
	enum { GDB_BETWEEN, GDB_CONTENT, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
	u8 sum, told;           /* as counted, as sent */
	bool too_long, bad_sum;
	size_t len;
	u8 data[GDB_PACKET_MAX + 1];
};

/* zeroed memory is a reader that has read nothing. data is valid until the next call. Stray bytes are ignored. */
enum gdb_event gdb_read(struct gdb_reader *reader, u8 byte);

/* ---- the words of a packet: a cursor that cannot run past the end */
struct gdb_words {
	const char *at, *end;
};
static inline struct gdb_words gdb_words_of(const struct gdb_reader *r)
{
	return (struct gdb_words){ (const char *)r->data, (const char *)r->data + r->len };
}
static inline size_t gdb_left(const struct gdb_words *w)
{
	return (size_t)(w->end - w->at);
}
/* takes the text if it comes next */
bool gdb_take(struct gdb_words *words, const char *text);
/* takes 1 to 16 hex digits, as many as come. false: none, or more; nothing is taken */
bool gdb_take_hex(struct gdb_words *words, u64 *ret);
/* takes exactly 2 * len hex digits as bytes; false: nothing is taken */
bool gdb_take_bytes(struct gdb_words *words, u8 *ret, size_t len);
/* takes a thread id: hex digits, 0 for any, "-1" for all (*ret is then -1) */
bool gdb_take_thread(struct gdb_words *words, s64 *ret);

/* ---- a text that grows; for people */
struct gdb_text {
	char *data;             /* NUL-terminated, or NULL */
	size_t len, room;
	bool failed;
};
void gdb_text_fini(struct gdb_text *text);
void gdb_say(struct gdb_text *text, const char *format, ...) __printf(2, 3);

/* ---- out */
struct gdb_writer {
	u8 *data;
	size_t len, room;
	size_t packet;          /* where the packet being written begins */
	bool failed;            /* no memory, or GDB_OUTPUT_MAX: what was written is of no use */
};

void gdb_writer_fini(struct gdb_writer *writer);
/* single bytes outside of packets: '+' and '-' */
void gdb_put_raw(struct gdb_writer *writer, char c);
/* a packet: begin, any number of the others, end */
void gdb_begin(struct gdb_writer *writer);
void gdb_put(struct gdb_writer *writer, const char *text);
void gdb_printf(struct gdb_writer *writer, const char *format, ...) __printf(2, 3);
void gdb_put_hex(struct gdb_writer *writer, const void *data, size_t len);
/* escaped where the protocol needs it */
void gdb_put_binary(struct gdb_writer *writer, const void *data, size_t len);
void gdb_end(struct gdb_writer *writer);
