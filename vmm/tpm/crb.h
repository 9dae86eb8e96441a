/* The registers of a TPM's command response buffer (spec/tpm_crb.h). Pure: what a write asks for is told, not done. */
#pragma once

#include "lib/state/state.h"
#include "spec/tpm_crb.h"

struct crb {
	bool assigned;          /* somebody has locality 0 */
	u32 status, cancel, start;
	u64 command, response;  /* GPAs; 0: nobody said where */
	u32 command_size, response_size;
	u64 ignored;            /* writes that mean nothing, or not now */
};

enum crb_action { CRB_NOTHING, CRB_EXECUTE, CRB_CANCEL };

/*
 * Ready at once, as firmware expects that writes to no CTRL_REQ (mu_msvm Tpm2DeviceLib.c). Buffers stay unknown.
 */
void crb_init(struct crb *c);
void crb_set_buffers(struct crb *c, u64 command, u32 command_size, u64 response, u32 response_size);
/* offset a multiple of 4; a register that is not there is ignored. CRB_EXECUTE: call crb_done() when it is over. */
enum crb_action crb_write(struct crb *c, u32 offset, u32 value) __must_check;
/* failed: the buffers could not be reached */
void crb_done(struct crb *c, bool failed);
/* 1 to 8 bytes from anywhere below TPM_CRB_LEN; all ones: not there */
u64 crb_read(const struct crb *c, u32 offset, unsigned size);
/* all of it as the guest sees it */
void crb_image(const struct crb *c, u8 image[TPM_CRB_LEN]);
void crb_save(const struct crb *c, struct saver *s);
/* -EPROTO: then c is as it was */
int crb_restore(struct crb *c, struct bytes *b) __must_check;
