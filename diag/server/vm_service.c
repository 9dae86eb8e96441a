/* diag.UnderhillDiag: what is done to VTL0 and its worker */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag/server/exec_request.h"
#include "diag/server/service.h"

#define COMMAND_TIMEOUT_NS 10000000000ull
#define SAVED_STATE_DATA 1    /* DumpSavedStateResponse */
#define CAPTURE_OPERATION 3   /* NetworkPacketCaptureRequest */
enum { CAPTURE_QUERY, CAPTURE_START, CAPTURE_STOP };

/* a question to the worker on a client's behalf */
struct command {
	struct control *control;
	struct ttrpc_call *call;
	struct link_query query;
	const char *name;
};

static const char *reason(int error)
{
	switch (error) {
	case -EPIPE: return "no worker runs";
	case -ETIMEDOUT: return "the worker does not answer";
	case -EAGAIN: return "VTL0 does not run";
	case -EBUSY: return "another pause, resume or save is under way";
	case -EALREADY: return "it is so already";
	case -ETIME: return "a disk does not answer what it was asked before";
	case -ENOTRECOVERABLE: return "its state could only half be put back: reset it";
	}
	return strerror(-error);
}

static void answered(struct link_query *q, int error, struct bytes body)
{
	struct command *m = container_of(q, struct command, query);
	struct pb_writer w;

	pb_init(&w);
	if (!error && q->op == LINK_SAVE)
		pb_bytes(&w, SAVED_STATE_DATA, body.at, body.left);
	if (error)
		ttrpc_fail(m->call, TTRPC_FAILED_PRECONDITION, "%s: %s", m->name, reason(error));
	else if (w.failed)
		ttrpc_fail(m->call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
	else
		ttrpc_reply(m->call, w.data, w.len);
	pb_fini(&w);
	free(m);
}

static void ask(struct control *c, struct ttrpc_call *call, enum link_op op, const char *name)
{
	struct command *m = calloc(1, sizeof(*m));

	if (!m || link_query_set(&m->query, op, "", 0, NULL)) {
		free(m);
		ttrpc_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	m->control = c;
	m->call = call;
	m->name = name;
	m->query.done = answered;
	link_ask(c->worker.link, &m->query, ttrpc_call_time_left(call, COMMAND_TIMEOUT_NS));
}

void vm_service_pause(void *context, struct ttrpc_call *call, struct bytes payload)
{
	if (!service_restricted(context, call, "Pause"))
		ask(context, call, LINK_PAUSE, "pause");
}

void vm_service_resume(void *context, struct ttrpc_call *call, struct bytes payload)
{
	if (!service_restricted(context, call, "Resume"))
		ask(context, call, LINK_RESUME, "resume");
}

void vm_service_save(void *context, struct ttrpc_call *call, struct bytes payload)
{
	if (!service_restricted(context, call, "DumpSavedState"))
		ask(context, call, LINK_SAVE, "saving state");
}

/*
 * A worker takes a VTL0 that has run over from saved state only, which VMBus channels have not got yet: what would go on is
 * not the guest that was there.
 */
void vm_service_restart(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;

	if (service_restricted(c, call, "Restart"))
		return;
	if (c->vtl0_started_ns || c->state == CONTROL_WAITING || c->state < CONTROL_WAITING) {
		ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "%s", c->vtl0_started_ns ?
			   "VTL0 has run: a new worker could take it over only from saved state, which VMBus channels have not "
			   "got yet; reset the machine instead" : "no worker was started yet");
		return;
	}
	/* without VTL0's memory there is nothing that a worker could run */
	int r = c->fds.vtl > 0 ? control_start_worker(c) : -ENODEV;

	if (r)
		ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "%s", r == -EBUSY ? "a worker runs and is about to start VTL0" :
			   strerror(-r));
	else
		ttrpc_reply(call, NULL, 0);
}

/* ---- Start */
static int set_environment(struct bytes payload)
{
	struct exec_request q;
	int r = start_request_decode(payload, &q);

	if (r)
		return r;
	for (unsigned i = 0; i < q.env_count; i++)
		if (q.env[i].value)
			setenv(q.env[i].name, q.env[i].value, 1);
		else
			unsetenv(q.env[i].name);
	exec_request_fini(&q);
	return 0;
}

void vm_service_start(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;

	if (service_restricted(c, call, "Start"))
		return;
	if (c->state != CONTROL_WAITING) {
		ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "%s", c->state < CONTROL_WAITING ? "the firmware is still starting" :
			   "VTL0 was started already: it waits only with PARAVANE_WAIT_FOR_START=1");
		return;
	}
	int r = set_environment(payload);

	if (r)
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "%s", r == -ENOTSUP ? "this worker takes no arguments" :
			   r == -ENOMEM ? "out of memory" : "malformed request");
	else if (!(r = control_start_vtl0(c)))
		ttrpc_reply(call, NULL, 0);
	else
		ttrpc_fail(call, TTRPC_INTERNAL, "VTL0 cannot be started: %s; see the firmware's log", strerror(-r));
}

/* the seam for a network device: until there is one, there are no streams to capture */
void vm_service_capture(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct pb_field f;
	u64 operation = CAPTURE_QUERY;
	bool bad = false;

	if (service_restricted(context, call, "PacketCapture"))
		return;
	while (pb_next(&payload, &f, &bad))
		if (f.number == CAPTURE_OPERATION && f.wire == PB_VARINT)
			operation = f.value;
	if (bad)
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "malformed request");
	else if (operation == CAPTURE_START)
		ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "this VM has no network device to capture from");
	else if (operation > CAPTURE_STOP)
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "unsupported operation %llu", (unsigned long long)operation);
	else
		ttrpc_reply(call, NULL, 0); /* num_streams 0, which proto3 leaves out */
}
