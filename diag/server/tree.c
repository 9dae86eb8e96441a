#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag/server/control.h"
#include "lib/log/log.h"
#include "lib/os/cleanup.h"
#include "lib/os/file.h"

#ifndef PARAVANE_VERSION
#define PARAVANE_VERSION "0.1"
#endif
#ifndef PARAVANE_COMMIT
#define PARAVANE_COMMIT "unknown"
#endif

#define WORKER_ROOT "vm" /* the same name in the worker's tree and in ours */
#define PROC_FILE_MAX 65536

/* ---- what goes to the worker */
bool tree_needs_worker(const char *path, unsigned depth, char *ret_path, size_t size, unsigned *ret_depth)
{
	size_t len = strlen(WORKER_ROOT);

	while (*path == '/')
		path++;
	if (!*path) {
		snprintf(ret_path, size, WORKER_ROOT);
		*ret_depth = depth ? depth - 1 : 0;
		return depth > 1;
	}
	if (strncmp(path, WORKER_ROOT, len) || (path[len] && path[len] != '/'))
		return false;
	*ret_depth = depth;
	return (size_t)snprintf(ret_path, size, "%s", path) < size;
}

/* an error node in the place of an answer */
static void embed_error(struct inspect *in, const char *name, const char *text)
{
	struct node *node = node_create("", NODE_FAILED);
	struct pb_writer w;

	pb_init(&w);
	if (node) {
		node->error = NODE_CHANNEL;
		if (node_set_data(node, text, strlen(text)))
			node->error = NODE_INTERNAL;
		node_encode(node, &w);
	}
	inspect_embed(in, name, bytes_of(w.data, w.failed ? 0 : w.len));
	pb_fini(&w);
	node_destroy(node);
}

static void not_entered(void *object, struct inspect *in)
{
}

static void vm_inspect(struct tree *t, struct inspect *in)
{
	if (!t->vm_error && t->vm.at)
		inspect_embed(in, WORKER_ROOT, t->vm);
	else if (!t->vm_error)
		inspect_child(in, WORKER_ROOT, not_entered, t); /* too shallow a request: there, unevaluated */
	else if (t->vm_error == -EPIPE)
		embed_error(in, WORKER_ROOT, "no worker runs");
	else if (t->vm_error == -ETIMEDOUT)
		embed_error(in, WORKER_ROOT, "the worker does not answer");
	else
		embed_error(in, WORKER_ROOT, strerror(-t->vm_error));
}

/* ---- the kernel's own facts */
static void line_inspect(char *line, struct inspect *in)
{
	char *colon = strchr(line, ':'), *end;

	if (!colon)
		return;
	*colon = 0;
	u64 value = strtoull(colon + 1, &end, 10);

	/* "Name:   123 kB"; lines of another form, as smaps_rollup's head, say nothing here */
	if (end != colon + 1 && strlen(line) < 40 && !strchr(line, ' '))
		inspect_u64(in, line, value);
}

