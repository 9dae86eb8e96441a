#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "diag/cli/cli.h"

static const char vm_text[] =
	"VM, when several run or none is found:\n"
	"  PATH                pvhost's vsock socket (--vsock PATH)\n"
	"  vsock:CID           AF_VSOCK\n"
	"  tcp:HOST:PORT       a relay to such a socket\n"
	"  (none)              the one *.vsock in ${XDG_RUNTIME_DIR:-/run}/paravane\n";

static void print_option(enum option_id id)
{
	const struct option_spec *s = &option_specs[id];
	char letter[8] = "    ", value[32] = "";

	if (s->letter)
		snprintf(letter, sizeof(letter), "-%c, ", s->letter);
	if (s->value)
		snprintf(value, sizeof(value), s->optional ? "[=%s]" : " %s", s->value);
	printf("  %s--%s%-*s %s\n", letter, s->name, (int)(21 - strlen(s->name)), value, s->help);
}

static void print_options(u64 mask)
{
	for (unsigned i = 0; i < OPTIONS; i++)
		if (mask & BIT(i))
			print_option(i);
}

static void help_of(const struct command *c)
{
	printf("Usage: pvdiag [VM] %s%s%s%s\n\n", c->name, c->options ? " [OPTION...]" : "", *c->words ? " " : "", c->words);
	printf("%c%s.\n\nOptions:\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
	print_options(c->options | OPT_COMMON);
	printf("\nExamples:\n%s", c->examples);
}

void print_help(const struct command *command)
{
	if (command) {
		help_of(command);
		return;
	}
	fputs("Usage: pvdiag [VM] COMMAND [OPTION...] [WORD...]\n\n"
	      "Looks into a running paravisor (Paravane, OpenHCL) over its diagnostics port.\n\nCommands:\n", stdout);
	for (unsigned i = 0; i < command_count; i++)
		printf("  %-19s %s\n", commands[i].name, commands[i].summary);
	printf("\npvdiag COMMAND --help says more about each.\n\n%s\nOptions of every command:\n", vm_text);
	print_options(OPT_COMMON);
	fputs("\nExamples:\n"
	      "  pvdiag inspect -r vm                     everything about the virtual machine\n"
	      "  pvdiag top                               what it is doing now\n"
	      "  pvdiag shell                             look around in VTL2\n"
	      "  pvdiag /run/paravane/a.vsock kmsg -f     the log of one of several machines\n"
	      "  pvdiag bundle                            all of it, for a bug report\n\n"
	      "Exit status: 0 done, 1 it failed, 2 the command line is wrong, 3 nobody answers;\n"
	      "of run and shell, the program's own.\n",
	      stdout);
}

/* ---- completions */
static void print_names(const char *separator)
{
	for (unsigned i = 0; i < command_count; i++)
		printf("%s%s", i ? separator : "", commands[i].name);
}

static void print_long_options(const struct command *c)
{
	u64 mask = (c ? c->options : 0) | OPT_COMMON;

	for (unsigned i = 0; i < OPTIONS; i++)
		if (mask & BIT(i))
			printf(" --%s", option_specs[i].name);
}

/* what lies below $dir, a name a line */
#define NODES "pvdiag $vm inspect $dir 2>/dev/null | sed -n 's/^\\([^ :]*\\):.*/\\1/p'"

static const char bash_head[] =
	"# bash completion for pvdiag\n"
	"_pvdiag() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} vm= cmd= dir w i\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tw=${COMP_WORDS[i]}\n"
	"\t\tcase $w in\n"
	"\t\t*/* | vsock:* | tcp:*) [ -n \"$cmd\" ] || vm=$w ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) [ -n \"$cmd\" ] || cmd=$w ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tCOMPREPLY=()\n"
	"\tcase $cmd:$cur in\n"
	"\t:*/*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	"\t:*) COMPREPLY=($(compgen -W '";
/* the running machine knows its own nodes */
static const char bash_tail[] =
	"\tinspect:*)\n"
	"\t\tcompopt -o nospace\n"
	"\t\tdir=${cur%/*}\n"
	"\t\t[ \"$dir\" != \"$cur\" ] || dir=\n"
	"\t\tw=$(" NODES ")\n"
	"\t\tCOMPREPLY=($(compgen -P \"${dir:+$dir/}\" -W \"$w\" -- \"${cur##*/}\")) ;;\n"
	"\tcompletions:*) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")) ;;\n"
	"\tbundle:*) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
	"\tesac\n"
	"}\n"
	"complete -F _pvdiag pvdiag\n";

