#include "diag/dump/dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log/kmsg.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

LOG_DOMAIN("dump");

#define AUXV_MAX 4096
#define PIECE_LEN (64 * 1024u)

_Static_assert(sizeof(elf_gregset_t) == sizeof(struct user_regs_struct), "asm/elf.h ELF_NGREG");

struct dump {
	pid_t pid;
	int fd;
	struct dump_threads threads;
	struct dump_maps maps;
	u8 *notes;
	size_t notes_len;
	bool failed; /* out of memory for the notes */
};

/* ---- notes */

static void *add_note(struct dump *d, u32 type, const void *desc, size_t len)
{
	Elf64_Nhdr head = { 5, (u32)len, type };
	size_t total = sizeof(head) + 8 + ALIGN_UP(len, (size_t)4);
	u8 *notes = d->failed ? NULL : realloc(d->notes, d->notes_len + total);

	if (!notes) {
		d->failed = true;
		return NULL;
	}
	u8 *at = notes + d->notes_len;

	memset(at, 0, total);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), "CORE", 4);
	if (desc)
		memcpy(at + sizeof(head) + 8, desc, len);
	d->notes = notes;
	d->notes_len += total;
	return at + sizeof(head) + 8;
}

static void note_threads(struct dump *d)
{
	for (unsigned i = 0; i < d->threads.count; i++) {
		const struct dump_thread *t = &d->threads.all[i];
		struct elf_prstatus status = { 0 };

		status.pr_pid = t->tid;
		memcpy(&status.pr_reg, &t->registers, sizeof(t->registers));
		add_note(d, NT_PRSTATUS, &status, sizeof(status));
		add_note(d, NT_PRFPREG, &t->fp, sizeof(t->fp));
	}
}

static void note_process(struct dump *d)
{
	struct elf_prpsinfo info = { .pr_sname = 'R', .pr_pid = d->pid };
	_cleanup_free_ u8 *text = NULL;
	char path[40];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)d->pid);
	if (!file_read(path, 64, &text, &len))
		snprintf(info.pr_fname, sizeof(info.pr_fname), "%.*s", (int)strcspn((char *)text, "\n"), (char *)text);
	snprintf(info.pr_psargs, sizeof(info.pr_psargs), "%s", info.pr_fname);
	add_note(d, NT_PRPSINFO, &info, sizeof(info));
}

static void note_auxv(struct dump *d)
{
	_cleanup_free_ u8 *auxv = NULL;
	char path[40];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)d->pid);
	if (!file_read(path, AUXV_MAX, &auxv, &len))
		add_note(d, NT_AUXV, auxv, len);
}

/* count, page size; a triple for each: start, end, offset in pages; then the names (fs/binfmt_elf.c fill_files_note) */
static void note_files(struct dump *d)
{
	u64 count = 0, names = 0;

	for (unsigned i = 0; i < d->maps.count; i++)
		if (d->maps.all[i].path[0] == '/') {
			count++;
			names += strlen(d->maps.all[i].path) + 1;
		}
	u64 *at = add_note(d, NT_FILE, NULL, 16 + 24 * count + names);

	if (!at)
		return;
	char *name = (char *)(at + 2 + 3 * count);
	u64 head[2] = { count, PAGE_SIZE };

	memcpy(at, head, sizeof(head));
	at += 2;
	for (unsigned i = 0; i < d->maps.count; i++) {
		const struct dump_map *m = &d->maps.all[i];

		if (m->path[0] != '/')
			continue;
		memcpy(at, (u64[3]){ m->start, m->end, m->offset / PAGE_SIZE }, 24);
		at += 3;
		memcpy(name, m->path, strlen(m->path) + 1);
		name += strlen(m->path) + 1;
	}
}

/* ---- the file, from its begin to its end: the other end may be a socket */

static int write_zeroes(struct dump *d, size_t len)
{
	static const u8 zeroes[PAGE_SIZE];

	return fd_write_all(d->fd, zeroes, len);
}

