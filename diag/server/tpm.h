/*
 * The TPM's process as control's child: started when the host's settings give the guest a TPM, its state kept in the guest state,
 * and its ends handed to the worker (vmm/worker/tpm.h) when it is ready. Belongs to control's executor.
 *
 * Control is its parent, not the worker: whoever starts a process could look into it before it closes its sandbox.
 */
#pragma once

#include "vmm/device_worker/process.h"
#include "vmm/vmgs/keeper.h"

#define TPM_PROGRAM "/bin/paravane-tpm"
#define TPM_PACKED TPM_PROGRAM ".gz"

/* unpack.c: a program out of a gzip file, which is removed. Nothing to unpack is no error: it was done before. -errno, said. */
int unpack_program(const char *packed, const char *program) __must_check;

struct tpm_process;

struct tpm_process_config {
	struct exec *exec;
	struct store *store;   /* NULL: its state ends with this machine */
	const char *program;   /* TPM_PROGRAM, but for tests */
};

/* -errno, said; then there is none. *ret_worker_fd is the worker's LINK_FD_DEVICES, the caller's. */
int tpm_process_start(const struct tpm_process_config *config, struct tpm_process **ret, int *ret_worker_fd) __must_check;
/* for tests: killed for good. When it is over (turns of the executor, the end of the worker's socket) destroy it. */
void tpm_process_end(struct tpm_process *t);
/* likewise, but it ends by itself, when it likes */
void tpm_process_stay_dead(struct tpm_process *t);
bool tpm_process_over(const struct tpm_process *t);
void tpm_process_destroy(struct tpm_process *t);
/* 0: does not run */
pid_t tpm_process_pid(const struct tpm_process *t);
void tpm_process_inspect(void *tpm, struct inspect *in);