static u64 entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	u64 n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* a file of "Name: number kB" lines */
static void numbers_inspect(void *path, struct inspect *in)
{
	_cleanup_free_ u8 *data = NULL;
	char *rest = NULL;
	size_t len;

	if (file_read(path, PROC_FILE_MAX, &data, &len))
		return;
	for (char *line = strtok_r((char *)data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		line_inspect(line, in);
}

/* of the process whose id this points at */
static void process_inspect(void *object, struct inspect *in)
{
	int pid = (int)*(const pid_t *)object;
	char path[64];

	inspect_u64(in, "pid", (u64)pid);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	inspect_u64(in, "descriptors", entries(path));
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	inspect_u64(in, "threads", entries(path));
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	numbers_inspect(path, in);
}

static void proc_inspect(void *object, struct inspect *in)
{
	struct control *c = object;
	char meminfo[] = "/proc/meminfo";
	_cleanup_free_ u8 *uptime = NULL;
	size_t len;

	inspect_child(in, "meminfo", numbers_inspect, meminfo);
	if (!file_read("/proc/uptime", 256, &uptime, &len)) {
		uptime[strcspn((char *)uptime, " \n")] = 0;
		inspect_str(in, "uptime", (char *)uptime);
	}
	pid_t init = 1, control = getpid();

	inspect_child(in, "init", process_inspect, &init);
	inspect_child(in, "control", process_inspect, &control);
	if (c->worker.pid > 0)
		inspect_child(in, "worker", process_inspect, &c->worker.pid);
	pid_t tpm = tpm_process_pid(c->tpm);

	if (tpm)
		inspect_child(in, "tpm", process_inspect, &tpm);
}

/* which process is which, where OpenHCL's client looks for it (openhcl/diag_client/src/lib.rs, get_pid) */
static void host_inspect(void *name, struct inspect *in)
{
	inspect_str(in, "name", name);
}

static void hosts_inspect(void *object, struct inspect *in)
{
	struct control *c = object;
	char init[] = "init", control[] = "control", worker[] = "worker", tpm[] = "tpm";

	inspect_child_index(in, 1, host_inspect, init);
	inspect_child_index(in, (unsigned)getpid(), host_inspect, control);
	if (c->worker.pid > 0)
		inspect_child_index(in, (unsigned)c->worker.pid, host_inspect, worker);
	if (tpm_process_pid(c->tpm))
		inspect_child_index(in, (unsigned)tpm_process_pid(c->tpm), host_inspect, tpm);
}

static void mesh_inspect(void *object, struct inspect *in)
{
	inspect_child(in, "hosts", hosts_inspect, object);
}

/* ---- ours */
static void build_inspect(void *object, struct inspect *in)
{
	inspect_sensitivity(in, NODE_SAFE);
	inspect_str(in, "program", "paravane");
	inspect_str(in, "version", PARAVANE_VERSION);
	inspect_str(in, "commit", PARAVANE_COMMIT);
	inspect_str(in, "compiler", __VERSION__);
}

static void rpc_inspect(void *object, struct inspect *in)
{
	struct ttrpc_counts n;

	ttrpc_server_counts(((struct control *)object)->server, &n);
	inspect_u64(in, "clients", n.clients);
	inspect_count(in, "accepted", n.accepted);
	inspect_count(in, "requests", n.requests);
	inspect_count(in, "failed", n.failed);
	inspect_count(in, "timed_out", n.timed_out);
	inspect_count(in, "dropped_clients", n.dropped_clients);
	inspect_count(in, "refused_bytes", n.refused_bytes);
}

static void exec_inspect(void *object, struct inspect *in)
{
	struct exec_stats s;

	exec_get_stats(((struct control *)object)->exec, &s);
	inspect_count(in, "turns", s.turns);
	inspect_count(in, "ops", s.ops_done);
	inspect_count(in, "timers", s.timers_fired);
	inspect_count(in, "idle_waits", s.idle_waits);
}

static void trace_inspect(void *object, struct inspect *in)
{
	inspect_log(object, in);
	host_log_inspect(((struct control *)object)->host_log, in);
}

static void diag_inspect(void *object, struct inspect *in)
{
	struct control *c = object;

	inspect_count(in, "inspect", c->inspect_requests);
	inspect_count(in, "update", c->update_requests);
	inspect_count(in, "ping", c->ping_requests);
	inspect_count(in, "kmsg", c->kmsg_requests);
	inspect_count(in, "file", c->file_requests);
	inspect_count(in, "refused", c->refused_requests);
	inspect_bool(in, "restricted", c->restricted);
	inspect_u64(in, "files_open", c->files_open);
	if (c->server)
		inspect_child(in, "rpc", rpc_inspect, c);
	if (c->data)
		inspect_child(in, "data", data_inspect, c->data);
	inspect_child(in, "streams", streams_inspect, &c->streams);
	inspect_child(in, "processes", processes_inspect, &c->processes);
	inspect_child(in, "executor", exec_inspect, c);
}

static const char *state_name(enum control_state state)
{
	static const char *const names[] = {
		"starting", "asking_host", "waiting_for_start", "starting_vtl0", "running", "failed", "powered_off",
		"resetting", "crashed",
	};

	return names[state];
}

void tree_inspect(void *object, struct inspect *in)
{
	struct tree *t = object;
	struct control *c = t->control;

	inspect_str(in, "control_state", state_name(c->state));
	inspect_child(in, "build_info", build_inspect, c);
	inspect_child(in, "mesh", mesh_inspect, c);
	inspect_child(in, "boot", boot_inspect, &c->boot);
	inspect_child(in, "trace", trace_inspect, c);
	inspect_child(in, "proc", proc_inspect, c);
	if (c->get)
		inspect_child(in, "get", get_inspect, c->get);
	else
		embed_error(in, "get", c->get_missing ? c->get_missing : "not started");
	if (c->store)
		inspect_child(in, "vmgs", store_inspect, c->store);
	if (c->tpm)
		inspect_child(in, "tpm", tpm_process_inspect, c->tpm);
	inspect_child(in, "worker", child_inspect, &c->worker);
	inspect_child(in, "uhdiag", diag_inspect, c);
	vm_inspect(t, in);
}
