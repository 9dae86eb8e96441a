/* pvdiag events: the firmware's log as records, filtered here. */
#include <stdio.h>
#include <string.h>

#include "diag/cli/records.h"

static const char *const levels[8] = { "emergency", "alert", "critical", "error", "warn", "notice", "info", "debug" };

struct filter {
	const struct options *options;
	unsigned level;
	bool colour;
};

/* lib/log has them in another order of gravity than syslog: its notice is for the operator, and graver than warn */
static unsigned gravity(unsigned level)
{
	return level == 5 ? 4 : level == 4 ? 5 : level;
}

static bool in_list(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == len && !memcmp(at, word, len))
			return true;
	return false;
}

static bool wanted(const struct filter *f, const struct record *r)
{
	const char *domains = f->options->text[OPT_DOMAIN], *process = f->options->text[OPT_PROCESS];

	return gravity(r->level) <= gravity(f->level) && (!domains || in_list(domains, r->domain)) &&
	       (!process || in_list(process, r->process));
}

static void print_json_text(const char *text, int len)
{
	putchar('"');
	for (int i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void print_json(const struct record *r)
{
	printf("{\"sequence\":%llu,\"us\":%llu,\"level\":\"%s\",\"process\":\"%s\",\"domain\":\"%s\",\"text\":", r->sequence,
	       r->us, levels[r->level], r->process, r->domain);
	print_json_text(r->message, r->message_len);
	puts("}");
}

static bool each(void *context, const char *data)
{
	static const char *const shades[8] = { "31;1", "31;1", "31;1", "31", "33", "1", "0", "2" };
	const struct filter *f = context;
	struct record r;

	if (!record_parse(data, &r) || !wanted(f, &r))
		return true;
	if (option_given(f->options, OPT_JSON))
		print_json(&r);
	else if (f->colour)
		printf("%12.6f \033[%sm%-9s\033[0m %-8s %-10s %.*s\n", (double)r.us / 1e6, shades[r.level], levels[r.level],
		       r.process, r.domain, r.message_len, r.message);
	else
		printf("%12.6f %-9s %-8s %-10s %.*s\n", (double)r.us / 1e6, levels[r.level], r.process, r.domain, r.message_len,
		       r.message);
	return true;
}

enum exit_code command_events(struct session *s)
{
	const struct options *o = s->options;
	struct filter f = { .options = o, .level = 7, .colour = colour_wanted(o) };
	const char *level = o->text[OPT_LEVEL];

	if (level) {
		while (f.level && strcmp(levels[f.level], level))
			f.level--;
		if (strcmp(levels[f.level], level)) {
			fprintf(stderr, "pvdiag: --level %s: wanted is error, warn, notice, info or debug\n", level);
			return EXIT_USAGE;
		}
	}
	return records_read(s, option_given(o, OPT_FOLLOW), each, &f);
}
