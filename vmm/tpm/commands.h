/*
 * Commands that the firmware itself gives the engine, before the guest runs: locality 0, empty passwords. Part 3 of the TPM 2.0
 * library says what each one does.
 *
 * What they return: 0; the TPM's response code, which is positive (its numbers in spec/tpm.h); -EIO, no response; -EPROTO, a
 * response that is none; -EMSGSIZE, a command too long. ret_ parameters are written with 0 only. Not thread safe, as the engine.
 */
#pragma once

#include "spec/tpm.h"
#include "vmm/tpm/engine.h"

/* a response code without the number of the handle, parameter or session that it complains about */
static inline u32 tpm_rc_base(int rc)
{
	return (u32)rc & TPM_RC_FMT1 ? (u32)rc & TPM_RC_FMT1_CODE : (u32)rc;
}

int tpm_startup_clear(void) __must_check;
/* TPM_PT_*; -ENOENT: the TPM has no such property */
int tpm_property(u32 property, u32 *ret) __must_check;
int tpm_random(void *to, size_t len) __must_check; /* at most 32 bytes */

/* ---- PCRs. Banks are TPM_BANK_* bits; in tables they are numbered from 0 in this order. */
struct tpm_bank {
	const char *name;
	u16 algorithm;
	u16 digest_len;
};
extern const struct tpm_bank tpm_banks[TPM_BANK_COUNT];

/* one digest for each bank in banks; the others' places are not looked at */
struct tpm_digests {
	u32 banks;
	u8 digest[TPM_BANK_COUNT][TPM_DIGEST_MAX];
};

/* which banks have PCRs, and which could; banks that have no TPM_BANK_ bit are in neither */
int tpm_pcr_banks(u32 *ret_active, u32 *ret_supported) __must_check;
int tpm_pcr_extend(u32 pcr, const struct tpm_digests *digests) __must_check;
/* of one bank (its bit); digest_len bytes of it; -ENOENT: this bank does not have this PCR */
int tpm_pcr_read(u32 bank, u32 pcr, u8 ret_value[TPM_DIGEST_MAX]) __must_check;
/*
 * With platform authorisation: all PCRs in the banks of active, none in the rest of supported. It is so from the engine's next
 * start on. -ENOSPC: the TPM says that it has no room for so many.
 */
int tpm_pcr_allocate(u32 active, u32 supported) __must_check;

/* ---- hierarchies */
/* Clear with platform authorisation, also where the owner forbade it (ClearControl): keys of owner and endorsement go */
int tpm_clear(void) __must_check;
/*
 * How many wrong words a TPM takes, after how long it forgets one, and how long lockout's own word is refused after a wrong one,
 * in seconds. With lockout's empty word: only where nobody can have set another.
 */
int tpm_lockout_parameters(u32 tries, u32 recovery_s, u32 lockout_recovery_s) __must_check;
/* from here to the next start nobody has platform authorisation; NV indices of the platform stay readable */
int tpm_platform_off(void) __must_check;

/* ---- objects */
/* a TPMT_PUBLIC as on the wire: a template, or a key */
struct tpm_public {
	size_t len;
	u8 bytes[512];
};

/* the key is transient: *ret_handle is the caller's, who gives it to tpm_flush() */
int tpm_create_primary(u32 hierarchy, const struct tpm_public *template, u32 *ret_handle,
		       struct tpm_public *ret_public) __must_check;
int tpm_read_public(u32 handle, struct tpm_public *ret) __must_check;
/* object transient: it gets the persistent handle; object persistent, and the same: it goes */
int tpm_evict_control(u32 hierarchy, u32 object, u32 persistent) __must_check;
int tpm_flush(u32 handle) __must_check;
/* the first handle that exists from this one on, of its kind (TPM_HT_*, persistent, NV); 0: none */
int tpm_next_handle(u32 from, u32 *ret_handle) __must_check;
int tpm_handle_exists(u32 handle, bool *ret) __must_check;

/* ---- NV indices, with platform authorisation, names by SHA-256, empty authorisation and policy */
struct tpm_nv {
	u32 index;
	u32 attributes; /* TPMA_NV_* */
	u16 size;
};

int tpm_nv_define(const struct tpm_nv *nv) __must_check;
int tpm_nv_undefine(u32 index) __must_check;
/* from offset 0, in as many commands as it takes */
int tpm_nv_write(u32 index, struct bytes data) __must_check;
int tpm_nv_write_lock(u32 index) __must_check;
/* len bytes from offset 0 */
int tpm_nv_read(u32 index, void *to, size_t len) __must_check;
/* -ENOENT: there is no such index */
int tpm_nv_read_public(u32 index, struct tpm_nv *ret) __must_check;
