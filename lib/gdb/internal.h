/* Between the files of lib/gdb */
#pragma once

#include "lib/gdb/gdb.h"

/* error numbers are gdb's to show only; these are what Linux calls them */
#define E_NOTHING 0x02 /* ENOENT */
#define E_FAULT 0x0e   /* EFAULT */
#define E_BUSY 0x10
#define E_INVALID 0x16

/* what is read or written by one packet, in bytes of memory; a packet has two digits for each and a few words */
#define GDB_MEMORY_MAX (GDB_PACKET_MAX / 2 - 16)

/* gdb.c: each ends a packet of its own, but the first, which ends the one that was begun */
void gdb_end_packet(struct gdb *g);
void gdb_answer(struct gdb *g, const char *text);
void gdb_fail(struct gdb *g, unsigned number);
/* what an operation of the target's says; -EAGAIN is not answered yet */
void gdb_answer_result(struct gdb *g, int r);

/* access.c: "ADDRESS,LENGTH" */
bool gdb_take_range(struct gdb_words *words, u64 *address, u64 *len);
/* the selected thread's; NULL: answered, or to be asked for again */
struct gdb_registers *gdb_registers_of(struct gdb *g, unsigned classes);
void gdb_on_read_all(struct gdb *g, struct gdb_words *w);
void gdb_on_write_all(struct gdb *g, struct gdb_words *w);
void gdb_on_read_one(struct gdb *g, struct gdb_words *w);
void gdb_on_write_one(struct gdb *g, struct gdb_words *w);
void gdb_on_read_memory(struct gdb *g, struct gdb_words *w);
void gdb_on_read_binary(struct gdb *g, struct gdb_words *w);
void gdb_on_write_memory(struct gdb *g, struct gdb_words *w);
void gdb_on_write_binary(struct gdb *g, struct gdb_words *w);
void gdb_on_insert_break(struct gdb *g, struct gdb_words *w);
void gdb_on_remove_break(struct gdb *g, struct gdb_words *w);
