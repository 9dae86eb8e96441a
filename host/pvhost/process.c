#include "host/pvhost/process.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/types.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

static const char *const kinds[] = { "anon_inode:kvm-vm", "anon_inode:kvm-vcpu", "anon_inode:[eventfd]", "anon_inode:[timerfd]",
				     "anon_inode:[eventpoll]", "socket", "pipe", "/memfd", "/" };
static const char *const names[] = { "kvm_vm", "kvm_vcpu", "eventfd", "timerfd", "epoll", "socket", "pipe", "memfd", "file",
				     "other" };

_Static_assert(ARRAY_SIZE(names) == ARRAY_SIZE(kinds) + 1, "a name for each kind, and one for the rest");

static u32 kind_of(const char *target)
{
	u32 k = 0;

	while (k < ARRAY_SIZE(kinds) && strncmp(target, kinds[k], strlen(kinds[k])))
		k++;
	return k;
}

static void print_descriptors(FILE *out)
{
	u32 count[ARRAY_SIZE(names)] = { 0 }, all = 0;
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char target[64];
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		if (n <= 0 || strtol(e->d_name, NULL, 10) == dirfd(d)) /* "." and "..", and the one we look with */
			continue;
		target[n] = 0;
		count[kind_of(target)]++;
		all++;
	}
	if (d)
		closedir(d);
	fprintf(out, "descriptors %u:", all);
	for (u32 k = 0; k < ARRAY_SIZE(names); k++)
		if (count[k])
			fprintf(out, " %s %u", names[k], count[k]);
	fputc('\n', out);
}

static u32 entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	u32 n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static u32 lines(const char *path)
{
	_cleanup_free_ u8 *data = NULL;
	size_t len;
	u32 n = 0;

	if (file_read(path, 1 << 20, &data, &len))
		return 0;
	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

/* the lines of smaps_rollup that tell our own memory from what is shared */
static void print_memory(FILE *out)
{
	static const char *const wanted[] = { "Rss:", "Pss:", "Pss_Anon:", "Private_Dirty:", "AnonHugePages:" };
	_cleanup_free_ u8 *data = NULL;
	char *rest = NULL;
	size_t len;

	fputs("memory_kib", out);
	if (!file_read("/proc/self/smaps_rollup", 4096, &data, &len))
		for (char *line = strtok_r((char *)data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			for (u32 i = 0; i < ARRAY_SIZE(wanted); i++)
				if (!strncmp(line, wanted[i], strlen(wanted[i])))
					fprintf(out, " %.*s %lu", (int)strlen(wanted[i]) - 1, line,
						strtoul(line + strlen(wanted[i]), NULL, 10));
	fputc('\n', out);
}

void process_print(FILE *out)
{
	print_descriptors(out);
	fprintf(out, "threads %u\nmappings %u\n", entries("/proc/self/task"), lines("/proc/self/maps"));
	print_memory(out);
}
