#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/cli/cli.h"

const char help_text[] =
	"Usage: pvdiag [VM] COMMAND [OPTION...] [PATH...]\n"
	"\n"
	"Looks into a running paravisor (Paravane, OpenHCL) over its diagnostics port.\n"
	"\n"
	"Commands:\n"
	"  inspect [PATH...]   print the state below PATH (default: everything, one level)\n"
	"  kmsg                print the firmware's kernel log\n"
	"  ping                ask whether the paravisor answers\n"
	"  crash PID           make a process of the firmware die as if it had gone wrong (inspect -r proc shows the ids)\n"
	"\n"
	"VM, when several run or none is found:\n"
	"  PATH                pvhost's vsock socket (--vsock PATH)\n"
	"  vsock:CID           AF_VSOCK\n"
	"  tcp:HOST:PORT       a relay to such a socket\n"
	"  (none)              the one *.vsock in ${XDG_RUNTIME_DIR:-/run}/paravane\n"
	"\n"
	"Options:\n"
	"  -r, --recursive     inspect: all levels\n"
	"  -l, --depth N       inspect: N levels (default 1)\n"
	"  -j, --json          inspect: JSON\n"
	"  -u, --update VALUE  inspect: set the one PATH to VALUE and print what it is then\n"
	"      --watch[=SECONDS]  inspect: again and again (default every second)\n"
	"  -f, --follow        kmsg: wait for more\n"
	"      --timeout SECONDS  how long to wait for an answer (default 5)\n"
	"      --color auto|always|never\n"
	"  -h, --help          this text\n"
	"  -V, --version\n"
	"\n"
	"Examples:\n"
	"  pvdiag inspect -r vm                     everything about the virtual machine\n"
	"  pvdiag inspect vm/partition/vps/0 --watch\n"
	"  pvdiag inspect -j -r | jq .proc.meminfo\n"
	"  pvdiag inspect trace/filter -u info,vp=debug\n"
	"  pvdiag kmsg -f\n"
	"  pvdiag /run/paravane/a.vsock ping\n"
	"\n"
	"Exit status: 0 done, 1 it failed, 2 the command line is wrong, 3 nobody answers.\n";

struct cursor {
	int argc, at;
	char **argv;
	const char *attached; /* --option=THIS or -oTHIS */
	char *error;
	size_t size;
};

static int value_of(struct cursor *c, const char *name, const char **ret)
{
	if (c->attached) {
		*ret = c->attached;
		c->attached = NULL;
		return 0;
	}
	if (c->at + 1 >= c->argc) {
		snprintf(c->error, c->size, "%s needs a value", name);
		return -EINVAL;
	}
	*ret = c->argv[++c->at];
	return 0;
}

static int number_of(struct cursor *c, const char *name, const char *text, double min, double max, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	/* written so that NaN fails too */
	if (end != text && !*end && *ret >= min && *ret <= max)
		return 0;
	snprintf(c->error, c->size, "%s %s: not a number from %g to %g", name, text, min, max);
	return -EINVAL;
}

static int number_option(struct cursor *c, const char *name, double min, double max, double *ret)
{
	const char *text;
	int r = value_of(c, name, &text);

	return r ? r : number_of(c, name, text, min, max, ret);
}

static int parse_colour(struct cursor *c, struct options *o)
{
	static const char *const names[] = { "auto", "always", "never" };
	const char *text;
	int r = value_of(c, "--color", &text);

	for (unsigned i = 0; !r && i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			o->colour = i;
			return 0;
		}
	if (!r)
		snprintf(c->error, c->size, "--color %s: wanted is auto, always or never", text);
	return -EINVAL;
}

/* one option by its long name; short ones come here as theirs */
static int apply(struct cursor *c, struct options *o, const char *name)
{
	double number = 0;
	int r = 0;

	if (!strcmp(name, "recursive")) {
		o->recursive = true;
	} else if (!strcmp(name, "json")) {
		o->json = true;
	} else if (!strcmp(name, "follow")) {
		o->follow = true;
	} else if (!strcmp(name, "help")) {
		o->help = true;
	} else if (!strcmp(name, "version")) {
		o->version = true;
	} else if (!strcmp(name, "depth")) {
		r = number_option(c, "--depth", 0, NODE_DEPTH_MAX - 1, &number);
		o->depth = r ? 0 : (unsigned)number + 1;
	} else if (!strcmp(name, "timeout")) {
		r = number_option(c, "--timeout", 0.001, 86400, &number);
		o->timeout_ms = r ? 0 : (unsigned)(number * 1000);
	} else if (!strcmp(name, "update")) {
		r = value_of(c, "--update", &o->update);
	} else if (!strcmp(name, "watch")) {
		o->watch = true;
		if (c->attached)
			r = number_option(c, "--watch", 0.05, 86400, &o->watch_s);
	} else if (!strcmp(name, "color") || !strcmp(name, "colour")) {
		r = parse_colour(c, o);
	} else {
		snprintf(c->error, c->size, "unknown option --%s; see pvdiag --help", name);
		r = -EINVAL;
	}
	if (!r && c->attached) {
		snprintf(c->error, c->size, "--%s takes no value", name);
		r = -EINVAL;
	}
	c->attached = NULL;
	return r;
}

