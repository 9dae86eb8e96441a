/*
 * The methods of the diagnostics services (facts B6; openhcl/diag_proto/src/diag.proto, support/inspect_proto). Each is a handler
 * as lib/rpc/server.h has it, with a struct control as context, on its executor.
 */
#pragma once

#include "diag/server/control.h"

/* true: the production policy forbids it, and the call was answered so */
bool service_restricted(struct control *c, struct ttrpc_call *call, const char *method);

/* ---- inspect_service.c */
void inspect_service_inspect(void *control, struct ttrpc_call *call, struct bytes payload);
void inspect_service_update(void *control, struct ttrpc_call *call, struct bytes payload);

/* ---- file_service.c */
void file_service_kmsg(void *control, struct ttrpc_call *call, struct bytes payload);
void file_service_read(void *control, struct ttrpc_call *call, struct bytes payload);

/* ---- vm_service.c */
void vm_service_start(void *control, struct ttrpc_call *call, struct bytes payload);
void vm_service_restart(void *control, struct ttrpc_call *call, struct bytes payload);
void vm_service_pause(void *control, struct ttrpc_call *call, struct bytes payload);
void vm_service_resume(void *control, struct ttrpc_call *call, struct bytes payload);
void vm_service_save(void *control, struct ttrpc_call *call, struct bytes payload);
void vm_service_capture(void *control, struct ttrpc_call *call, struct bytes payload);
