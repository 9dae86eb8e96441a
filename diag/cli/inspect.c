#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diag/cli/cli.h"

#define DEPTH_DEFAULT 1

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
	return o->recursive ? NODE_DEPTH_MAX - 1 : o->depth ? o->depth - 1 : DEPTH_DEFAULT;
}

/* EXIT_OK: *ret is the caller's */
static enum exit_code fetch(struct session *s, const char *path, struct node **ret)
{
	const struct options *o = s->options;
	struct ttrpc_answer answer;
	struct pb_writer w;
	struct bytes body;

	pb_init(&w);
	pb_string(&w, 1, path);
	if (o->update)
		pb_string(&w, 2, o->update);
	else
		pb_u64(&w, 2, depth_of(o));
	enum exit_code code = session_call(s, "inspect.InspectService", o->update ? "Update" : "Inspect", &w, &answer);

	pb_fini(&w);
	if (code)
		return code;
	int r = !first_field(answer.response.payload, &body) ? -EPROTO : o->update ? node_decode_value(body, ret) :
		node_decode(body, "", ret);

	ttrpc_answer_fini(&answer);
	if (!r)
		return EXIT_OK;
	fprintf(stderr, "pvdiag: the answer for %s cannot be read: %s\n", *path ? path : "the root", strerror(-r));
	return EXIT_FAILED;
}

static enum exit_code print_node(const struct options *o, const char *path, struct node *node)
{
	struct text text;

	if (node->kind == NODE_FAILED && !o->json) {
		fprintf(stderr, "pvdiag: %s: %s\n", *path ? path : "/", node_error_text(node));
		return EXIT_FAILED;
	}
	text = o->json ? node_print_json(node) : node_print_tree(node);
	if (!text.data) {
		fprintf(stderr, "pvdiag: out of memory\n");
		return EXIT_FAILED;
	}
	if (o->json)
		fputs(text.data, stdout);
	else
		print_tree(text.data, colour_wanted(o));
	if (text.len && text.data[text.len - 1] != '\n')
		putchar('\n');
	free(text.data);
	return node->kind == NODE_FAILED ? EXIT_FAILED : EXIT_OK;
}

static enum exit_code show(struct session *s, const char *path)
{
	struct node *node;
	enum exit_code code = fetch(s, path, &node);

	if (code)
		return code;
	if (s->options->path_count > 1 && !s->options->json)
		printf("%s:\n", path);
	code = print_node(s->options, path, node);
	node_destroy(node);
	return code;
}

/* several paths as JSON are one object, so that one parser reads one document */
static enum exit_code show_json_object(struct session *s)
{
	struct node *all = node_create("", NODE_DIR), *node;
	enum exit_code code = all ? EXIT_OK : EXIT_FAILED;

	for (unsigned i = 0; i < s->options->path_count && code != EXIT_NOBODY && all; i++) {
		enum exit_code one = fetch(s, s->options->paths[i], &node);

		code = one ? one : code;
		if (one)
			continue;
		free(node->name);
		node->name = strdup(s->options->paths[i]);
		node_add(all, node);
	}
	if (all && print_node(s->options, "", all))
		code = EXIT_FAILED;
	node_destroy(all);
	return code;
}

static enum exit_code show_all(struct session *s)
{
	const struct options *o = s->options;
	enum exit_code code = EXIT_OK;

	if (!o->path_count)
		return show(s, "");
	if (o->json && o->path_count > 1)
		return show_json_object(s);
	for (unsigned i = 0; i < o->path_count && code != EXIT_NOBODY; i++) {
		enum exit_code one = show(s, o->paths[i]);

		code = one ? one : code;
	}
	return code;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = 1;
}

static enum exit_code watch(struct session *s)
{
	const double seconds = s->options->watch_s;
	struct timespec pause_time = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
	bool screen = isatty(STDOUT_FILENO) && !s->options->json;
	struct sigaction act = { .sa_handler = on_interrupt };
	enum exit_code code = EXIT_OK;

	sigaction(SIGINT, &act, NULL);
	while (!interrupted && code != EXIT_NOBODY) {
		if (screen)
			fputs("\033[H\033[2J", stdout);
		code = show_all(s);
		fflush(stdout);
		if (!interrupted && code != EXIT_NOBODY)
			nanosleep(&pause_time, NULL);
	}
	return code;
}

enum exit_code command_inspect(struct session *s)
{
	return s->options->watch ? watch(s) : show_all(s);
}
