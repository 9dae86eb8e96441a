/*
 * The TPM as its process has it (main.c): the device that a device_server plays, and the life of the engine behind it. One
 * thread. What the worker must know of it is in vmm/device_worker/tpm.h.
 */
#pragma once

#include <signal.h>

#include "vmm/device_worker/server.h"
#include "vmm/device_worker/tpm.h"
#include "vmm/tpm/crb.h"
#include "vmm/tpm/engine.h"
#include "vmm/tpm/measure.h"
#include "vmm/tpm/ppi.h"

#define TPM_EXIT_OVERDUE 70 /* a command neither ended nor heard that it was cancelled */

struct tpm_device {
	struct device_server *server;
	int parent;             /* DEVICE_FD_PARENT: who keeps its state (vmm/device_worker/keep.h) */
	struct crb crb;
	struct ppi ppi;
	struct measure measure; /* until the guest has the TPM */
	struct tpm_place place;
	u8 shown[TPM_CRB_LEN];  /* of the registers, in the guest's RAM */
	u32 port_command;
	bool measured;          /* what VTL0 is made of: nothing is measured any more, the guest has the TPM */
	sigset_t message_signal;
	/* life.c */
	u32 starts;             /* how often a process of this TPM was started before, in this life of the machine */
	bool made;              /* a new TPM was made at this start */
	bool platform_on;       /* while the firmware itself gives commands */
	u64 stores, store_failures;
	/* counters */
	u64 commands, failed_commands, overdue, memory_failures, bad_accesses;
	u32 last_code;
	u8 command[TPM_COMMAND_MAX], response[TPM_COMMAND_MAX];
};

extern const struct device_server_ops tpm_device_ops;

/* before the sandbox: a command that runs is cancelled when such a message comes on events_fd. -errno. */
int tpm_device_signals(struct tpm_device *d, int events_fd) __must_check;

/* ---- life.c */
/*
 * From what the parent has kept to a TPM that answers: a new one is made where there was none (keys, certificates), the guest's
 * physical presence request is done. When a process of this TPM died in this life of the machine, the PCRs are spoilt: they were
 * lost with it, and nothing that is sealed to them may be had again before the machine's next start. -errno, said.
 */
int tpm_life_start(struct tpm_device *d) __must_check;
/* as if the machine had been reset; a TPM that does not come up again answers nothing but failure */
void tpm_life_restart(struct tpm_device *d);
/* the guest has the TPM from now on: the platform's authorisation goes. A TPM response code or -errno. */
int tpm_life_hand_over(struct tpm_device *d) __must_check;
int tpm_life_keep_ppi(struct tpm_device *d) __must_check;
void tpm_life_inspect(struct tpm_device *d, struct inspect *in);