static int parse_long(struct cursor *c, struct options *o, const char *word)
{
	char name[32];
	size_t len = strcspn(word, "=");

	if (len >= sizeof(name)) {
		snprintf(c->error, c->size, "unknown option --%s; see pvdiag --help", word);
		return -EINVAL;
	}
	memcpy(name, word, len);
	name[len] = 0;
	c->attached = word[len] ? word + len + 1 : NULL;
	return apply(c, o, name);
}

static int parse_short(struct cursor *c, struct options *o, const char *word)
{
	static const struct { char letter; bool value; const char *name; } shorts[] = {
		{ 'r', false, "recursive" }, { 'l', true, "depth" }, { 'j', false, "json" }, { 'u', true, "update" },
		{ 'f', false, "follow" }, { 'h', false, "help" }, { 'V', false, "version" },
	};

	for (; *word; word++) {
		const char *name = NULL;
		bool value = false;

		for (size_t i = 0; i < ARRAY_SIZE(shorts); i++)
			if (shorts[i].letter == *word) {
				name = shorts[i].name;
				value = shorts[i].value;
			}
		if (!name) {
			snprintf(c->error, c->size, "unknown option -%c; see pvdiag --help", *word);
			return -EINVAL;
		}
		c->attached = value && word[1] ? word + 1 : NULL;
		int r = apply(c, o, name);

		if (r || value)
			return r;
	}
	return 0;
}

static int add_word(struct cursor *c, struct options *o, const char *word)
{
	if (!o->command && !o->vm && target_is(word)) {
		o->vm = word;
	} else if (!o->command) {
		o->command = word;
	} else if (o->path_count < PATHS_MAX) {
		o->paths[o->path_count++] = word;
	} else {
		snprintf(c->error, c->size, "more than %u paths", PATHS_MAX);
		return -EINVAL;
	}
	return 0;
}

static int check(const struct options *o, char *error, size_t size)
{
	bool inspect = o->command && !strcmp(o->command, "inspect"), crash = o->command && !strcmp(o->command, "crash");

	if (o->help || o->version)
		return 0;
	if (!o->command)
		snprintf(error, size, "a command is missing (inspect, kmsg, ping, crash); see pvdiag --help");
	else if (!inspect && !crash && strcmp(o->command, "kmsg") && strcmp(o->command, "ping"))
		snprintf(error, size, "unknown command %s (there are inspect, kmsg, ping, crash); a VM is named by a path with "
			 "a /", o->command);
	else if (crash && o->path_count != 1)
		snprintf(error, size, "crash wants the id of one process");
	else if (!inspect && ((o->path_count && !crash) || o->update || o->json || o->recursive || o->depth || o->watch))
		snprintf(error, size, "%s takes no paths and none of inspect's options", o->command);
	else if (o->follow && strcmp(o->command, "kmsg"))
		snprintf(error, size, "--follow is for kmsg; inspect has --watch");
	else if (o->update && (o->path_count != 1 || o->watch))
		snprintf(error, size, "--update sets exactly one PATH, once");
	else
		return 0;
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret, char *error, size_t size)
{
	struct cursor c = { .argc = argc, .at = 1, .argv = argv, .error = error, .size = size };
	struct options o = { .timeout_ms = 5000, .watch_s = 1 };
	bool only_words = false;

	for (; c.at < argc; c.at++) {
		const char *word = argv[c.at];
		int r;

		if (!only_words && !strcmp(word, "--")) {
			only_words = true;
			continue;
		}
		if (only_words || word[0] != '-' || !word[1])
			r = add_word(&c, &o, word);
		else
			r = word[1] == '-' ? parse_long(&c, &o, word + 2) : parse_short(&c, &o, word + 1);
		if (r)
			return r;
	}
	int r = check(&o, error, size);

	if (!r)
		*ret = o;
	return r;
}
