/*
 * Programs started in VTL2 for a diagnostics client: diag.UnderhillDiag's Exec and Wait (facts B6). Their standard files are data
 * connections, behind a terminal, behind pipes, or given to the program itself. Belongs to one executor.
 */
#pragma once

#include "diag/server/data.h"
#include "lib/rpc/server.h"

#define PROCESSES_MAX 16      /* that run, and as many that have ended and were not waited for */

struct processes {
	struct exec *exec;
	struct data_port *data;
	struct list_node running, ended;
	unsigned running_count, ended_count;
	u64 started, failed, reaped, dropped;
};

void processes_init(struct processes *processes, struct exec *exec, struct data_port *data);
/* ExecRequest: the call is answered with ExecResponse {pid 1}, or fails with what could not be done */
void processes_exec(struct processes *processes, struct ttrpc_call *call, struct bytes payload);
/*
 * WaitRequest: answered when the process ends, with WaitResponse {exit_code 1}; 128 + its number for a signal, as shells have it
 */
void processes_wait(struct processes *processes, struct ttrpc_call *call, struct bytes payload);
void processes_inspect(void *processes, struct inspect *in);