static void bash(void)
{
	fputs(bash_head, stdout);
	print_names(" ");
	fputs("' -- \"$cur\")) ;;\n", stdout);
	for (unsigned i = 0; i < command_count; i++) {
		printf("\t%s:-*) COMPREPLY=($(compgen -W '", commands[i].name);
		print_long_options(&commands[i]);
		fputs("' -- \"$cur\")) ;;\n", stdout);
	}
	fputs(bash_tail, stdout);
}

static const char zsh_head[] =
	"\t)\n"
	"\tlocal cmd= vm= w dir\n"
	"\tfor w in ${words[2,CURRENT-1]}; do\n"
	"\t\tcase $w in\n"
	"\t\t*/* | vsock:* | tcp:*) [[ -n $cmd ]] || vm=$w ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) [[ -n $cmd ]] || cmd=$w ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tcase $cmd:$PREFIX in\n"
	"\t:*/*) _files ;;\n"
	"\t:*) _describe command commands ;;\n";
static const char zsh_tail[] =
	"\tinspect:*)\n"
	"\t\tdir=${PREFIX%/*}\n"
	"\t\t[[ $PREFIX == */* ]] || dir=\n"
	"\t\tcompset -P '*/'\n"
	"\t\tcompadd -S '' -- ${(f)\"$(" NODES ")\"} ;;\n"
	"\tcompletions:*) compadd -- bash zsh fish ;;\n"
	"\t*) _files ;;\n"
	"\tesac\n"
	"}\n"
	/* read by `source`, or as the function's file in fpath: then this is its first call */
	"if [[ $funcstack[1] == _pvdiag ]]; then _pvdiag \"$@\"; else compdef _pvdiag pvdiag; fi\n";

static void zsh(void)
{
	fputs("#compdef pvdiag\n_pvdiag() {\n\tlocal -a commands\n\tcommands=(\n", stdout);
	for (unsigned i = 0; i < command_count; i++) {
		printf("\t\t'%s:", commands[i].name);
		for (const char *at = commands[i].summary; *at; at++)
			fputs(*at == '\'' ? "'\\''" : *at == ':' ? "\\:" : (char[]){ *at, 0 }, stdout);
		fputs("'\n", stdout);
	}
	fputs(zsh_head, stdout);
	for (unsigned i = 0; i < command_count; i++) {
		printf("\t%s:-*) compadd --", commands[i].name);
		print_long_options(&commands[i]);
		fputs(" ;;\n", stdout);
	}
	fputs(zsh_tail, stdout);
}

static void fish_option(const char *command, const struct option_spec *s)
{
	printf("complete -c pvdiag -n '__fish_seen_subcommand_from %s' -l %s", command, s->name);
	if (s->letter)
		printf(" -s %c", s->letter);
	printf("%s -d \"%s\"\n", s->value ? " -x" : "", s->help);
}

static const char fish_tail[] =
	"complete -c pvdiag -n '__fish_seen_subcommand_from completions' -a 'bash zsh fish'\n"
	"function __pvdiag_nodes\n"
	"\tset -l dir (string replace -r '/?[^/]*$' '' -- (commandline -ct))\n"
	"\tset -l vm (string match -r '.*/.*|vsock:.*|tcp:.*' -- (commandline -opc)[2])\n"
	"\tpvdiag $vm inspect $dir 2>/dev/null | string match -rg '^([^ :]*):' |\n"
	"\t\tstring replace -r '^' \"$dir/\" | string trim -l -c /\n"
	"end\n"
	"complete -c pvdiag -n '__fish_seen_subcommand_from inspect' -a '(__pvdiag_nodes)'\n"
	"complete -c pvdiag -n '__fish_seen_subcommand_from file bundle' -F\n";

static void fish(void)
{
	fputs("# fish completion for pvdiag\ncomplete -c pvdiag -f\n", stdout);
	for (unsigned i = 0; i < command_count; i++) {
		printf("complete -c pvdiag -n __fish_use_subcommand -a %s -d \"%s\"\n", commands[i].name, commands[i].summary);
		for (unsigned k = 0; k < OPTIONS; k++)
			if (commands[i].options & BIT(k))
				fish_option(commands[i].name, &option_specs[k]);
	}
	fputs(fish_tail, stdout);
}

enum exit_code command_completions(struct session *s)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (!strcmp(s->options->words[0], shells[i].name)) {
			shells[i].print();
			return EXIT_OK;
		}
	fprintf(stderr, "pvdiag: completions for %s: there are bash, zsh and fish\n", s->options->words[0]);
	return EXIT_USAGE;
}
