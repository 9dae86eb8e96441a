#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/file.h"

bool colour_wanted(const struct options *o)
{
	if (o->colour != COLOUR_AUTO)
		return o->colour == COLOUR_ALWAYS;
	/* NO_COLOR: no-color.org */
	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

void print_tree(const char *text, bool colour)
{
	while (colour && *text) {
		size_t line = strcspn(text, "\n"), indent = strspn(text, " "), name = strcspn(text, ":\n");

		if (name < line)
			printf("%.*s\033[36m%.*s\033[0m%.*s", (int)indent, text, (int)(name - indent), text + indent,
			       (int)(line - name), text + name);
		else
			printf("%.*s", (int)line, text);
		text += line;
		if (*text == '\n') {
			putchar('\n');
			text++;
		}
	}
	fputs(text, stdout);
}

/* the one sub-message, field 1, of InspectResponse and UpdateResponse */
static bool first_field(struct bytes b, struct bytes *ret)
{
	struct pb_field f;
	bool bad = false, found = false;

	while (pb_next(&b, &f, &bad))
		if (f.number == 1 && f.wire == PB_BYTES) {
			*ret = f.body;
			found = true;
		}
	return found && !bad;
}

static unsigned depth_of(const struct options *o)
{
	return option_given(o, OPT_RECURSIVE) ? NODE_DEPTH_MAX - 1 : (unsigned)o->number[OPT_DEPTH];
}

/* EXIT_OK: *ret is the caller's. value: the text of an update, or NULL */
static enum exit_code ask(struct session *s, const char *path, unsigned depth, const char *value, struct node **ret)
{
	struct ttrpc_answer answer;
	struct pb_writer w;
	struct bytes body;

	pb_init(&w);
	pb_string(&w, 1, path);
	if (value)
		pb_string(&w, 2, value);
	else if (depth > 1)
		pb_u64(&w, 2, depth - 1); /* on the wire zero is one level */
	enum exit_code code = session_call(s, "inspect.InspectService", value ? "Update" : "Inspect", &w, &answer);

	pb_fini(&w);
	if (code)
		return code;
	int r = !first_field(answer.response.payload, &body) ? -EPROTO : value ? node_decode_value(body, ret) :
		node_decode(body, "", ret);

	ttrpc_answer_fini(&answer);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "pvdiag: the answer for %s cannot be read: %s\n", *path ? path : "the root", strerror(-r));
	return EXIT_FAILED;
}

enum exit_code inspect_fetch(struct session *s, const char *path, unsigned depth, struct node **ret)
{
	return ask(s, path, depth, NULL, ret);
}

static enum exit_code print_node(const struct options *o, const char *path, const struct node *node)
{
	bool json = option_given(o, OPT_JSON);
	struct text text;

	if (node->kind == NODE_FAILED && !json) {
		fprintf(stderr, "pvdiag: %s: %s\n", *path ? path : "/", node_error_text(node));
		return EXIT_FAILED;
	}
	text = json ? node_print_json(node) : node_print_tree(node);
	if (!text.data) {
		fprintf(stderr, "pvdiag: out of memory\n");
		return EXIT_FAILED;
	}
	if (json)
		fputs(text.data, stdout);
	else
		print_tree(text.data, colour_wanted(o));
	if (text.len && text.data[text.len - 1] != '\n')
		putchar('\n');
	free(text.data);
	return node->kind == NODE_FAILED ? EXIT_FAILED : EXIT_OK;
}

/* ---- one look at all paths */
struct look {
	struct node *nodes;   /* a directory with one child a path, named by it */
	u64 at_ns;
};

/* what could not be had was said; the rest is there */
static enum exit_code look(struct session *s, const struct paths *paths, struct look *ret)
{
	enum exit_code code = EXIT_OK;
	struct node *node;

	ret->nodes = node_create("", NODE_DIR);
	ret->at_ns = now_ns();
	for (unsigned i = 0; ret->nodes && i < paths->count && code != EXIT_NOBODY; i++) {
		const struct path *p = &paths->path[i];
		enum exit_code one = ask(s, p->text, depth_of(s->options), s->options->text[OPT_UPDATE], &node);

		code = one ? one : code;
		if (one)
			continue;
		if (p->optional && node->kind == NODE_FAILED && node->error == NODE_NOT_FOUND) {
			node_destroy(node);
			continue;
		}
		free(node->name);
		node->name = strdup(p->text);
		node_add(ret->nodes, node);
	}
	return ret->nodes ? code : EXIT_FAILED;
}

static enum exit_code print_look(const struct options *o, const struct node *nodes, unsigned count)
{
	enum exit_code code = EXIT_OK;

	/* several paths as JSON are one object, so that one parser reads one document */
	if (option_given(o, OPT_JSON) && count > 1)
		return print_node(o, "", nodes);
	for (const struct node *n = nodes->first; n; n = n->next) {
		if (count > 1)
			printf("%s:\n", n->name);
		enum exit_code one = print_node(o, n->name, n);

		code = one ? one : code;
	}
	return code;
}

static enum exit_code once(struct session *s, const struct paths *paths)
{
	struct look l;
	enum exit_code code = look(s, paths, &l);
	enum exit_code printed = l.nodes ? print_look(s->options, l.nodes, paths->count) : EXIT_FAILED;

	node_destroy(l.nodes);
	return code ? code : printed;
}

/* ---- again and again */
static void print_since(const struct options *o, const struct look *now, const struct look *before, unsigned count)
{
	double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
	struct node *since = node_since(now->nodes, before->nodes, seconds);

	if (!since)
		return;
	if (isatty(STDOUT_FILENO) && !option_given(o, OPT_JSON))
		fputs("\033[H\033[2J", stdout);
	if (!option_given(o, OPT_JSON))
		printf("in the last %.1f s:\n", seconds);
	print_look(o, since, count);
	fflush(stdout);
	node_destroy(since);
}

static enum exit_code watch(struct session *s, const struct paths *paths)
{
	struct look now, before;
	struct again again;
	enum exit_code code = look(s, paths, &before);

	again_begin(&again, s->options, 1);
	while (code != EXIT_NOBODY && before.nodes && again_wait(&again)) {
		code = look(s, paths, &now);
		if (now.nodes && code != EXIT_NOBODY)
			print_since(s->options, &now, &before, paths->count);
		node_destroy(before.nodes);
		before = now;
	}
	node_destroy(before.nodes);
	return code;
}

enum exit_code command_inspect(struct session *s)
{
	const struct options *o = s->options;
	struct paths paths = { 0 };
	enum exit_code code = EXIT_OK;

	for (unsigned i = 0; i < o->word_count && !code; i++)
		code = paths_expand(s, o->words[i], &paths);
	if (!code && !o->word_count)
		code = paths_expand(s, "", &paths);
	if (!code)
		code = option_given(o, OPT_WATCH) ? watch(s, &paths) : once(s, &paths);
	paths_fini(&paths);
	return code;
}
