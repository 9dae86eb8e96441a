/* Which method is whose. */
#include "diag/server/crash_service.h"
#include "diag/server/service.h"

bool service_restricted(struct control *c, struct ttrpc_call *call, const char *method)
{
	if (!c->restricted)
		return false;
	c->refused_requests++;
	ttrpc_fail(call, TTRPC_PERMISSION_DENIED, "%s is disabled here (PARAVANE_DIAGNOSTICS=restricted)", method);
	return true;
}

static void on_ping(void *context, struct ttrpc_call *call, struct bytes payload)
{
	((struct control *)context)->ping_requests++;
	ttrpc_reply(call, NULL, 0);
}

static void on_exec(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;

	if (!service_restricted(c, call, "Exec"))
		processes_exec(&c->processes, call, payload);
}

static void on_wait(void *context, struct ttrpc_call *call, struct bytes payload)
{
	processes_wait(&((struct control *)context)->processes, call, payload);
}

static void on_memory_profile(void *context, struct ttrpc_call *call, struct bytes payload)
{
	ttrpc_fail(call, TTRPC_UNIMPLEMENTED, "this firmware has no memory profiler; inspect proc shows each process's memory");
}

const struct ttrpc_method control_methods[] = {
	{ "diag.OpenhclDiag", "Ping", on_ping },
	{ "diag.OpenhclDiag", "MemoryProfileTrace", on_memory_profile },
	{ "diag.UnderhillDiag", "Exec", on_exec },
	{ "diag.UnderhillDiag", "Wait", on_wait },
	{ "diag.UnderhillDiag", "Start", vm_service_start },
	{ "diag.UnderhillDiag", "Crash", on_crash },
	{ "diag.UnderhillDiag", "Restart", vm_service_restart },
	{ "diag.UnderhillDiag", "Pause", vm_service_pause },
	{ "diag.UnderhillDiag", "Resume", vm_service_resume },
	{ "diag.UnderhillDiag", "DumpSavedState", vm_service_save },
	{ "diag.UnderhillDiag", "PacketCapture", vm_service_capture },
	{ "diag.UnderhillDiag", "Kmsg", file_service_kmsg },
	{ "diag.UnderhillDiag", "ReadFile", file_service_read },
	{ "inspect.InspectService", "Inspect", inspect_service_inspect },
	{ "inspect.InspectService", "Update", inspect_service_update },
};
const unsigned control_method_count = ARRAY_SIZE(control_methods);
