#include "vmm/tpm/identity.h"

#include <errno.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/tpm/certificate.h"
#include "vmm/tpm/wire.h"

LOG_DOMAIN("tpm");

#define BANKS (TPM_BANK_SHA256 | TPM_BANK_SHA384)

/* EK profile 2.2.1.5.1, as swtpm has them: made by the platform, to be read by everybody, locked once they are written */
#define CERTIFICATE_ATTRIBUTES                                                                                             \
	(TPMA_NV_PLATFORMCREATE | TPMA_NV_NO_DA | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD | TPMA_NV_PPREAD |                  \
	 TPMA_NV_WRITEDEFINE | TPMA_NV_PPWRITE)
#define KEY_ATTRIBUTES                                                                                                     \
	(TPMA_OBJECT_FIXED_TPM | TPMA_OBJECT_FIXED_PARENT | TPMA_OBJECT_SENSITIVE_DATA_ORIGIN |                            \
	 TPMA_OBJECT_ADMIN_WITH_POLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

enum { EK_RSA, EK_P256, EK_COUNT };

static const struct {
	const char *name;
	u32 handle, certificate;
} keys[EK_COUNT] = {
	[EK_RSA] = { "RSA 2048", TPM_EK_RSA_HANDLE, TPM_NV_EK_RSA_CERTIFICATE },
	[EK_P256] = { "ECC P-256", TPM_EK_P256_HANDLE, TPM_NV_EK_P256_CERTIFICATE },
};

/* what the TPM said, as an errno */
static int failed(int r, const char *what)
{
	if (r < 0)
		return log_err(r, "%s", what);
	return log_err(-EREMOTEIO, "%s: the TPM says %#x", what, (unsigned)r);
}

/* ---- what is there */
static int is_complete(u32 index, bool *ret)
{
	const u32 wanted = TPMA_NV_PLATFORMCREATE | TPMA_NV_WRITTEN | TPMA_NV_WRITELOCKED;
	struct tpm_nv nv;
	int r = tpm_nv_read_public(index, &nv);

	if (r && r != -ENOENT)
		return failed(r, "an NV index cannot be asked for");
	*ret = !r && (nv.attributes & wanted) == wanted;
	return 0;
}

int identity_is_there(bool *ret)
{
	bool there = false;
	/* the last that is made comes first: where it is missing nothing else has to be asked */
	int r = is_complete(TPM_NV_EK_CHAIN, &there);

	for (u32 i = 0; i < EK_COUNT && !r && there; i++)
		r = is_complete(keys[i].certificate, &there);
	if (!r)
		*ret = there;
	return r;
}

int identity_banks(bool *ret_restart)
{
	u32 active, supported;
	int r = tpm_pcr_banks(&active, &supported);

	if (r)
		return failed(r, "PCR banks");
	if ((supported & BANKS) != BANKS)
		return log_err(-ENODEV, "the TPM has no PCRs of SHA-256 and SHA-384");
	*ret_restart = active != BANKS;
	if (active == BANKS)
		return 0;
	r = tpm_pcr_allocate(BANKS, supported);
	return r ? failed(r, "PCR banks cannot be set") : 0;
}

/* ---- keys. TPMT_PUBLIC, part 2, 12.2.4; EK profile B.3.3 and B.3.4 */
static void key_template(u32 which, struct tpm_public *ret)
{
	static const u8 policy[] = TPM_EK_POLICY_A, zero[TPM_EK_RSA_BITS / 8];
	struct wire w = wire_of(ret->bytes, sizeof(ret->bytes));

	wire_u16(&w, which == EK_RSA ? TPM_ALG_RSA : TPM_ALG_ECC);
	wire_u16(&w, TPM_ALG_SHA256);
	wire_u32(&w, KEY_ATTRIBUTES);
	wire_sized(&w, policy, sizeof(policy));
	wire_u16(&w, TPM_ALG_AES);
	wire_u16(&w, TPM_EK_AES_BITS);
	wire_u16(&w, TPM_ALG_CFB);
	wire_u16(&w, TPM_ALG_NULL); /* no scheme */
	if (which == EK_RSA) {
		wire_u16(&w, TPM_EK_RSA_BITS);
		wire_u32(&w, 0); /* the exponent that everybody has */
		wire_sized(&w, zero, TPM_EK_RSA_BITS / 8);
	} else {
		wire_u16(&w, TPM_ECC_NIST_P256);
		wire_u16(&w, TPM_ALG_NULL); /* no KDF */
		wire_sized(&w, zero, TPM_EK_P256_BYTES);
		wire_sized(&w, zero, TPM_EK_P256_BYTES);
	}
	ret->len = w.len;
}

/* 0, a response code, -errno. public: of the key that is made from the seed */
static int persist(u32 transient, u32 handle, const struct tpm_public *public)
{
	struct tpm_public is;
	bool there;
	int r = tpm_handle_exists(handle, &there);

	if (r)
		return r;
	if (there) {
		r = tpm_read_public(handle, &is);
		if (r)
			return r;
		if (is.len == public->len && !memcmp(is.bytes, public->bytes, is.len))
			return 0;
		log_at(LOG_NOTICE, "the key at %#x is no endorsement key of this TPM: replaced", handle);
		r = tpm_evict_control(TPM_RH_OWNER, handle, handle);
		if (r)
			return r;
	}
	return tpm_evict_control(TPM_RH_OWNER, transient, handle);
}

/* the seed's key, at its handle and nowhere else */
static int make_key(u32 which, struct tpm_public *ret)
{
	struct tpm_public template;
	u32 transient;

	key_template(which, &template);
	int r = tpm_create_primary(TPM_RH_ENDORSEMENT, &template, &transient, ret);

	if (r)
		return failed(r, keys[which].name);
	r = persist(transient, keys[which].handle, ret);
	/* an owner with a password: the certificate is what counts, whoever needs the key can make it */
	if (r > 0 && (tpm_rc_base(r) == TPM_RC_BAD_AUTH || tpm_rc_base(r) == TPM_RC_AUTH_FAIL)) {
		log_at(LOG_NOTICE, "the owner does not allow the endorsement key %s to be kept", keys[which].name);
		r = 0;
	}
	int flushed = tpm_flush(transient);

	if (r || flushed)
		return failed(r ? r : flushed, keys[which].name);
	return 0;
}

int identity_restore_keys(void)
{
	struct tpm_public public;
	bool there;
	int r = 0;

	for (u32 i = 0; i < EK_COUNT && !r; i++) {
		r = tpm_handle_exists(keys[i].handle, &there);
		if (r)
			return failed(r, keys[i].name);
		if (!there)
			r = make_key(i, &public);
	}
	return r;
}

/* ---- certificates */
/* whatever was at this index goes, also what an owner put there */
static int undefine(u32 index)
{
	struct tpm_nv nv;
	int r = tpm_nv_read_public(index, &nv);

	if (r == -ENOENT)
		return 0;
	return r ? r : tpm_nv_undefine(index);
}

static int keep(u32 index, const struct certificate *c)
{
	struct tpm_nv nv = { index, CERTIFICATE_ATTRIBUTES, (u16)c->len };
	int r = undefine(index);

	if (!r)
		r = tpm_nv_define(&nv);
	if (!r)
		r = tpm_nv_write(index, bytes_of(c->bytes, c->len));
	/* says that it is all there, and that nobody writes it any more */
	if (!r)
		r = tpm_nv_write_lock(index);
	return r ? failed(r, "a certificate cannot be kept") : 0;
}

static int ask_device(const struct identity_config *config, struct certificate_device *ret)
{
	struct certificate_device d = { .model = config->model };
	int r = tpm_property(TPM_PT_MANUFACTURER, &d.manufacturer);

	if (!r)
		r = tpm_property(TPM_PT_FIRMWARE_VERSION_1, &d.firmware_version);
	if (!r)
		r = tpm_property(TPM_PT_LEVEL, &d.level);
	if (!r)
		r = tpm_property(TPM_PT_REVISION, &d.revision);
	if (r)
		return failed(r, "what the TPM says of itself");
	*ret = d;
	return 0;
}

static int certify(const struct authority *a, const struct certificate_device *device, const struct tpm_public public[EK_COUNT])
{
	struct certificate c;
	int r = undefine(TPM_NV_EK_CHAIN);

	/* first, as it says that all the others are there */
	if (r)
		return failed(r, "an old certificate cannot be removed");
	for (u32 i = 0; i < EK_COUNT; i++) {
		r = certificate_of_key(a, device, &public[i], &c);
		if (!r)
			r = keep(keys[i].certificate, &c);
		if (r)
			return r;
	}
	r = certificate_of_authority(a, &c);
	return r ? r : keep(TPM_NV_EK_CHAIN, &c);
}

int identity_manufacture(const struct identity_config *config)
{
	struct tpm_public public[EK_COUNT];
	struct certificate_device device;
	struct authority authority;
	int r = ask_device(config, &device);

	for (u32 i = 0; i < EK_COUNT && !r; i++)
		r = make_key(i, &public[i]);
	if (!r)
		r = authority_make(&authority, config->authority);
	if (r)
		return r;
	r = certify(&authority, &device, public);
	authority_forget(&authority);
	if (!r)
		log_at(LOG_NOTICE, "endorsement keys and their certificates were made");
	return r;
}
