#include "diag/crash/scrub.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>
#undef PAGE_SIZE /* sys/user.h of glibc has its own */
#undef PAGE_SHIFT

#include "lib/core/bytes.h"
#include "lib/log/log.h"

LOG_DOMAIN("scrub");

#define BLOCK 4096u
#define HEAD_MAX (2 * 1024 * 1024u) /* headers and notes */
#define THREADS_MAX 64u
#define SMALL 4096u

enum policy { KEEP, STACK, ZERO };

struct scrub {
	int (*read)(void *ctx, void *buf, size_t room);
	void *ctx;
	int error;                /* sticky */
	bool begun, ended;
	u8 *held;                 /* headers and notes, whole */
	size_t held_len;
	/* what is given out: that, then a block at a time */
	const u8 *out;
	size_t out_len, out_at;
	u64 offset;               /* in the file, of what is read next */
	Elf64_Phdr *segments;     /* in a copy of its own: held goes */
	unsigned count;
	u64 stacks[THREADS_MAX];
	unsigned stack_count;
	u8 block[BLOCK];
};

struct scrub *scrub_create(int (*read)(void *ctx, void *buf, size_t room), void *ctx)
{
	struct scrub *s = calloc(1, sizeof(*s));

	if (s) {
		s->read = read;
		s->ctx = ctx;
	}
	return s;
}

void scrub_destroy(struct scrub *s)
{
	if (!s)
		return;
	if (s->held)
		explicit_bzero(s->held, s->held_len);
	free(s->held);
	free(s->segments);
	explicit_bzero(s, sizeof(*s));
	free(s);
}

/* as much as there is, up to len */
static int fill(struct scrub *s, u8 *to, size_t len, size_t *ret)
{
	size_t have = 0;

	while (have < len) {
		int n = s->read(s->ctx, to + have, len - have);

		if (n < 0)
			return n;
		if (!n)
			break;
		have += (size_t)n;
	}
	s->offset += have;
	*ret = have;
	return 0;
}

/* up to that place in the file */
static int hold(struct scrub *s, u64 end)
{
	size_t got;

	if (end < s->held_len || end > HEAD_MAX)
		return -EPROTO;
	u8 *held = realloc(s->held, end + 1);

	if (!held)
		return -ENOMEM;
	s->held = held;
	int r = fill(s, held + s->held_len, end - s->held_len, &got);

	if (r || got < end - s->held_len)
		return r ? r : -EPROTO;
	s->held_len = end;
	return 0;
}

/* ---- where addresses point to */
static bool within(const Elf64_Phdr *p, u64 address)
{
	return address >= p->p_vaddr && address - p->p_vaddr < p->p_memsz;
}

static bool points_into_program(const struct scrub *s, u64 value)
{
	for (unsigned i = 1; i < s->count; i++)
		if (s->segments[i].p_flags & PF_X && within(&s->segments[i], value))
			return true;
	return false;
}

/* ---- notes */
/* an address of program or stack, or a small number: libcrypto's functions find their callers by how many words they work on */
static u64 register_left(const struct scrub *s, u64 value, u64 stack)
{
	bool stays = value < SMALL || points_into_program(s, value);

	for (unsigned i = 1; i < s->count && !stays; i++)
		stays = within(&s->segments[i], stack) && within(&s->segments[i], value);
	return stays ? value : 0;
}

static int thread(struct scrub *s, u8 *desc, size_t len)
{
	struct elf_prstatus status;
	struct user_regs_struct all;
	u64 left[sizeof(all) / 8];

	_Static_assert(sizeof(all) == sizeof(status.pr_reg), "asm/elf.h elf_gregset_t");
	if (len != sizeof(status) || s->stack_count == THREADS_MAX)
		return -EPROTO;
	memcpy(&status, desc, sizeof(status));
	memcpy(&all, &status.pr_reg, sizeof(all));
	memcpy(left, &all, sizeof(left));
	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		left[i] = register_left(s, left[i], all.rsp);
	memcpy(&status.pr_reg, left, sizeof(left));
	memcpy(desc, &status, sizeof(status));
	s->stacks[s->stack_count++] = all.rsp;
	explicit_bzero(&all, sizeof(all));
	return 0;
}

static int note(struct scrub *s, u32 type, u8 *desc, size_t len)
{
	switch (type) {
	case NT_PRSTATUS: return thread(s, desc, len);
	case NT_PRPSINFO:
	case NT_AUXV:
	case NT_FILE:
	case NT_SIGINFO: return 0;
	}
	memset(desc, 0, len); /* registers of every other kind */
	return 0;
}

