/* pvdiag top: one table of rates, again and again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag/cli/cli.h"
#include "lib/os/file.h"

#define VPS "vm/partition/vps"
#define DISKS "vm/storage"

/* the state that the table is made of, with the time it was taken */
struct sample {
	struct node *root;
	u64 at_ns;
};

static const char *const reasons[] = { "io", "memory", "msr", "halt", "hypercall", "apic_eoi", "sint_deliverable", "cancelled" };
static const char *const titles[] = { "io", "mmio", "msr", "hlt", "hcall", "eoi", "sint", "cancel" };

static double rate(const struct node *node, const char *path)
{
	struct node *n = node ? node_walk((struct node *)node, path) : NULL;
	double d = 0;

	if (n && n->kind == NODE_VALUE && n->value == NODE_DOUBLE)
		memcpy(&d, &n->number, sizeof(d));
	return d;
}

static enum exit_code take(struct session *s, struct sample *ret)
{
	static const char *const paths[] = { VPS, DISKS };
	struct node *node;
	enum exit_code code = EXIT_OK;

	ret->root = node_create("", NODE_DIR);
	ret->at_ns = now_ns();
	for (unsigned i = 0; ret->root && !code && i < ARRAY_SIZE(paths); i++) {
		code = inspect_fetch(s, paths[i], 8, &node);
		if (code)
			break;
		free(node->name);
		node->name = strdup(strrchr(paths[i], '/') + 1);
		node_add(ret->root, node);
	}
	return ret->root ? code : EXIT_FAILED;
}

/* ---- the table */
static void print_vp(const struct node *vp)
{
	const struct node *exits = node_find(vp, "exits");
	double tsc = rate(vp, "tsc"), all = 0;
	char path[64];

	for (const struct node *n = exits ? exits->first : NULL; n; n = n->next)
		all += rate(n, "");
	printf("%4s %6.1f %9.1f", vp->name, tsc > 0 ? rate(vp, "tsc_in_vtl0") / tsc * 100 : 0, all);
	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		snprintf(path, sizeof(path), "exits/%s", reasons[i]);
		printf(" %8.1f", rate(vp, path));
	}
	printf(" %9.1f %8.1f\n", rate(vp, "executor/turns"), rate(vp, "executor/ring_enters"));
}

/* every disk's node, wherever it is in the tree: one that has read and write counters */
static void print_disks(const struct node *node, const char *where)
{
	const struct node *read = node_find(node, "read"), *write = node_find(node, "write");
	char path[160];

	if (read && write && node_find(read, "count")) {
		printf("%-28.28s %9.1f %11.1f %9.1f %11.1f %9.1f\n", where, rate(read, "count"), rate(read, "bytes") / 1024,
		       rate(write, "count"), rate(write, "bytes") / 1024, rate(node, "flush/count"));
		return;
	}
	for (const struct node *n = node->first; n; n = n->next) {
		snprintf(path, sizeof(path), "%s%s%s", where, *where ? "/" : "", n->name);
		if (n->kind == NODE_DIR)
			print_disks(n, path);
	}
}

static void print_table(const struct options *o, const struct node *since, double seconds)
{
	const struct node *vps = node_find(since, "vps"), *storage = node_find(since, "storage");
	bool colour = colour_wanted(o);

	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	printf("%s%4s %6s %9s", colour ? "\033[1m" : "", "VP", "VTL0%", "exits/s");
	for (unsigned i = 0; i < ARRAY_SIZE(titles); i++)
		printf(" %8s", titles[i]);
	printf(" %9s %8s%s\n", "turns/s", "rings/s", colour ? "\033[0m" : "");
	for (const struct node *n = vps ? vps->first : NULL; n; n = n->next)
		print_vp(n);
	printf("\n%s%-28s %9s %11s %9s %11s %9s%s\n", colour ? "\033[1m" : "", "DISK", "reads/s", "KiB/s", "writes/s", "KiB/s",
	       "flush/s", colour ? "\033[0m" : "");
	if (storage)
		print_disks(storage, "");
	printf("\nrates over %.1f s; VTL0%%: share of the time between entering VTL0 and its exit, halted time with it\n",
	       seconds);
	fflush(stdout);
}

static void print(const struct options *o, const struct sample *now, const struct sample *before)
{
	double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
	struct node *since = node_since(now->root, before->root, seconds);
	struct text text;

	if (!since)
		return;
	if (!option_given(o, OPT_JSON)) {
		print_table(o, since, seconds);
	} else if ((text = node_print_json(since)).data) {
		puts(text.data);
		free(text.data);
	}
	node_destroy(since);
}

enum exit_code command_top(struct session *s)
{
	struct sample now, before;
	struct again again;
	enum exit_code code = take(s, &before);

	again_begin(&again, s->options, 2);
	while (!code && again_wait(&again)) {
		code = take(s, &now);
		if (!code)
			print(s->options, &now, &before);
		node_destroy(before.root);
		before = now;
	}
	node_destroy(before.root);
	return code;
}
