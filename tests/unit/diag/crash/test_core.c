/* A core read in pieces of all sizes: what comes out, with the kernel log's note in its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diag/crash/core.h"
#include "lib/core/types.h"
#include "lib/log/log.h"
#include "spec/crash.h"

#define NOTES_LEN 100
#define DATA_AT 4096
#define DATA_LEN 5000
#define LOG "5,0,0,-;hello\n"

static struct {
	u8 data[16384];
	size_t len, at, step;
	u8 out[600000];
	size_t out_len;
	int error;
} bed;

static int read_input(void *ctx, void *buf, size_t room)
{
	size_t n = MIN(MIN(room, bed.step), bed.len - bed.at);

	assert_true(room > 0);
	if (bed.error && !n)
		return bed.error;
	memcpy(buf, bed.data + bed.at, n);
	bed.at += n;
	return (int)n;
}

static size_t read_log(void *ctx, char *buf, size_t room)
{
	assert_int_equal(room, CRASH_KMSG_NOTE_LEN - 24);
	memcpy(buf, LOG, sizeof(LOG) - 1);
	return sizeof(LOG) - 1;
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

/* headers, notes, a gap, data: as the kernel writes a core with two segments */
static void build(void)
{
	Elf64_Ehdr e = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_CORE,
			 .e_machine = EM_X86_64, .e_phoff = sizeof(e), .e_ehsize = sizeof(e),
			 .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 3 };
	Elf64_Phdr p[3] = {
		{ .p_type = PT_NOTE, .p_offset = sizeof(e) + sizeof(p), .p_filesz = NOTES_LEN },
		{ .p_type = PT_LOAD, .p_offset = DATA_AT, .p_vaddr = 0x1000, .p_filesz = DATA_LEN, .p_memsz = DATA_LEN },
		{ .p_type = PT_LOAD, .p_offset = DATA_AT + DATA_LEN, .p_vaddr = 0x9000, .p_memsz = 4096 },
	};

	memset(&bed, 0, sizeof(bed));
	log_set_sink(quiet);
	for (size_t i = 0; i < DATA_LEN; i++)
		bed.data[DATA_AT + i] = (u8)(i * 7);
	memset(bed.data + sizeof(e) + sizeof(p), 'n', NOTES_LEN);
	memcpy(bed.data, &e, sizeof(e));
	memcpy(bed.data + sizeof(e), p, sizeof(p));
	bed.len = DATA_AT + DATA_LEN;
	bed.step = sizeof(bed.data);
}

static int run(size_t piece)
{
	struct core_input input = { read_input, read_log, NULL };
	struct core *c = core_create(&input);
	int n;

	bed.at = bed.out_len = 0;
	while ((n = core_read(c, bed.out + bed.out_len, piece)) > 0)
		bed.out_len += (size_t)n;
	if (!n)
		assert_int_equal(core_read(c, bed.out, piece), 0);
	core_destroy(c);
	return n;
}

static void the_note_stands_behind_the_others(void **state)
{
	static const size_t steps[] = { 16384, 1000, 63, 1 };
	const size_t notes = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);
	struct crash_kmsg_note note;
	Elf64_Phdr p[3];
	u32 len;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		build();
		bed.step = steps[i];
		assert_int_equal(run(i % 2 ? 777 : 16384), 0);
		assert_int_equal(bed.out_len, bed.len + CRASH_KMSG_NOTE_LEN);
		memcpy(p, bed.out + sizeof(Elf64_Ehdr), sizeof(p));
		assert_int_equal(p[0].p_filesz, NOTES_LEN + CRASH_KMSG_NOTE_LEN);
		assert_int_equal(p[1].p_offset, DATA_AT + CRASH_KMSG_NOTE_LEN);
		assert_memory_equal(bed.out + p[0].p_offset, bed.data + notes, NOTES_LEN);
		assert_memory_equal(bed.out + p[1].p_offset, bed.data + DATA_AT, DATA_LEN);
		const u8 *at = bed.out + p[0].p_offset + NOTES_LEN;

		memcpy(&note, at, sizeof(note));
		assert_int_equal(note.name_len, 5);
		assert_int_equal(note.desc_len, CRASH_KMSG_NOTE_LEN - 20);
		assert_int_equal(note.type, 0xffffffff);
		assert_memory_equal(note.name, "KMSG\0\0\0\0", 8);
		assert_memory_equal(at + sizeof(note), LOG, sizeof(LOG) - 1);
		memcpy(&len, at + CRASH_KMSG_NOTE_LEN - 4, 4);
		assert_int_equal(len, sizeof(LOG) - 1);
	}
}

static void unchanged(void)
{
	u8 was[sizeof(bed.data)];

	memcpy(was, bed.data, sizeof(was));
	assert_int_equal(run(500), 0);
	assert_int_equal(bed.out_len, bed.len);
	assert_memory_equal(bed.out, was, bed.len);
}

static void what_is_no_core_passes_unchanged(void **state)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)bed.data;
	Elf64_Phdr *p = (Elf64_Phdr *)(bed.data + sizeof(*e));

	build(); e->e_ident[1] = 'x'; unchanged();
	build(); e->e_ident[EI_CLASS] = ELFCLASS32; unchanged();
	build(); e->e_type = ET_EXEC; unchanged();
	build(); e->e_phnum = PN_XNUM; unchanged();
	build(); e->e_phnum = 0; unchanged();
	build(); e->e_phnum = 60000; unchanged();
	build(); e->e_shoff = 64; unchanged();
	build(); e->e_phoff = 65; unchanged();
	build(); p[0].p_type = PT_LOAD; unchanged();
	build(); p[0].p_filesz = 99; unchanged();
	build(); p[0].p_filesz = 1ull << 40; unchanged();
	build(); p[0].p_offset = ~0ull - 3; unchanged();
	build(); p[1].p_offset = 64; unchanged();
	build(); p[2].p_offset = ~0ull; unchanged();
	for (size_t len = 0; len < 300; len += 13) { /* cut in the headers */
		build();
		bed.len = MIN(len, sizeof(*e) + 2 * sizeof(*p));
		unchanged();
	}
}

static void a_cut_core_ends_early(void **state)
{
	build();
	bed.len = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr) + 50; /* amid the notes */
	assert_int_equal(run(333), 0);
	assert_int_equal(bed.out_len, bed.len);
	build();
	bed.len = DATA_AT + 17;
	assert_int_equal(run(333), 0);
	assert_int_equal(bed.out_len, bed.len + CRASH_KMSG_NOTE_LEN);
	build();
	bed.len = 200;
	bed.error = -EIO;
	assert_int_equal(run(333), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_note_stands_behind_the_others),
		cmocka_unit_test(what_is_no_core_passes_unchanged),
		cmocka_unit_test(a_cut_core_ends_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
