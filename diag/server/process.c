#include "diag/server/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag/server/launch.h"
#include "diag/server/relay.h"
#include "lib/log/log.h"

LOG_DOMAIN("process");

/* openhcl/diag_proto/src/diag.proto */
enum { WAIT_REQUEST_PID = 1, EXEC_RESPONSE_PID = 1, WAIT_RESPONSE_EXIT_CODE = 1 };

struct process {
	struct processes *owner;
	struct list_node link;
	pid_t pid;
	int pid_fd, status;
	bool exited, forgotten;       /* forgotten: its status was told, or nobody may ask any more */
	struct op exit_op;
	struct relay relays[EXEC_FILES];
	int raw[EXEC_FILES];          /* sockets the program itself writes; -1: none */
	struct ttrpc_call *waiter;
	u64 started_ns;
	char command[64];
};

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the end of a process */
static void maybe_free(struct process *p)
{
	for (unsigned i = 0; i < EXEC_FILES; i++)
		if (relay_alive(&p->relays[i]))
			return;
	if (p->exited && p->forgotten)
		free(p);
}

static void relay_ended(struct relay *r)
{
	maybe_free(r->context);
}

static void forget(struct process *p)
{
	list_remove(&p->link);
	p->owner->ended_count--;
	p->forgotten = true;
	maybe_free(p);
}

static void answer_waiter(struct ttrpc_call *call, int status)
{
	struct pb_writer w;

	pb_init(&w);
	/* int32: what is not negative is a plain varint; zero is the default and left out, as proto3 has it */
	if (exit_code(status))
		pb_u64(&w, WAIT_RESPONSE_EXIT_CODE, (u64)exit_code(status));
	if (w.failed)
		ttrpc_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		ttrpc_reply(call, w.data, w.len);
	pb_fini(&w);
}

/* what the program wrote itself has to reach the client before the socket goes; what is typed for it has nowhere to go */
static void end_files(struct process *p)
{
	if (relay_alive(&p->relays[EXEC_STDIN]))
		relay_stop(&p->relays[EXEC_STDIN]);
	for (unsigned i = EXEC_STDOUT; i < EXEC_FILES; i++) {
		if (p->raw[i] >= 0)
			relay_linger(&p->relays[i], p->raw[i]);
		p->raw[i] = -1;
	}
}

static void on_exit_ready(struct op *op, int result)
{
	struct process *p = container_of(op, struct process, exit_op);
	struct processes *owner = p->owner;

	if (result < 0 || waitpid(p->pid, &p->status, 0) != p->pid)
		log_err(result < 0 ? result : -errno, "waiting for process %d", (int)p->pid);
	log_at(LOG_INFO, "process %d (%s) ended with %d", (int)p->pid, p->command, exit_code(p->status));
	close(p->pid_fd);
	p->exited = true;
	list_remove(&p->link);
	owner->running_count--;
	owner->reaped++;
	list_push(&owner->ended, &p->link);
	owner->ended_count++;
	end_files(p);
	if (p->waiter) {
		answer_waiter(p->waiter, p->status);
		forget(p);
	} else if (owner->ended_count > PROCESSES_MAX) {
		owner->dropped++;
		forget(container_of(owner->ended.next, struct process, link));
	}
}

/* ---- the start of a process */
static struct process *process_create(struct processes *owner, const struct exec_request *q)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->owner = owner;
	p->exit_op.done = on_exit_ready;
	p->started_ns = exec_now_ns(owner->exec);
	snprintf(p->command, sizeof(p->command), "%s", q->argv[0]);
	for (unsigned i = 0; i < EXEC_FILES; i++) {
		p->raw[i] = -1;
		p->relays[i] = (struct relay){ .exec = owner->exec, .ended = relay_ended, .context = p, .from = -1, .to = -1 };
	}
	return p;
}

static void start_relays(struct process *p, struct launch *l)
{
	for (unsigned i = 0; i < EXEC_FILES; i++) {
		if (l->relay[i].from >= 0)
			relay_start(&p->relays[i], l->relay[i].from, l->relay[i].to);
		l->relay[i].from = l->relay[i].to = -1;
		p->raw[i] = l->raw[i];
		/* kept, also when two of the program's files are it */
		for (unsigned k = 0; l->raw[i] >= 0 && k < EXEC_FILES; k++)
			if (l->child[k] == l->raw[i])
				l->child[k] = -1;
		l->raw[i] = -1;
	}
}

static int start(struct process *p, const struct exec_request *q, struct launch *l)
{
	p->pid = launch_start(q, l);
	if (p->pid < 0)
		return (int)p->pid;
	p->pid_fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pid_fd >= 0)
		return 0;
	int r = -errno;

	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	return r;
}

