#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/cli/cli.h"

struct cursor {
	int argc, at;
	char **argv;
	const char *attached; /* --option=THIS or -oTHIS */
	char *error;
	size_t size;
};

static int number_of(struct cursor *c, const struct option_spec *s, const char *text, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	/* written so that NaN fails too */
	if (end != text && !*end && *ret >= s->min && *ret <= s->max)
		return 0;
	snprintf(c->error, c->size, "--%s %s: not a number from %g to %g", s->name, text, s->min, s->max);
	return -EINVAL;
}

static int value_of(struct cursor *c, const struct option_spec *s, const char **ret)
{
	*ret = c->attached;
	c->attached = NULL;
	if (*ret || s->optional)
		return 0;
	if (c->at + 1 >= c->argc) {
		snprintf(c->error, c->size, "--%s needs a value (%s)", s->name, s->value);
		return -EINVAL;
	}
	*ret = c->argv[++c->at];
	return 0;
}

static int set_colour(struct cursor *c, struct options *o, const char *text)
{
	static const char *const names[] = { "auto", "always", "never" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			o->colour = i;
			return 0;
		}
	snprintf(c->error, c->size, "--color %s: wanted is auto, always or never", text);
	return -EINVAL;
}

static int add_env(struct cursor *c, struct options *o, const char *text, bool unset)
{
	bool has_value = strchr(text, '=');

	if (o->env_count == ENV_MAX)
		snprintf(c->error, c->size, "more than %u environment variables", ENV_MAX);
	else if (!*text || *text == '=' || has_value == unset)
		snprintf(c->error, c->size, unset ? "--unset %s: wanted is a NAME" : "--env %s: wanted is NAME=VALUE", text);
	else
		return o->env[o->env_count++] = text, 0;
	return -EINVAL;
}

static int apply(struct cursor *c, struct options *o, enum option_id id)
{
	const struct option_spec *s = &option_specs[id];
	const char *text = NULL;
	int r = s->value ? value_of(c, s, &text) : 0;

	if (!r && c->attached) {
		snprintf(c->error, c->size, "--%s takes no value", s->name);
		r = -EINVAL;
	}
	if (!r && text && s->max != 0)
		r = number_of(c, s, text, &o->number[id]);
	else if (!r && id == OPT_COLOUR)
		r = set_colour(c, o, text);
	else if (!r && (id == OPT_ENV || id == OPT_UNSET))
		r = add_env(c, o, text, id == OPT_UNSET);
	if (r)
		return r;
	o->given |= BIT(id);
	o->text[id] = text;
	return 0;
}

static int unknown(struct cursor *c, const char *dashes, const char *word, size_t len)
{
	snprintf(c->error, c->size, "unknown option %s%.*s; see pvdiag --help", dashes, (int)len, word);
	return -EINVAL;
}

static int parse_long(struct cursor *c, struct options *o, const char *word)
{
	size_t len = strcspn(word, "=");

	if (len == 6 && !memcmp(word, "colour", 6)) {
		c->attached = word[len] ? word + len + 1 : NULL;
		return apply(c, o, OPT_COLOUR);
	}
	for (unsigned i = 0; i < OPTIONS; i++)
		if (strlen(option_specs[i].name) == len && !memcmp(option_specs[i].name, word, len)) {
			c->attached = word[len] ? word + len + 1 : NULL;
			return apply(c, o, i);
		}
	return unknown(c, "--", word, len);
}

static int parse_short(struct cursor *c, struct options *o, const char *word)
{
	for (; *word; word++) {
		unsigned i = 0;

		while (i < OPTIONS && option_specs[i].letter != *word)
			i++;
		if (i == OPTIONS)
			return unknown(c, "-", word, 1);
		bool value = option_specs[i].value;

		c->attached = value && word[1] ? word + 1 : NULL;
		int r = apply(c, o, i);

		if (r || value)
			return r;
	}
	return 0;
}

static int find_command(struct cursor *c, struct options *o, const char *word)
{
	for (unsigned i = 0; i < command_count; i++)
		if (!strcmp(commands[i].name, word)) {
			o->command = &commands[i];
			return 0;
		}
	int at = snprintf(c->error, c->size, "unknown command %s; a VM is named by a path with a /. There are", word);

	for (unsigned i = 0; i < command_count && at > 0 && (size_t)at < c->size; i++)
		at += snprintf(c->error + at, c->size - (size_t)at, "%s %s", i ? "," : "", commands[i].name);
	return -EINVAL;
}

static int add_word(struct cursor *c, struct options *o, const char *word)
{
	if (!o->command && !o->vm && target_is(word)) {
		o->vm = word;
		return 0;
	}
	if (!o->command)
		return find_command(c, o, word);
	if (o->word_count == WORDS_MAX - 1) {
		snprintf(c->error, c->size, "more than %u words", WORDS_MAX - 1);
		return -EINVAL;
	}
	o->words[o->word_count++] = word;
	return 0;
}

static int check_options(const struct options *o, char *error, size_t size)
{
	u64 wrong = o->given & ~(o->command->options | OPT_COMMON);

	for (unsigned i = 0; i < OPTIONS; i++)
		if (wrong & BIT(i)) {
			snprintf(error, size, "%s takes no --%s%s; see pvdiag %s --help", o->command->name, option_specs[i].name,
				 i == OPT_FOLLOW && o->command->options & BIT(OPT_WATCH) ? " (it has --watch)" : "",
					 o->command->name);
			return -EINVAL;
		}
	if (option_given(o, OPT_UPDATE) && (o->word_count != 1 || option_given(o, OPT_WATCH)))
		snprintf(error, size, "--update sets exactly one PATH, once");
	else if (o->word_count > o->command->max_words && !o->command->max_words)
		snprintf(error, size, "%s takes no words after its name: what is %s?", o->command->name, o->words[0]);
	else if (o->word_count < o->command->min_words || o->word_count > o->command->max_words)
		snprintf(error, size, "wanted is: pvdiag %s %s", o->command->name, o->command->words);
	else
		return 0;
	return -EINVAL;
}

static int check(const struct options *o, char *error, size_t size)
{
	if (option_given(o, OPT_HELP) || option_given(o, OPT_VERSION))
		return 0;
	if (o->command)
		return check_options(o, error, size);
	snprintf(error, size, "a command is missing (inspect, kmsg, shell, …); see pvdiag --help");
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret, char *error, size_t size)
{
	struct cursor c = { .argc = argc, .at = 1, .argv = argv, .error = error, .size = size };
	struct options o = { .number = { [OPT_WATCH] = 1, [OPT_SECONDS] = 10, [OPT_FREQUENCY] = 99, [OPT_TIMEOUT] = 5,
					 [OPT_DEPTH] = 1 } };
	bool only_words = false;

	for (; c.at < argc; c.at++) {
		const char *word = argv[c.at];
		int r;

		/* another program's command line is not ours to read */
		only_words |= o.command && o.command->raw && o.word_count;
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

	if (r)
		return r;
	o.timeout_ms = (unsigned)(o.number[OPT_TIMEOUT] * 1000);
	*ret = o;
	return 0;
}
