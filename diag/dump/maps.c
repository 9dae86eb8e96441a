#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/dump/dump.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

LOG_DOMAIN("maps");

#define SMAPS_MAX (32u << 20)

/* what smaps says of the mapping that is being read */
struct facts {
	u64 rss_kib, anonymous_kib;
	bool shared, kept_out;
};

static struct dump_map *add(struct dump_maps *m)
{
	if (m->count % 64 == 0) {
		struct dump_map *all = realloc(m->all, (m->count + 64) * sizeof(*all));

		if (!all)
			return NULL;
		m->all = all;
	}
	m->all[m->count] = (struct dump_map){ 0 };
	return &m->all[m->count++];
}

/* "START-END rwxp OFFSET MAJOR:MINOR INODE PATH" */
static bool parse_head(const char *line, struct dump_map *m, struct facts *f)
{
	unsigned long long start, end, offset;
	int path_at = 0;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s %llx %*s %*s %n", &start, &end, perms, &offset, &path_at) != 4)
		return false;
	m->start = start;
	m->end = end;
	m->offset = offset;
	m->flags = (perms[0] == 'r' ? PF_R : 0) | (perms[1] == 'w' ? PF_W : 0) | (perms[2] == 'x' ? PF_X : 0);
	*f = (struct facts){ .shared = perms[3] == 's' };
	snprintf(m->path, sizeof(m->path), "%s", path_at ? line + path_at : "");
	return true;
}

static void parse_fact(const char *line, struct facts *f)
{
	unsigned long long kib;

	if (sscanf(line, "Rss: %llu", &kib) == 1)
		f->rss_kib = kib;
	else if (sscanf(line, "Anonymous: %llu", &kib) == 1)
		f->anonymous_kib = kib;
	else if (!strncmp(line, "VmFlags:", 8)) /* do not dump, I/O, page frames without a struct page, device memory mixed in */
		f->kept_out = strstr(line, " dd") || strstr(line, " io") || strstr(line, " pf") || strstr(line, " mm");
}

/* fs/coredump.c vma_dump_size() with coredump_filter 0x33, as far as smaps tells */
static u64 dumped(const struct dump_map *m, const struct facts *f)
{
	bool file = m->path[0] == '/', gone = strstr(m->path, " (deleted)");
	u64 all = m->end - m->start;

	if (!strcmp(m->path, "[vdso]"))
		return all;
	if (f->kept_out || !f->rss_kib || !strncmp(m->path, "[v", 2))
		return 0;
	if (f->shared)
		return file && !gone ? 0 : strncmp(m->path, "anon_inode:", 11) ? all : 0;
	if (!file || f->anonymous_kib)
		return all;
	return m->offset || !(m->flags & PF_R) ? 0 : PAGE_SIZE;
}

int maps_read(pid_t pid, struct dump_maps *ret)
{
	_cleanup_free_ u8 *text = NULL;
	struct dump_map *m = NULL, head;
	struct facts f = { 0 }, next;
	char path[40], *rest = NULL;
	size_t len;

	*ret = (struct dump_maps){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	int r = file_read(path, SMAPS_MAX, &text, &len);

	if (r)
		return log_err(r, "%s", path);
	for (char *line = strtok_r((char *)text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!parse_head(line, &head, &next)) {
			parse_fact(line, &f);
			continue;
		}
		if (m)
			m->dumped = dumped(m, &f);
		m = add(ret);
		if (!m)
			return log_err(-ENOMEM, "mappings of %d", (int)pid);
		*m = head;
		f = next;
	}
	if (m)
		m->dumped = dumped(m, &f);
	return m ? 0 : log_err(-ENOENT, "%s names no mapping: a kernel thread?", path);
}

void maps_free(struct dump_maps *m)
{
	free(m->all);
	m->all = NULL;
	m->count = 0;
}
