/* pvdiag perf-trace: samples of a process of the firmware, as folded stacks (one line each, its count last). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/cleanup.h"

/* sorted by address */
struct symbols {
	struct symbol {
		u64 address;
		char *name;
	} *symbol;
	size_t count, room;
};

static int by_address(const void *a, const void *b)
{
	u64 x = ((const struct symbol *)a)->address, y = ((const struct symbol *)b)->address;

	return x < y ? -1 : x > y;
}

static void add(struct symbols *s, u64 address, const char *name)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 1024;
		struct symbol *more = realloc(s->symbol, room * sizeof(*more));

		if (!more)
			return;
		s->symbol = more;
		s->room = room;
	}
	char *copy = strdup(name);

	if (copy)
		s->symbol[s->count++] = (struct symbol){ address, copy };
}

/* "address type name": what nm prints, and /proc/kallsyms */
static void read_symbols(struct symbols *s, FILE *f)
{
	char line[512], name[256], type;
	unsigned long long address;

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %c %255s", &address, &type, name) == 3 && address && strchr("tTwW", type))
			add(s, address, name);
	qsort(s->symbol, s->count, sizeof(*s->symbol), by_address);
}

static bool load_symbols(struct session *s, const char *path, struct symbols *ret)
{
	_cleanup_free_ char *command = NULL;
	FILE *f = tmpfile();

	/* the kernel's are the running one's; those of the program are in the build */
	if (f && !file_fetch(s, "/proc/kallsyms", fileno(f))) {
		rewind(f);
		read_symbols(ret, f);
	}
	if (f)
		fclose(f);
	if (!path)
		return true;
	if (access(path, R_OK) || strchr(path, '\'') || asprintf(&command, "nm -n --defined-only '%s'", path) < 0)
		return false;
	f = popen(command, "r");
	if (f)
		read_symbols(ret, f);
	return f && !pclose(f);
}

static const char *name_of(const struct symbols *s, u64 address)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->symbol[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	/* far behind the last symbol of its half of memory it is nobody's */
	if (!low || address - s->symbol[low - 1].address > 1 * MiB)
		return NULL;
	return s->symbol[low - 1].name;
}

/* a line of hexadecimal frames with names in their places */
static void print_stack(const struct symbols *s, char *line, FILE *out)
{
	char *rest = NULL, *end;

	for (char *word = strtok_r(line, ";", &rest); word; word = strtok_r(NULL, ";", &rest)) {
		u64 address = strtoull(word, &end, 16);
		const char *name = !strncmp(word, "0x", 2) ? name_of(s, address) : NULL;

		fprintf(out, "%s%s", word == line ? "" : ";", name ? name : word);
		/* the count follows the last frame's address */
		if (name)
			fputs(end, out);
	}
}

enum exit_code command_perf_trace(struct session *s)
{
	const struct options *o = s->options;
	const char *process = o->text[OPT_PROCESS] ? o->text[OPT_PROCESS] : "worker";
	char pid[16], seconds[32], hertz[16], line[8192];
	struct symbols symbols = { 0 };
	_cleanup_close_ int out = o->text[OPT_OUTPUT] ? output_open(o) : dup(STDOUT_FILENO);
	FILE *raw = tmpfile(), *text = out >= 0 ? fdopen(dup(out), "w") : NULL;
	s32 number;
	enum exit_code code = raw && text ? process_find(s, process, &number) : EXIT_FAILED;

	if (code)
		return code;
	snprintf(pid, sizeof(pid), "%d", number);
	snprintf(seconds, sizeof(seconds), "%g", o->number[OPT_SECONDS]);
	snprintf(hertz, sizeof(hertz), "%u", (unsigned)o->number[OPT_FREQUENCY]);
	const char *const argv[] = { "/bin/paravane", "perf", pid, seconds, hertz, NULL };

	code = remote_capture(s, argv, false, fileno(raw));

	if (!code && !load_symbols(s, o->text[OPT_SYMBOLS], &symbols)) {
		fprintf(stderr, "pvdiag: --symbols %s: nm (binutils) cannot read it\n", o->text[OPT_SYMBOLS]);
		code = EXIT_FAILED;
	}
	for (rewind(raw); !code && fgets(line, sizeof(line), raw);)
		print_stack(&symbols, line, text);
	for (size_t i = 0; i < symbols.count; i++)
		free(symbols.symbol[i].name);
	free(symbols.symbol);
	fclose(raw);
	return fclose(text) ? EXIT_FAILED : code;
}
