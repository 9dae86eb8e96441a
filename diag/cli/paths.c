/* Patterns in inspect paths, expanded here: the server is asked for the names below each pattern's parent. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag/cli/cli.h"

#define PATHS_LIMIT 4096

static bool is_pattern(const char *text)
{
	return text[strcspn(text, "*?[")];
}

static bool add(struct paths *p, char *path, bool optional)
{
	struct path *more = path && p->count < PATHS_LIMIT ? realloc(p->path, (p->count + 1) * sizeof(*more)) : NULL;

	if (!more) {
		free(path);
		return false;
	}
	p->path = more;
	p->path[p->count++] = (struct path){ path, optional };
	return true;
}

static char *join(const char *a, const char *b)
{
	char *out;

	return asprintf(&out, "%s%s%s", a, *a && *b ? "/" : "", b) < 0 ? NULL : out;
}

void paths_fini(struct paths *p)
{
	for (unsigned i = 0; i < p->count; i++)
		free(p->path[i].text);
	free(p->path);
	*p = (struct paths){ 0 };
}

static enum exit_code expand_below(struct session *s, const char *parent, const char *pattern, bool optional,
				   struct paths *ret);

static enum exit_code match(struct session *s, const char *parent, const char *component, const char *rest, struct paths *ret)
{
	struct node *node = NULL;
	enum exit_code code = inspect_fetch(s, parent, 1, &node);

	for (const struct node *n = node ? node->first : NULL; n && !code; n = n->next) {
		char *path = fnmatch(component, n->name, 0) ? NULL : join(parent, n->name);

		/* a leaf has nothing below it that could match the rest */
		if (path && (!*rest || n->kind != NODE_VALUE))
			code = expand_below(s, path, rest, true, ret);
		free(path);
	}
	node_destroy(node);
	return code;
}

static enum exit_code expand_below(struct session *s, const char *parent, const char *pattern, bool optional,
				   struct paths *ret)
{
	size_t len = strcspn(pattern, "/");
	const char *rest = pattern[len] ? pattern + len + 1 : "";
	char *component = strndup(pattern, len), *path;
	enum exit_code code = EXIT_OK;

	if (component && is_pattern(component)) {
		code = match(s, parent, component, rest, ret);
	} else if (component && is_pattern(rest)) {
		path = join(parent, component);
		code = path ? expand_below(s, path, rest, optional, ret) : EXIT_FAILED;
		free(path);
	} else if (!component || !add(ret, join(parent, pattern), optional)) {
		fprintf(stderr, "pvdiag: %s: more than %u paths\n", pattern, PATHS_LIMIT);
		code = EXIT_FAILED;
	}
	free(component);
	return code;
}

enum exit_code paths_expand(struct session *s, const char *pattern, struct paths *ret)
{
	unsigned before = ret->count;
	enum exit_code code = expand_below(s, "", pattern + strspn(pattern, "/"), false, ret);

	if (code || ret->count > before)
		return code;
	fprintf(stderr, "pvdiag: %s: nothing matches\n", pattern);
	return EXIT_FAILED;
}
