#include "diag/crash/core.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log/log.h"
#include "spec/crash.h"

LOG_DOMAIN("core");

#define HEADERS_MAX (1024 * 1024u) /* 18,000 mappings */
#define NOTES_MAX (64 * 1024 * 1024u)

struct core {
	struct core_input input;
	enum { BEGIN, HEADERS, NOTES, LOG, REST } stage;
	u8 *held;            /* made here: headers, then the log's note */
	size_t held_at, held_len;
	u64 notes_left;      /* bytes from behind the headers to the notes' end */
	bool rewritten, ended;
};

struct core *core_create(const struct core_input *input)
{
	struct core *c = calloc(1, sizeof(*c));

	if (c)
		c->input = *input;
	return c;
}

void core_destroy(struct core *c)
{
	if (c)
		free(c->held);
	free(c);
}

/* len more bytes behind what is held; less at the input's end */
static int hold(struct core *c, size_t len)
{
	u8 *held = realloc(c->held, c->held_len + len);

	if (!held)
		return log_err(-ENOMEM, "headers of a core");
	c->held = held;
	while (len && !c->ended) {
		int n = c->input.read(c->input.ctx, c->held + c->held_len, len);

		if (n < 0)
			return n;
		c->ended = !n;
		c->held_len += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static const char *strange_header(const Elf64_Ehdr *e)
{
	if (memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB)
		return "no 64-bit ELF file";
	if (e->e_type != ET_CORE)
		return "no core";
	if (e->e_phoff != sizeof(*e) || e->e_phentsize != sizeof(Elf64_Phdr) || !e->e_phnum || e->e_phnum == PN_XNUM)
		return "program headers where none are known to be";
	if (e->e_shoff)
		return "section headers";
	return e->e_phnum * sizeof(Elf64_Phdr) > HEADERS_MAX ? "too many program headers" : NULL;
}

/* notes first, as the kernel writes them; everything behind them moves by the new note's length */
static const char *move_segments(struct core *c, Elf64_Phdr *p, unsigned count)
{
	u64 end;

	if (p[0].p_type != PT_NOTE || p[0].p_offset < c->held_len || p[0].p_filesz % 4 || p[0].p_filesz > NOTES_MAX ||
	    p[0].p_offset - c->held_len > NOTES_MAX)
		return "notes where none are known to be";
	end = p[0].p_offset + p[0].p_filesz;
	for (unsigned i = 1; i < count; i++)
		if (p[i].p_offset < end || p[i].p_offset > ~0ull - CRASH_KMSG_NOTE_LEN)
			return "segments in front of the notes' end";
	for (unsigned i = 1; i < count; i++)
		p[i].p_offset += CRASH_KMSG_NOTE_LEN;
	p[0].p_filesz += CRASH_KMSG_NOTE_LEN;
	c->notes_left = end - c->held_len;
	return NULL;
}

static int read_headers(struct core *c)
{
	const char *strange = NULL;
	Elf64_Ehdr e;
	int r = hold(c, sizeof(e));

	if (!r && c->held_len == sizeof(e)) {
		memcpy(&e, c->held, sizeof(e));
		strange = strange_header(&e);
		if (!strange)
			r = hold(c, e.e_phnum * sizeof(Elf64_Phdr));
		if (!r && !strange && !c->ended)
			strange = move_segments(c, (Elf64_Phdr *)(c->held + sizeof(e)), e.e_phnum);
	}
	if (r)
		return r;
	c->rewritten = !strange && !c->ended;
	if (!c->rewritten)
		log_at(LOG_WARN, "the core has %s; it goes without the kernel log", strange ? strange : "an early end");
	return 0;
}

static int make_note(struct core *c)
{
	struct crash_kmsg_note note = { sizeof(CRASH_KMSG_NOTE_NAME), CRASH_KMSG_NOTE_LEN - sizeof(note), CRASH_KMSG_NOTE_TYPE,
					CRASH_KMSG_NOTE_NAME };
	u8 *held = realloc(c->held, CRASH_KMSG_NOTE_LEN);

	if (!held)
		return log_err(-ENOMEM, "the kernel log's note");
	memset(held, 0, CRASH_KMSG_NOTE_LEN);
	memcpy(held, &note, sizeof(note));
	u32 len = (u32)c->input.log(c->input.ctx, (char *)held + sizeof(note),
				    CRASH_KMSG_NOTE_LEN - sizeof(note) - sizeof(len));

	memcpy(held + CRASH_KMSG_NOTE_LEN - sizeof(len), &len, sizeof(len));
	c->held = held;
	c->held_at = 0;
	c->held_len = CRASH_KMSG_NOTE_LEN;
	return 0;
}

static int from_held(struct core *c, void *buf, size_t room)
{
	size_t n = MIN(room, c->held_len - c->held_at);

	memcpy(buf, c->held + c->held_at, n);
	c->held_at += n;
	return (int)n;
}

static int from_input(struct core *c, void *buf, size_t room)
{
	int n = c->ended ? 0 : c->input.read(c->input.ctx, buf, room);

	c->ended |= n == 0;
	return n;
}

/* 0: the stage is over */
static int read_stage(struct core *c, void *buf, size_t room)
{
	int n;

	switch (c->stage) {
	case BEGIN: return read_headers(c);
	case HEADERS:
	case LOG: return from_held(c, buf, room);
	case NOTES:
		if (!c->rewritten)
			return 0;
		if (!c->notes_left)
			return make_note(c);
		n = from_input(c, buf, (size_t)MIN((u64)room, c->notes_left));
		c->notes_left -= n > 0 ? (u64)n : 0;
		return n;
	case REST: break;
	}
	return from_input(c, buf, room);
}

int core_read(struct core *c, void *buf, size_t room)
{
	for (;;) {
		int n = read_stage(c, buf, MIN(room, (size_t)1 << 30));

		if (n || c->stage == REST)
			return n;
		c->stage++;
	}
}
