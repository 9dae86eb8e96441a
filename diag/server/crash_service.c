#include "diag/server/crash_service.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "diag/server/service.h"
#include "lib/log/log.h"

LOG_DOMAIN("diag");

#define ANSWER_NS 50000000ull /* for the answer to leave, before the process that gives it dies of what was asked */

static void crash_self(struct timer *timer)
{
	kill(getpid(), SIGSEGV);
}

static void crash_self_soon(struct control *c)
{
	static struct timer timer = { .fire = crash_self };

	timer_arm(c->exec, &timer, exec_now_ns(c->exec) + ANSWER_NS);
}

void on_crash(void *context, struct ttrpc_call *call, struct bytes payload)
{
	struct control *c = context;
	struct pb_field f;
	bool bad = false;
	pid_t pid = 0;

	if (service_restricted(c, call, "Crash"))
		return;
	while (pb_next(&payload, &f, &bad))
		if (f.number == 1 && f.wire == PB_VARINT)
			pid = (pid_t)f.value;
	if (bad) {
		ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "malformed request");
	} else if (pid <= 0 || (pid != c->worker.pid && pid != getpid() && pid != tpm_process_pid(c->tpm))) {
		ttrpc_fail(call, TTRPC_NOT_FOUND, "%d is neither the control process (%d) nor the worker (%d) nor the TPM's (%d)",
			   (int)pid, (int)getpid(), (int)c->worker.pid, (int)tpm_process_pid(c->tpm));
	} else {
		log_at(LOG_NOTICE, "process %d is made to crash, as diagnostics asked", (int)pid);
		if (pid == getpid())
			crash_self_soon(c);
		else if (kill(pid, SIGSEGV)) {
			ttrpc_fail(call, TTRPC_UNKNOWN, "signalling %d: %s", (int)pid, strerror(errno));
			return;
		}
		ttrpc_reply(call, NULL, 0);
	}
}
