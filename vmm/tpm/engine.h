/*
 * A TPM 2.0: commands in, responses out, a memory that lasts. One a process, one thread; engine_libtpms.c has it from libtpms.
 * Commands and responses are the TPM's own (TPM 2.0 Library, part 3), big endian; the engine checks them.
 *
 * Standard error must lead nowhere: when it enters failure mode, libtpms writes the command there, authorisation values and all.
 */
#pragma once

#include "lib/core/bytes.h"
#include "lib/state/state.h"

#define TPM_COMMAND_MAX 4096u /* and of a response: what the CRB's buffers hold */
#define TPM_STATE_MAX (1u << 20)

struct tpm_engine_store {
	/* malloc()ed, then the engine's; -ENOENT: there never was one, a TPM is made. Other -errno: it does not start. */
	int (*load)(void *context, u8 **ret_data, size_t *ret_len);
	/*
	 * 0: it lasts from now on. Else the TPM says TPM_RC_FAILURE to this command and all that follow: what it cannot
	 * remember it must not have done.
	 */
	int (*store)(void *context, const void *data, size_t len);
	void *context;
};

/*
 * The store is the caller's until tpm_engine_stop(). volatile_state: what tpm_engine_save() put, or nothing: then the TPM was
 * switched off, and wants TPM2_Startup. -EALREADY, -EBADMSG (a state that is none of a TPM's), -EIO (load failed), -EPROTO.
 */
int tpm_engine_start(const struct tpm_engine_store *store, struct bytes volatile_state) __must_check;
/* 0 and a response, also one that says no; -EMSGSIZE: longer than TPM_COMMAND_MAX. -EIO: no response can be had. */
int tpm_engine_command(struct bytes command, unsigned locality, u8 response[TPM_COMMAND_MAX], size_t *ret_len) __must_check;
/* in a signal handler, while tpm_engine_command() runs: it answers TPM_RC_CANCELED if it was making a key, else goes on */
void tpm_engine_cancel(void);
/* what a TPM loses when it is switched off, to go on later as if it was not */
void tpm_engine_save(struct saver *s);
/* wiped as far as the engine wipes; may be started again */
void tpm_engine_stop(void);
