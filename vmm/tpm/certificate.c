#include "vmm/tpm/certificate.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "lib/log/log.h"
#include "vmm/tpm/wire.h"

LOG_DOMAIN("tpm");

/* X.690: universal tags, and [n] as they are used here */
enum {
	DER_BOOLEAN = 0x01, DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_OCTET_STRING = 0x04, DER_NULL = 0x05, DER_OID = 0x06,
	DER_UTF8 = 0x0c, DER_UTC_TIME = 0x17, DER_TIME = 0x18, DER_SEQUENCE = 0x30, DER_SET = 0x31,
	DER_IMPLICIT_0 = 0x80, DER_EXPLICIT_0 = 0xa0, DER_EXPLICIT_3 = 0xa3, DER_EXPLICIT_4 = 0xa4,
};

#define SERIAL_SIZE 16u /* RFC 5280, 4.1.2.2: at most 20, positive */
/* whenever it is made the machine's clock may be wrong; the second is RFC 5280's "no well-defined expiration", 4.1.2.5 */
#define NOT_BEFORE "200101000000Z"
#define NOT_AFTER "99991231235959Z"

#define OID(name, ...)                                                                                                     \
	static const u8 name##_bytes[] = { __VA_ARGS__ };                                                                  \
	static const struct bytes name = { name##_bytes, sizeof(name##_bytes) }
OID(oid_ecdsa_sha256, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2); /* 1.2.840.10045.4.3.2 */
OID(oid_ec_key, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1); /* 1.2.840.10045.2.1 */
OID(oid_p256, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7); /* 1.2.840.10045.3.1.7 */
OID(oid_rsa, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1); /* 1.2.840.113549.1.1.1 */
OID(oid_common_name, 0x55, 4, 3); /* 2.5.4.3 */
OID(oid_directory_attributes, 0x55, 0x1d, 9); /* 2.5.29.9 */
OID(oid_subject_key, 0x55, 0x1d, 14); /* 2.5.29.14 */
OID(oid_key_usage, 0x55, 0x1d, 15); /* 2.5.29.15 */
OID(oid_alternative_name, 0x55, 0x1d, 17); /* 2.5.29.17 */
OID(oid_basic_constraints, 0x55, 0x1d, 19); /* 2.5.29.19 */
OID(oid_authority_key, 0x55, 0x1d, 35); /* 2.5.29.35 */
OID(oid_extended_usage, 0x55, 0x1d, 37); /* 2.5.29.37 */
OID(oid_tpm_manufacturer, 0x67, 0x81, 5, 2, 1); /* 2.23.133.2.1 */
OID(oid_tpm_model, 0x67, 0x81, 5, 2, 2); /* 2.23.133.2.2 */
OID(oid_tpm_version, 0x67, 0x81, 5, 2, 3); /* 2.23.133.2.3 */
OID(oid_tpm_specification, 0x67, 0x81, 5, 2, 16); /* 2.23.133.2.16 */
OID(oid_ek_certificate, 0x67, 0x81, 5, 8, 1); /* 2.23.133.8.1 */

/* RFC 5280, 4.2.1.3: bits from the top of the octet, and how many at its end are none */
struct usage {
	u8 unused, bits;
};
static const struct usage usage_key_encipherment = { 5, 0x20 }, usage_key_agreement = { 3, 0x08 }, usage_authority = { 1, 0x06 };

/* ---- DER: a value's length is in front of it, in as few bytes as can be; what is already there moves up for it */
static size_t der_open(struct wire *w, u8 tag)
{
	wire_u8(w, tag);
	wire_u8(w, 0);
	return w->len;
}

static void der_close(struct wire *w, size_t mark)
{
	size_t len = w->len - mark, more = len < 0x80 ? 0 : len < 0x100 ? 1 : 2;

	wire_put(w, "\0", more);
	if (w->full)
		return;
	memmove(w->bytes + mark + more, w->bytes + mark, len);
	w->bytes[mark - 1] = more ? (u8)(0x80 | more) : (u8)len;
	for (size_t i = 0; i < more; i++)
		w->bytes[mark + i] = (u8)(len >> 8 * (more - 1 - i));
}

static void value(struct wire *w, u8 tag, const void *data, size_t len)
{
	size_t mark = der_open(w, tag);

	wire_put(w, data, len);
	der_close(w, mark);
}

static void text(struct wire *w, u8 tag, const char *s)
{
	value(w, tag, s, strlen(s));
}

static void oid(struct wire *w, struct bytes id)
{
	value(w, DER_OID, id.at, id.left);
}

/* an unsigned one, big endian, without its zeros in front but for the one that says it is not negative */
static void integer(struct wire *w, const u8 *bytes, size_t len)
{
	size_t mark = der_open(w, DER_INTEGER);

	for (; len > 1 && !*bytes; len--)
		bytes++;
	if (*bytes & 0x80)
		wire_u8(w, 0);
	wire_put(w, bytes, len);
	der_close(w, mark);
}

static void number(struct wire *w, u32 n)
{
	u32 big = __builtin_bswap32(n);

	integer(w, (const u8 *)&big, sizeof(big));
}

static size_t open_bits(struct wire *w)
{
	size_t mark = der_open(w, DER_BIT_STRING);

	wire_u8(w, 0); /* bits that are none at the end */
	return mark;
}

/* ---- names and keys */
/* one relative name of one attribute */
static void attribute(struct wire *w, struct bytes type, const char *s)
{
	size_t set = der_open(w, DER_SET), sequence = der_open(w, DER_SEQUENCE);

	oid(w, type);
	text(w, DER_UTF8, s);
	der_close(w, sequence);
	der_close(w, set);
}

static void common_name(struct wire *w, const char *s)
{
	size_t mark = der_open(w, DER_SEQUENCE);

	attribute(w, oid_common_name, s);
	der_close(w, mark);
}

static void signature_algorithm(struct wire *w)
{
	size_t mark = der_open(w, DER_SEQUENCE);

	oid(w, oid_ecdsa_sha256);
	der_close(w, mark);
}

/* a point that is not compressed: RFC 5480, 2 */
static void p256_key(struct wire *w, const u8 point[AUTHORITY_POINT_SIZE])
{
	size_t key = der_open(w, DER_SEQUENCE), algorithm = der_open(w, DER_SEQUENCE);

	oid(w, oid_ec_key);
	oid(w, oid_p256);
	der_close(w, algorithm);
	size_t bits = open_bits(w);

	wire_put(w, point, AUTHORITY_POINT_SIZE);
	der_close(w, bits);
	der_close(w, key);
}

/* RFC 3279, 2.3.1; exponent 65537 */
static void rsa_key(struct wire *w, struct bytes modulus)
{
	size_t key = der_open(w, DER_SEQUENCE), algorithm = der_open(w, DER_SEQUENCE);

	oid(w, oid_rsa);
	value(w, DER_NULL, NULL, 0);
	der_close(w, algorithm);
	size_t bits = open_bits(w), numbers = der_open(w, DER_SEQUENCE);

	integer(w, modulus.at, modulus.left);
	number(w, 65537);
	der_close(w, numbers);
	der_close(w, bits);
	der_close(w, key);
}

/* a coordinate may come with its zeros in front or without */
static bool coordinate(struct bytes from, u8 to[TPM_EK_P256_BYTES])
{
	if (from.left > TPM_EK_P256_BYTES)
		return false;
	memcpy(to + TPM_EK_P256_BYTES - from.left, from.at, from.left);
	return true;
}

/* TPMT_PUBLIC of a key that decrypts: part 2, 12.2.4. usage: what such a key is for, profile 3.2.16 */
static bool tpm_key(struct wire *w, const struct tpm_public *key, struct usage *ret_usage)
{
	struct bytes b = bytes_of(key->bytes, key->len), policy, modulus, x, y;
	u8 point[AUTHORITY_POINT_SIZE] = { 4 };
	u16 type, parameter;
	u32 exponent;

	/* name algorithm and attributes; AES, its bits, its mode; no scheme */
	if (!wire_get_u16(&b, &type) || !bytes_skip(&b, 6) || !wire_get_sized(&b, &policy) || !bytes_skip(&b, 8) ||
	    !wire_get_u16(&b, &parameter))
		return false;
	if (type == TPM_ALG_RSA) {
		if (!wire_get_u32(&b, &exponent) || exponent || !wire_get_sized(&b, &modulus) || modulus.left != parameter / 8u ||
		    !modulus.left)
			return false;
		rsa_key(w, modulus);
		*ret_usage = usage_key_encipherment;
		return true;
	}
	if (type != TPM_ALG_ECC || parameter != TPM_ECC_NIST_P256 || !bytes_skip(&b, 2) || !wire_get_sized(&b, &x) ||
	    !wire_get_sized(&b, &y) || !coordinate(x, point + 1) || !coordinate(y, point + 1 + TPM_EK_P256_BYTES))
		return false;
	p256_key(w, point);
	*ret_usage = usage_key_agreement;
	return true;
}

/* ---- extensions: the value is an octet string with DER in it */
struct extension {
	size_t sequence, octets;
};

static struct extension open_extension(struct wire *w, struct bytes id, bool critical)
{
	struct extension e = { .sequence = der_open(w, DER_SEQUENCE) };

	oid(w, id);
	if (critical)
		value(w, DER_BOOLEAN, "\xff", 1);
	e.octets = der_open(w, DER_OCTET_STRING);
	return e;
}

static void close_extension(struct wire *w, struct extension e)
{
	der_close(w, e.octets);
	der_close(w, e.sequence);
}

static void key_usage(struct wire *w, struct usage usage)
{
	struct extension e = open_extension(w, oid_key_usage, true);

	value(w, DER_BIT_STRING, &usage, sizeof(usage));
	close_extension(w, e);
}

static void authority_key(struct wire *w, const struct authority *a)
{
	struct extension e = open_extension(w, oid_authority_key, false);
	size_t mark = der_open(w, DER_SEQUENCE);

	value(w, DER_IMPLICIT_0, a->id, sizeof(a->id));
	der_close(w, mark);
	close_extension(w, e);
}

/* an authority signs keys, no other authorities; a key signs none: that is FALSE, which DER leaves out */
static void basic_constraints(struct wire *w, bool authority)
{
	struct extension e = open_extension(w, oid_basic_constraints, true);
	size_t mark = der_open(w, DER_SEQUENCE);

	if (authority) {
		value(w, DER_BOOLEAN, "\xff", 1);
		number(w, 0);
	}
	der_close(w, mark);
	close_extension(w, e);
}

/* profile 3.2.9: critical, for the subject is empty */
static void device_name(struct wire *w, const struct certificate_device *d)
{
	struct extension e = open_extension(w, oid_alternative_name, true);
	size_t names = der_open(w, DER_SEQUENCE), directory = der_open(w, DER_EXPLICIT_4), name = der_open(w, DER_SEQUENCE);
	char hex[16];

	snprintf(hex, sizeof(hex), "id:%08X", d->manufacturer);
	attribute(w, oid_tpm_manufacturer, hex);
	attribute(w, oid_tpm_model, d->model);
	snprintf(hex, sizeof(hex), "id:%08X", d->firmware_version);
	attribute(w, oid_tpm_version, hex);
	der_close(w, name);
	der_close(w, directory);
	der_close(w, names);
	close_extension(w, e);
}

/* profile 3.2.10: which TPM library it follows */
static void specification(struct wire *w, const struct certificate_device *d)
{
	struct extension e = open_extension(w, oid_directory_attributes, false);
	size_t all = der_open(w, DER_SEQUENCE), one = der_open(w, DER_SEQUENCE);

	oid(w, oid_tpm_specification);
	size_t set = der_open(w, DER_SET), it = der_open(w, DER_SEQUENCE);

	text(w, DER_UTF8, "2.0");
	number(w, d->level);
	number(w, d->revision);
	der_close(w, it);
	der_close(w, set);
	der_close(w, one);
	der_close(w, all);
	close_extension(w, e);
}

static void extended_usage(struct wire *w)
{
	struct extension e = open_extension(w, oid_extended_usage, false);
	size_t mark = der_open(w, DER_SEQUENCE);

	oid(w, oid_ek_certificate);
	der_close(w, mark);
	close_extension(w, e);
}

static void subject_key(struct wire *w, const struct authority *a)
{
	struct extension e = open_extension(w, oid_subject_key, false);

	value(w, DER_OCTET_STRING, a->id, sizeof(a->id));
	close_extension(w, e);
}

/* ---- a certificate: the part that is signed, RFC 5280, 4.1, up to the subject */
struct draft {
	struct wire w;
	size_t whole, start, signed_part; /* start: of the signed part, its tag included */
};

static int begin(struct draft *d, const struct authority *a, struct certificate *c)
{
	u8 serial[SERIAL_SIZE];

	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return log_err(-EIO, "libcrypto has no random numbers");
	serial[0] = (u8)((serial[0] & 0x3f) | 0x40);
	d->w = wire_of(c->bytes, sizeof(c->bytes));
	d->whole = der_open(&d->w, DER_SEQUENCE);
	d->start = d->w.len;
	d->signed_part = der_open(&d->w, DER_SEQUENCE);
	size_t version = der_open(&d->w, DER_EXPLICIT_0);

	number(&d->w, 2); /* v3 */
	der_close(&d->w, version);
	integer(&d->w, serial, sizeof(serial));
	signature_algorithm(&d->w);
	common_name(&d->w, a->name);
	size_t validity = der_open(&d->w, DER_SEQUENCE);

	text(&d->w, DER_UTC_TIME, NOT_BEFORE);
	text(&d->w, DER_TIME, NOT_AFTER);
	der_close(&d->w, validity);
	return 0;
}

static int sign(const struct authority *a, const void *data, size_t len, u8 *signature, size_t *signature_len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool yes = md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, a->key) == 1 &&
		   EVP_DigestSign(md, signature, signature_len, data, len) == 1;

	EVP_MD_CTX_free(md);
	return yes ? 0 : log_err(-EIO, "libcrypto does not sign");
}