static int notes(struct scrub *s, u64 at, u64 end)
{
	Elf64_Nhdr n;
	int r = 0;

	while (!r && end - at >= sizeof(n)) {
		memcpy(&n, s->held + at, sizeof(n));
		u64 desc = at + sizeof(n) + ALIGN_UP((u64)n.n_namesz, 4), next = desc + ALIGN_UP((u64)n.n_descsz, 4);

		if (next > end)
			return -EPROTO;
		r = note(s, n.n_type, s->held + desc, n.n_descsz);
		at = next;
	}
	return r ? r : at == end ? 0 : -EPROTO;
}

/* ---- headers */
static int headers(struct scrub *s)
{
	Elf64_Ehdr e;
	int r = hold(s, sizeof(e));

	if (r)
		return r;
	memcpy(&e, s->held, sizeof(e));
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) || e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_type != ET_CORE ||
	    e.e_phoff != sizeof(e) || e.e_phentsize != sizeof(Elf64_Phdr) || !e.e_phnum || e.e_phnum == PN_XNUM || e.e_shoff)
		return -EPROTO;
	size_t len = e.e_phnum * sizeof(Elf64_Phdr);

	r = hold(s, sizeof(e) + len);
	if (r)
		return r;
	s->segments = malloc(len);
	if (!s->segments)
		return -ENOMEM;
	memcpy(s->segments, s->held + sizeof(e), len);
	s->count = e.e_phnum;
	return 0;
}

/* notes first, as the kernel writes them, and nothing in front of their end that is more than headers */
static int begin(struct scrub *s)
{
	int r = headers(s);

	if (r)
		return r;
	const Elf64_Phdr *n = &s->segments[0];
	u64 end;

	if (n->p_type != PT_NOTE || n->p_offset < s->held_len || add_overflow(n->p_offset, n->p_filesz, &end))
		return -EPROTO;
	for (unsigned i = 1; i < s->count; i++)
		if (s->segments[i].p_type != PT_LOAD || s->segments[i].p_offset < end || s->segments[i].p_offset % 8 ||
		    s->segments[i].p_offset > ~0ull - s->segments[i].p_filesz)
			return -EPROTO;
	size_t headers_end = s->held_len;

	r = hold(s, end);
	if (r)
		return r;
	memset(s->held + headers_end, 0, n->p_offset - headers_end);
	s->out = s->held;
	s->out_len = end;
	return notes(s, n->p_offset, end);
}

/* ---- memory */
static enum policy policy_of(const struct scrub *s, const Elf64_Phdr *p)
{
	if (!(p->p_flags & PF_W))
		return KEEP;
	for (unsigned i = 0; i < s->stack_count; i++)
		if (within(p, s->stacks[i]))
			return STACK;
	return ZERO;
}

static void scrub_stack(const struct scrub *s, const Elf64_Phdr *p, u8 *at, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		size_t n = MIN(len - i, (size_t)8);
		u64 word = 0;

		memcpy(&word, at + i, n);
		if (n < 8 || !(within(p, word) || points_into_program(s, word)))
			memset(at + i, 0, n);
	}
}

/* from is where the block begins in the file, a multiple of 8 */
static void scrub_block(const struct scrub *s, u64 from, u8 *block, size_t len)
{
	u8 clean[BLOCK] = { 0 };

	for (unsigned i = 1; i < s->count; i++) {
		const Elf64_Phdr *p = &s->segments[i];
		u64 first = MAX(p->p_offset, from), end = MIN(p->p_offset + p->p_filesz, from + len);
		enum policy policy = first < end ? policy_of(s, p) : ZERO;

		if (policy == ZERO)
			continue;
		if (policy == STACK)
			scrub_stack(s, p, block + (first - from), end - first);
		memcpy(clean + (first - from), block + (first - from), end - first);
	}
	memcpy(block, clean, len);
	explicit_bzero(clean, sizeof(clean));
}

static int next_block(struct scrub *s)
{
	u64 from = s->offset;
	size_t got;

	/* up to a multiple of the block, so that no word is cut */
	int r = fill(s, s->block, BLOCK - from % BLOCK, &got);

	if (r || !got) {
		s->ended = true;
		return r;
	}
	/* the notes' end need not be at a word's: what shares that word with them is no segment's */
	size_t skip = MIN((size_t)(-from % 8), got);

	memset(s->block, 0, skip);
	scrub_block(s, from + skip, s->block + skip, got - skip);
	s->out = s->block;
	s->out_len = got;
	s->out_at = 0;
	return 0;
}

int scrub_read(struct scrub *s, void *buf, size_t room)
{
	if (!s->begun && !s->error) {
		s->begun = true;
		s->error = begin(s);
		if (s->error)
			log_err(s->error, "a core that is not understood is not passed on: its process keeps secrets");
	} else if (!s->error && !s->ended && s->out_at == s->out_len) {
		s->error = next_block(s);
	}
	if (s->error)
		return s->error;
	if (s->ended)
		return 0;
	size_t n = MIN(room, s->out_len - s->out_at);

	memcpy(buf, s->out + s->out_at, n);
	s->out_at += n;
	return (int)n;
}
