/* A process of two threads is dumped while it lives: its core has both, its memory, and not what it asked to leave out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag/dump/dump.h"
#include "lib/log/log.h"
#include "lib/os/file.h"

static volatile char *kept, *left_out, *file;

static void *second(void *ready)
{
	int fd = *(int *)ready;

	if (write(fd, "r", 1) == 1)
		for (;;)
			pause();
	return NULL;
}

static void live(int ready)
{
	pthread_t thread;

	memcpy((void *)kept, "kept", 4);
	memcpy((void *)left_out, "left", 4);
	file[0] = 'f';
	pthread_create(&thread, NULL, second, &ready);
	for (;;)
		pause();
}

static void quiet(enum log_level level, const char *domain, const char *text)
{
}

static const Elf64_Phdr *segment(const u8 *core, const volatile void *address)
{
	const Elf64_Ehdr *e = (const void *)core;
	const Elf64_Phdr *p = (const void *)(core + e->e_phoff);

	for (unsigned i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && (u64)address >= p[i].p_vaddr && (u64)address < p[i].p_vaddr + p[i].p_memsz)
			return &p[i];
	return NULL;
}

static void a_process_is_dumped_and_lives_on(void **state)
{
	char path[] = "/tmp/test-dump-XXXXXX", byte;
	int ready[2], fd = mkstemp(path), status;
	u8 *core;
	size_t len;

	log_set_sink(quiet);
	kept = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	left_out = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(madvise((void *)left_out, 8192, MADV_DONTDUMP), 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();

	if (!child)
		live(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	int out = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	assert_int_equal(dump_process(child, out), 0);
	assert_int_equal(waitpid(child, &status, WNOHANG), 0);
	assert_int_equal(kill(child, SIGTERM), 0); /* not held any more */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);

	len = (size_t)lseek(out, 0, SEEK_END);
	core = mmap(NULL, len, PROT_READ, MAP_PRIVATE, out, 0);
	assert_true(core != MAP_FAILED);
	const Elf64_Ehdr *e = (const void *)core;
	const Elf64_Phdr *p = (const void *)(core + e->e_phoff);
	unsigned threads = 0, files = 0;

	assert_int_equal(e->e_type, ET_CORE);
	assert_int_equal(p[0].p_type, PT_NOTE);
	for (u64 at = p[0].p_offset; at < p[0].p_offset + p[0].p_filesz;) {
		const Elf64_Nhdr *n = (const void *)(core + at);
		const struct elf_prstatus *s = (const void *)((const u8 *)(n + 1) + 8);

		threads += n->n_type == NT_PRSTATUS;
		files += n->n_type == NT_FILE;
		if (n->n_type == NT_PRSTATUS && threads == 1)
			assert_int_equal(s->pr_pid, child);
		at += sizeof(*n) + 8 + ((n->n_descsz + 3) & ~3u);
	}
	assert_int_equal(threads, 2);
	assert_int_equal(files, 1);
	p = segment(core, kept);
	assert_non_null(p);
	assert_memory_equal(core + p->p_offset + ((u64)kept - p->p_vaddr), "kept", 4);
	p = segment(core, left_out);
	assert_true(p && !p->p_filesz);
	p = segment(core, file);
	assert_true(p && !p->p_filesz);
	munmap(core, len);
	close(out);
	close(fd);
	unlink(path);
}

static void nobody_and_ourselves(void **state)
{
	char self[] = "dump", no[] = "nobody", *argv[] = { self, no, NULL };
	pid_t child = fork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	assert_true(dump_process(child, -1) < 0);
	int err = dup(2), null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	assert_int_equal(dump_main(2, argv), 2);
	assert_int_equal(dump_main(1, argv), 2);
	dup2(err, 2);
	close(err);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_is_dumped_and_lives_on),
		cmocka_unit_test(nobody_and_ourselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