static int end(struct draft *d, const struct authority *a, struct certificate *ret)
{
	u8 signature[128];
	size_t len = sizeof(signature);

	der_close(&d->w, d->signed_part);
	if (d->w.full)
		return log_err(-EMSGSIZE, "a certificate of more than %u bytes", CERTIFICATE_MAX);
	int r = sign(a, d->w.bytes + d->start, d->w.len - d->start, signature, &len);

	if (r)
		return r;
	signature_algorithm(&d->w);
	size_t bits = open_bits(&d->w);

	wire_put(&d->w, signature, len);
	der_close(&d->w, bits);
	der_close(&d->w, d->whole);
	if (d->w.full)
		return log_err(-EMSGSIZE, "a certificate of more than %u bytes", CERTIFICATE_MAX);
	ret->len = d->w.len;
	return 0;
}

int certificate_of_authority(const struct authority *a, struct certificate *ret)
{
	struct draft d;
	int r = begin(&d, a, ret);

	if (r)
		return r;
	common_name(&d.w, a->name);
	p256_key(&d.w, a->point);
	size_t wrapped = der_open(&d.w, DER_EXPLICIT_3), extensions = der_open(&d.w, DER_SEQUENCE);

	basic_constraints(&d.w, true);
	key_usage(&d.w, usage_authority);
	subject_key(&d.w, a);
	authority_key(&d.w, a);
	der_close(&d.w, extensions);
	der_close(&d.w, wrapped);
	return end(&d, a, ret);
}

