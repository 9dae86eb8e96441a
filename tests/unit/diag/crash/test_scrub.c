/* What is left of a core that a process with secrets leaves: a real one's shape, and those that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>
#undef PAGE_SIZE
#undef PAGE_SHIFT

#include <cmocka.h>

#include "diag/crash/scrub.h"
#include "lib/log/log.h"

#define TEXT 0x400000ull
#define HEAP 0x800000ull
#define STACK 0x7fff0000ull
#define SECRET 0x5ec4e75ec4e75ec4ull
#define SEGMENTS 3u

static struct {
	u8 data[32768], out[40000];
	size_t len, at, step, notes_at, status_at, segment_at[SEGMENTS];
} bed;

static int read_input(void *ctx, void *buf, size_t room)
{
	size_t n = MIN(MIN(room, bed.step), bed.len - bed.at);

	memcpy(buf, bed.data + bed.at, n);
	bed.at += n;
	return (int)n;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static size_t add_note(size_t at, u32 type, const void *desc, size_t len)
{
	Elf64_Nhdr n = { 5, (u32)len, type };

	memcpy(bed.data + at, &n, sizeof(n));
	memcpy(bed.data + at + sizeof(n), "CORE", 4);
	memcpy(bed.data + at + sizeof(n) + 8, desc, len);
	return at + sizeof(n) + 8 + ALIGN_UP(len, (size_t)4);
}

/* one thread; program, heap, stack; a secret in each register, in the heap, and on the stack between return addresses */
static void build(void)
{
	static const struct { u64 at, len; u32 flags; } all[SEGMENTS] = {
		{ TEXT, 4096, PF_R | PF_X }, { HEAP, 8192, PF_R | PF_W }, { STACK, 4096, PF_R | PF_W },
	};
	Elf64_Ehdr e = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_CORE,
			 .e_phoff = sizeof(e), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1 + SEGMENTS };
	Elf64_Phdr p[1 + SEGMENTS] = { { .p_type = PT_NOTE } };
	struct elf_prstatus status = { .pr_pid = 7 };
	struct user_regs_struct registers;
	u64 vector[64];

	memset(&bed, 0, sizeof(bed));
	for (unsigned i = 0; i < 64; i++)
		vector[i] = SECRET;
	memcpy(&registers, vector, sizeof(registers));
	registers.rip = TEXT + 0x123;
	registers.rsp = STACK + 0x100;
	registers.rbp = STACK + 0x180;
	registers.r9 = 32; /* how many words libcrypto works on: its way back is counted from there */
	memcpy(&status.pr_reg, &registers, sizeof(registers));
	bed.notes_at = sizeof(e) + sizeof(p);
	bed.status_at = bed.notes_at + sizeof(Elf64_Nhdr) + 8;
	size_t at = add_note(bed.notes_at, NT_PRSTATUS, &status, sizeof(status));

	at = add_note(at, NT_PRFPREG, vector, sizeof(vector));
	at = add_note(at, NT_X86_XSTATE, vector, sizeof(vector) - 4);
	at = add_note(at, NT_FILE, "a file", 7);
	p[0].p_offset = bed.notes_at;
	p[0].p_filesz = at - bed.notes_at;
	at = ALIGN_UP(at, (size_t)4096);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		p[1 + i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = all[i].flags, .p_offset = at, .p_vaddr = all[i].at,
					 .p_filesz = all[i].len, .p_memsz = all[i].len };
		bed.segment_at[i] = at;
		for (u64 k = 0; k < all[i].len; k += 8)
			memcpy(bed.data + at + k, &(u64){ all[i].flags & PF_W ? SECRET : 0x90909090 }, 8);
		at += all[i].len;
	}
	/* a frame: saved frame pointer, return address */
	memcpy(bed.data + bed.segment_at[2] + 0x180, (u64[]){ STACK + 0x200, TEXT + 0x456 }, 16);
	memcpy(bed.data, &e, sizeof(e));
	memcpy(bed.data + sizeof(e), p, sizeof(p));
	bed.len = at;
}

static int run(size_t step, size_t room, size_t *ret_len)
{
	struct scrub *s = scrub_create(read_input, NULL);
	size_t len = 0;
	int n;

	bed.at = 0;
	bed.step = step;
	while ((n = scrub_read(s, bed.out + len, MIN(room, sizeof(bed.out) - len))) > 0)
		len += (size_t)n;
	if (n < 0) /* and it stays so */
		assert_int_equal(scrub_read(s, bed.out, 8), n);
	scrub_destroy(s);
	*ret_len = len;
	return n;
}

static void a_back_trace_is_left(void **state)
{
	static const size_t steps[] = { 1, 7, 4096, 65536 };
	struct user_regs_struct r;
	u64 word;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		size_t len;

		build();
		assert_int_equal(run(steps[i], i & 1 ? 13 : 100000, &len), 0);
		assert_int_equal(len, bed.len);
		assert_null(memmem(bed.out, len, &(u64){ SECRET }, 8));
		assert_null(memmem(bed.out, len, &(u64){ SECRET }, 4));
		memcpy(&r, bed.out + bed.status_at + offsetof(struct elf_prstatus, pr_reg), sizeof(r));
		assert_int_equal(r.rip, TEXT + 0x123);
		assert_int_equal(r.rsp, STACK + 0x100);
		assert_int_equal(r.rbp, STACK + 0x180);
		assert_int_equal(r.rax, 0);
		assert_int_equal(r.r9, 32);
		memcpy(&word, bed.out + bed.segment_at[2] + 0x188, 8);
		assert_int_equal(word, TEXT + 0x456);
		memcpy(&word, bed.out + bed.segment_at[2] + 0x180, 8);
		assert_int_equal(word, STACK + 0x200);
		/* the program and what says which it was */
		assert_memory_equal(bed.out + bed.segment_at[0], bed.data + bed.segment_at[0], 4096);
		assert_non_null(memmem(bed.out, len, "a file", 7));
	}
}

/* cut anywhere, or with one byte changed: nothing of what is secret comes out */
static void what_is_none_says_nothing(void **state)
{
	size_t len, whole;

	build();
	whole = bed.len;
	for (size_t cut = 0; cut < whole; cut += 97) {
		build();
		bed.len = cut;
		assert_true(run(4096, 5000, &len) == -EPROTO || cut >= bed.segment_at[0] - 4096);
		assert_null(memmem(bed.out, len, &(u64){ SECRET }, 8));
	}
	/* not the flags: what the kernel says cannot be written is the program's */
	for (size_t at = 0; at < bed.notes_at + 12; at++) {
		build();
		if (at >= sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) && (at - sizeof(Elf64_Ehdr)) % sizeof(Elf64_Phdr) < 8)
			continue;
		bed.data[at] ^= 0xff;
		int r = run(4096, 5000, &len);

		assert_true(r == 0 || r == -EPROTO || r == -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_back_trace_is_left), cmocka_unit_test(what_is_none_says_nothing),
	};

	log_set_sink(quiet);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
