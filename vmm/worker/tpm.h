/*
 * The guest's TPM as the worker sees it: a proxy, whose process belongs to control (diag/server/tpm.h) and whose memory nobody
 * here can read. Before VTL0's first instruction it gets what VTL0 is made of, to measure it.
 */
#pragma once

#include "vmm/worker/worker.h"

struct tpm;

/*
 * fd: LINK_FD_DEVICES, taken over. *ret is NULL without one: the guest has no TPM. Makes VTL0 wait for it. With the bus, before
 * VPs run. -errno, said.
 */
int tpm_create(struct worker *w, int fd, struct tpm **ret) __must_check;
/* main's executor begins to listen for the process; NULL is fine */
void tpm_begin(struct tpm *tpm);
void tpm_inspect(void *tpm, struct inspect *in);
