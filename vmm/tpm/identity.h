/*
 * What a TPM's maker gives it: endorsement keys, certificates for them, an authority that signed those; and which PCR banks it
 * has. There is no maker here who could be asked, so each TPM has an authority of its own, whose private key is forgotten when
 * the certificates are made: a certificate proves that a key was in this TPM when it was made, and whoever wants to know that
 * this TPM is a Paravane's has to remember the authority's certificate from then.
 *
 *   RSA 2048   key 0x81010001   certificate 0x01c00002    template L-1: what Windows and every tool looks for
 *   ECC P-256  key 0x8101000a   certificate 0x01c0000a    template L-2: what tpm2_createek -G ecc makes. P-384 (swtpm's second)
 *                                                         would be a third key; whoever wants one makes it, without certificate
 *   authority                   certificate 0x01c00100
 *
 * How a start goes, with the TPM started (TPM2_Startup) and nobody else at it:
 *
 *   identity_is_there(): yes: done. No: identity_banks(); where it says so, the engine is stopped and started;
 *   identity_manufacture(). Power may go at any time: the next start does what is missing.
 *
 * Errors: -errno, said in the log; -EREMOTEIO is a no of the TPM, whose response code is in the log.
 */
#pragma once

#include "vmm/tpm/commands.h"

struct identity_config {
	const char *authority; /* its name's beginning, at most 47 bytes; 17 more tell one from the other */
	const char *model;     /* of the TPM */
};

/* all certificates are there, and locked: nothing is missing that manufacture makes first. Costs three commands */
int identity_is_there(bool *ret) __must_check;
/*
 * SHA-256 and SHA-384 on, all others off. *ret_restart: it will be so from the engine's next start on. Only before
 * manufacture: later it is the guest's choice (vmm/tpm/ppi.h).
 */
int identity_banks(bool *ret_restart) __must_check;
/*
 * Makes everything, whatever is there. Keys come from the TPM's endorsement seed: a second time they are the same. A key that is
 * at an endorsement key's handle and is another is replaced: only what was made from that seed just now gets a certificate.
 * Leaves no transient object. Takes one RSA key's making, seconds on slow machines.
 */
int identity_manufacture(const struct identity_config *config) __must_check;
/* puts keys back to their handles that are not there: Clear, or the owner, removes them. Then as long as manufacture */
int identity_restore_keys(void) __must_check;