int certificate_of_key(const struct authority *a, const struct certificate_device *device, const struct tpm_public *key,
		       struct certificate *ret)
{
	struct usage usage;
	struct draft d;
	int r = begin(&d, a, ret);

	if (r)
		return r;
	value(&d.w, DER_SEQUENCE, NULL, 0); /* the subject: its names are in an extension */
	if (!tpm_key(&d.w, key, &usage))
		return log_err(-EPROTO, "the TPM's endorsement key is of no known kind");
	size_t wrapped = der_open(&d.w, DER_EXPLICIT_3), extensions = der_open(&d.w, DER_SEQUENCE);

	device_name(&d.w, device);
	basic_constraints(&d.w, false);
	specification(&d.w, device);
	authority_key(&d.w, a);
	key_usage(&d.w, usage);
	extended_usage(&d.w);
	der_close(&d.w, extensions);
	der_close(&d.w, wrapped);
	return end(&d, a, ret);
}

/* ---- who signs */
static bool generate(struct authority *a)
{
	u8 hash[32];
	size_t len = 0;

	a->key = EVP_EC_gen("P-256");
	if (!a->key || EVP_PKEY_get_octet_string_param(a->key, OSSL_PKEY_PARAM_PUB_KEY, a->point, sizeof(a->point), &len) != 1 ||
	    len != sizeof(a->point) || a->point[0] != 4)
		return false;
	if (EVP_Digest(a->point, sizeof(a->point), hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(a->id, hash, sizeof(a->id));
	return true;
}

int authority_make(struct authority *a, const char *name)
{
	*a = (struct authority){ 0 };
	if (!generate(a)) {
		authority_forget(a);
		return log_err(-EIO, "libcrypto makes no key");
	}
	/* two authorities of one name would be one to who looks only at names */
	int len = snprintf(a->name, sizeof(a->name), "%s %02x%02x%02x%02x%02x%02x%02x%02x", name, a->id[0], a->id[1], a->id[2],
			   a->id[3], a->id[4], a->id[5], a->id[6], a->id[7]);

	if (len < 0 || (size_t)len >= sizeof(a->name)) {
		authority_forget(a);
		return log_err(-ENAMETOOLONG, "an authority's name has at most %u bytes", AUTHORITY_NAME_MAX);
	}
	return 0;
}

void authority_forget(struct authority *a)
{
	/* which clears a private key as it frees it */
	EVP_PKEY_free(a->key);
	*a = (struct authority){ 0 };
}
