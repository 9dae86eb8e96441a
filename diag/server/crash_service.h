/* diag.UnderhillDiag.Crash: a process of the firmware dies as if it had gone wrong, to see what comes of it. */
#pragma once

#include "lib/core/bytes.h"
#include "lib/rpc/server.h"

/* CrashRequest {pid 1}: SIGSEGV for the control process or the worker; others are refused. context: struct control. */
void on_crash(void *context, struct ttrpc_call *call, struct bytes payload);
