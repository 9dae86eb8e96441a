/*
 * X.509 certificates for endorsement keys (EK Credential Profile 2.5, 3.2; RFC 5280), and the authority that signs them: a key on
 * P-256, made for one TPM and forgotten with authority_forget(). DER is written here, not by libcrypto's X.509: it is little, and
 * takes no clock, no locale and no tables of names.
 */
#pragma once

#include "lib/core/bytes.h"
#include "vmm/tpm/commands.h"

#define CERTIFICATE_MAX 2048u
#define AUTHORITY_ID_SIZE 20u
#define AUTHORITY_POINT_SIZE 65u
#define AUTHORITY_NAME_MAX 64u /* X.520, ub-common-name */

struct certificate {
	size_t len;
	u8 bytes[CERTIFICATE_MAX];
};

struct authority {
	void *key; /* libcrypto's, with the private part */
	u8 point[AUTHORITY_POINT_SIZE]; /* the public part, uncompressed */
	u8 id[AUTHORITY_ID_SIZE];       /* of it, by SHA-256: RFC 7093, 2, method 1 */
	char name[AUTHORITY_NAME_MAX + 1]; /* its own: what was given, and the beginning of its id */
};

/* what the TPM says of itself: profile 3.2, tpmManufacturer, tpmModel, tpmVersion, tpmSpecification */
struct certificate_device {
	u32 manufacturer, firmware_version;
	u32 level, revision;
	const char *model;
};

/* libcrypto's random numbers. -ENAMETOOLONG, -EIO: libcrypto said no */
int authority_make(struct authority *a, const char *name) __must_check;
/* the private key is wiped; an authority that was not made is fine when it is {0} */
void authority_forget(struct authority *a);
/* of itself. -EIO, -EMSGSIZE: longer than CERTIFICATE_MAX */
int certificate_of_authority(const struct authority *a, struct certificate *ret) __must_check;
/* key: the endorsement key as the TPM gave it, RSA or ECC P-256; -EPROTO when it is none of these */
int certificate_of_key(const struct authority *a, const struct certificate_device *device, const struct tpm_public *key,
		       struct certificate *ret) __must_check;