static int write_headers(struct dump *d)
{
	size_t head_len = sizeof(Elf64_Ehdr) + (1 + d->maps.count) * sizeof(Elf64_Phdr);
	u64 at = ALIGN_UP((u64)head_len + d->notes_len, PAGE_SIZE);
	Elf64_Ehdr e = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_CORE,
			 .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_phoff = sizeof(e), .e_ehsize = sizeof(e),
			 .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (u16)(1 + d->maps.count) };
	Elf64_Phdr notes = { .p_type = PT_NOTE, .p_offset = head_len, .p_filesz = d->notes_len, .p_align = 4 };
	int r = fd_write_all(d->fd, &e, sizeof(e));

	if (!r)
		r = fd_write_all(d->fd, &notes, sizeof(notes));
	for (unsigned i = 0; !r && i < d->maps.count; i++) {
		const struct dump_map *m = &d->maps.all[i];
		Elf64_Phdr p = { .p_type = PT_LOAD, .p_flags = m->flags, .p_offset = at, .p_vaddr = m->start,
				 .p_filesz = m->dumped, .p_memsz = m->end - m->start, .p_align = PAGE_SIZE };

		r = fd_write_all(d->fd, &p, sizeof(p));
		at += m->dumped;
	}
	if (!r)
		r = fd_write_all(d->fd, d->notes, d->notes_len);
	return r ? r : write_zeroes(d, ALIGN_UP(head_len + d->notes_len, (size_t)PAGE_SIZE) - head_len - d->notes_len);
}

/* a page that cannot be read is zeroes: the kernel writes a hole there */
static int write_memory(struct dump *d, int memory, const struct dump_map *m)
{
	static u8 piece[PIECE_LEN];
	int r = 0;

	for (u64 at = 0; !r && at < m->dumped;) {
		size_t want = (size_t)MIN(m->dumped - at, (u64)sizeof(piece));
		ssize_t n = pread(memory, piece, want, (off_t)(m->start + at));

		if (n <= 0) {
			n = PAGE_SIZE;
			memset(piece, 0, PAGE_SIZE);
		}
		r = fd_write_all(d->fd, piece, (size_t)n);
		at += (u64)n;
	}
	return r;
}

static int write_core(struct dump *d)
{
	char path[40];

	note_process(d);
	note_threads(d);
	note_auxv(d);
	note_files(d);
	if (d->failed)
		return log_err(-ENOMEM, "notes of process %d", (int)d->pid);
	if (d->maps.count >= PN_XNUM - 1)
		return log_err(-E2BIG, "process %d has %u mappings", (int)d->pid, d->maps.count);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)d->pid);
	_cleanup_close_ int memory = open(path, O_RDONLY | O_CLOEXEC);

	if (memory < 0)
		return log_err(-errno, "%s", path);
	int r = write_headers(d);

	for (unsigned i = 0; !r && i < d->maps.count; i++)
		r = write_memory(d, memory, &d->maps.all[i]);
	return r ? log_err(r, "the core of process %d cannot be written", (int)d->pid) : 0;
}

/* only a process that keeps secrets has a user of its own (vmm/device_worker/sandbox.h) */
static bool keeps_secrets(pid_t pid)
{
	_cleanup_free_ u8 *text = NULL;
	char path[40];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read(path, 64 * 1024, &text, &len))
		return false;
	const char *uid = strstr((char *)text, "\nUid:");

	return uid && strtoul(uid + 5, NULL, 10) != getuid();
}

int dump_process(pid_t pid, int fd)
{
	if (keeps_secrets(pid))
		return log_err(-EACCES, "process %d keeps secrets: no core is made while it lives. When it crashes, one is made "
			       "without them (kill -SEGV)", (int)pid);
	struct dump *d = calloc(1, sizeof(*d));

	if (!d)
		return log_err(-ENOMEM, "a dump");
	d->pid = pid;
	d->fd = fd;
	int r = threads_hold(pid, &d->threads);

	if (!r) {
		r = maps_read(pid, &d->maps);
		if (!r)
			r = write_core(d);
		threads_release(&d->threads);
	}
	maps_free(&d->maps);
	free(d->notes);
	free(d);
	return r;
}

int dump_main(int argc, char **argv)
{
	char *end = NULL;
	/* OpenHCL's client gives -v for more words; there are none */
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	long pid = argc == 2 + verbose ? strtol(argv[1 + verbose], &end, 10) : 0;

	kmsg_install("dump");
	if (pid < 1 || pid > INT_MAX || *end || pid == getpid()) {
		fprintf(stderr, "usage: dump PID >CORE\n");
		return 2;
	}
	int r = dump_process((pid_t)pid, STDOUT_FILENO);

	if (r)
		fprintf(stderr, "dump: process %ld: %s\n", pid, strerror(-r));
	return r ? 1 : 0;
}