static void answer_pid(struct ttrpc_call *call, pid_t pid)
{
	struct pb_writer w;

	pb_init(&w);
	pb_u64(&w, EXEC_RESPONSE_PID, (u64)pid);
	if (w.failed)
		ttrpc_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		ttrpc_reply(call, w.data, w.len);
	pb_fini(&w);
}

static void run(struct processes *owner, struct ttrpc_call *call, const struct exec_request *q)
{
	struct process *p = process_create(owner, q);
	const char *what = "memory";
	struct launch l;
	int r = p ? launch_prepare(q, owner->data, &l, &what) : -ENOMEM;

	if (!r) {
		what = q->argv[0];
		r = start(p, q, &l);
		if (!r)
			start_relays(p, &l);
		launch_fini(&l);
	}
	if (r) {
		owner->failed++;
		free(p);
		ttrpc_fail(call, r == -ENOENT ? TTRPC_NOT_FOUND : TTRPC_UNKNOWN, "%s: %s", what, strerror(-r));
		return;
	}
	log_at(LOG_INFO, "process %d runs %s%s", (int)p->pid, p->command, q->tty ? " on a terminal" : "");
	owner->started++;
	owner->running_count++;
	list_push(&owner->running, &p->link);
	op_poll(owner->exec, &p->exit_op, p->pid_fd, POLLIN);
	answer_pid(call, p->pid);
}

void processes_exec(struct processes *owner, struct ttrpc_call *call, struct bytes payload)
{
	struct exec_request q;
	int r = owner->running_count < PROCESSES_MAX ? exec_request_decode(payload, &q) : -EBUSY;

	if (!r) {
		run(owner, call, &q);
		exec_request_fini(&q);
		return;
	}
	owner->failed++;
	if (r == -EBUSY)
		ttrpc_fail(call, TTRPC_RESOURCE_EXHAUSTED, "%u processes run already: end one of them", PROCESSES_MAX);
	else
		ttrpc_fail(call, r == -ENOMEM ? TTRPC_RESOURCE_EXHAUSTED : TTRPC_INVALID_ARGUMENT, "Exec: %s",
			   r == -EPROTO ? "malformed request" : r == -E2BIG ? "too many arguments or variables" :
			   r == -EINVAL ? "no command, or a string with a NUL or a variable without a name" : strerror(-r));
}

/* ---- Wait */
static struct process *find(struct list_node *list, u64 pid)
{
	list_for_each(pos, list) {
		struct process *p = container_of(pos, struct process, link);

		if ((u64)p->pid == pid)
			return p;
	}
	return NULL;
}

void processes_wait(struct processes *owner, struct ttrpc_call *call, struct bytes payload)
{
	struct pb_field f;
	bool bad = false;
	u64 pid = 0;

	while (pb_next(&payload, &f, &bad))
		if (f.number == WAIT_REQUEST_PID && f.wire == PB_VARINT)
			pid = f.value;
	struct process *p = bad ? NULL : find(&owner->ended, pid);

	if (p) {
		answer_waiter(call, p->status);
		forget(p);
		return;
	}
	p = bad ? NULL : find(&owner->running, pid);
	if (bad)
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "malformed request");
	else if (!p)
		ttrpc_fail(call, TTRPC_NOT_FOUND, "pid not found: it was not started by Exec, or was waited for");
	else if (p->waiter)
		ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "process %d is waited for already", (int)p->pid);
	else
		p->waiter = call;
}

/* ---- */
static void process_inspect(void *object, struct inspect *in)
{
	struct process *p = object;
	static const char *const names[] = { "stdin_bytes", "stdout_bytes", "stderr_bytes" };

	inspect_str(in, "command", p->command);
	inspect_u64(in, "seconds", (exec_now_ns(p->owner->exec) - p->started_ns) / 1000000000u);
	inspect_bool(in, "waited_for", p->waiter);
	if (p->exited)
		inspect_u64(in, "exit_code", (u64)exit_code(p->status));
	for (unsigned i = 0; i < EXEC_FILES; i++)
		inspect_count(in, names[i], p->relays[i].bytes);
}

static void list_inspect(void *list, struct inspect *in)
{
	list_for_each(pos, (struct list_node *)list) {
		struct process *p = container_of(pos, struct process, link);

		inspect_child_index(in, (unsigned)p->pid, process_inspect, p);
	}
}

void processes_inspect(void *object, struct inspect *in)
{
	struct processes *owner = object;

	inspect_count(in, "started", owner->started);
	inspect_count(in, "failed", owner->failed);
	inspect_count(in, "reaped", owner->reaped);
	inspect_count(in, "dropped", owner->dropped);
	inspect_child(in, "running", list_inspect, &owner->running);
	inspect_child(in, "ended", list_inspect, &owner->ended);
}

void processes_init(struct processes *owner, struct exec *exec, struct data_port *data)
{
	*owner = (struct processes){ .exec = exec, .data = data };
	list_init(&owner->running);
	list_init(&owner->ended);
}
