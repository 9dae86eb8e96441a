#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pvvmgs/commands.h"

static const char usage_text[] =
	"usage: pvvmgs list [--json] [--live] FILE\n"
	"       pvvmgs check [--json] [--live] FILE\n"
	"       pvvmgs dump [--hex | -o OUT] [--live] FILE ID\n"
	"       pvvmgs create [--size SIZE] [--raw] [--force] FILE\n"
	"\n"
	"Looks into guest state files (VMGS, format 3), which keep a virtual machine's own state: pvhost's --vmgs,\n"
	"Hyper-V's and OpenVMM's, with a VHD's footer or without.\n"
	"\n"
	"list     what files it has\n"
	"check    whether firmware will take it; if not, what is wrong and what to do\n"
	"dump     one file's bytes, by number or name (tpm-nvram)\n"
	"create   makes a new one, formatted\n"
	"\n"
	"  --json        for programs\n"
	"  --live        look although a machine uses it; half a change may be seen\n"
	"  --hex         bytes as hexadecimal\n"
	"  -o OUT        write to OUT instead of standard output\n"
	"  --size SIZE   bytes, 64K, 4M; from 16K to 4G, a multiple of 4K (default 4M)\n"
	"  --raw         without the footer that Hyper-V's tools want\n"
	"  --force       empty a file that is there: what it holds is lost\n"
	"\n"
	"Exit status: 0 done, good or empty; 1 the file is bad or encrypted, or has no such file; 2 wrong usage; 3 it cannot be\n"
	"opened, read or written, or is in use.\n"
	"\n"
	"Examples: pvvmgs list vm.vmgs\n"
	"          pvvmgs dump --hex vm.vmgs tpm-nvram\n"
	"          pvvmgs create --size 8M vm.vmgs\n";

static int usage(const char *problem, const char *what)
{
	fprintf(stderr, "pvvmgs: %s%s; try pvvmgs --help\n", problem, what);
	return PVVMGS_USAGE;
}

/* "4M", "64k", "65536" */
static bool parse_size(const char *text, u64 *ret)
{
	static const char units[] = "kmg";
	char *end;
	u64 value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return false;
	const char *unit = *end ? strchr(units, *end | 0x20) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (end[unit != NULL] || value > VMGS_CAPACITY_MAX >> shift)
		return false;
	*ret = value << shift;
	return *ret >= VMGS_CAPACITY_MIN && IS_ALIGNED(*ret, VMGS_BLOCK_SIZE);
}

static int take_options(int argc, char **argv, const char *allowed, struct pvvmgs_options *o)
{
	static const struct option known[] = {
		{ "json", 0, NULL, 'j' }, { "live", 0, NULL, 'l' }, { "hex", 0, NULL, 'x' }, { "size", 1, NULL, 's' },
		{ "raw", 0, NULL, 'r' }, { "force", 0, NULL, 'f' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "o:", known, NULL)) >= 0) {
		if (c == '?')
			return usage("an option is wrong", "");
		if (!strchr(allowed, c))
			return usage("no option of this command: ", argv[optind - 1]);
		switch (c) {
		case 'j': o->json = true; break;
		case 'l': o->live = true; break;
		case 'x': o->hex = true; break;
		case 'r': o->raw = true; break;
		case 'f': o->force = true; break;
		case 'o': o->out = optarg; break;
		case 's':
			if (!parse_size(optarg, &o->size))
				return usage("not a size from 16K to 4G, a multiple of 4K: ", optarg);
		}
	}
	return o->hex && o->out ? usage("--hex and -o do not go together", "") : 0;
}

struct command {
	const char *name, *options;
	int arguments;
	const char *wants;
	int (*run)(char **arguments, const struct pvvmgs_options *o);
};

static const struct command commands[] = {
	{ "list", "jl", 1, "list needs one file", command_list },
	{ "check", "jl", 1, "check needs one file", command_check },
	{ "dump", "lxo", 2, "dump needs a file and the number or name of one in it", command_dump },
	{ "create", "srf", 1, "create needs one file", command_create },
};

static int run(const struct command *c, int argc, char **argv)
{
	struct pvvmgs_options o = { 0 };
	int r = take_options(argc, argv, c->options, &o);

	if (r)
		return r;
	if (argc - optind != c->arguments)
		return usage(c->wants, "");
	r = c->run(argv + optind, &o);
	/* who reads standard output wants all of it, or to know */
	if (fflush(stdout) && !r) {
		fprintf(stderr, "pvvmgs: standard output: %s\n", strerror(errno));
		r = PVVMGS_TROUBLE;
	}
	return r;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage("no command", "");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		fputs(usage_text, stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	return usage("unknown command: ", argv[1]);
}
