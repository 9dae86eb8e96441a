#include "vmm/tpm/measure.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/core/check.h"
#include "lib/log/log.h"

LOG_DOMAIN("tpm");

#define SEPARATOR_PCRS 8u

/* by its default provider, which is in libcrypto itself: no file is looked for (tpm_engine_start() saw to its configuration) */
static const EVP_MD *hash_of(u32 bank)
{
	switch (tpm_banks[bank].algorithm) {
	case TPM_ALG_SHA1:
		return EVP_sha1();
	case TPM_ALG_SHA256:
		return EVP_sha256();
	case TPM_ALG_SHA384:
		return EVP_sha384();
	default:
		return EVP_sha512();
	}
}

static void put(struct measure *m, const void *data, size_t len)
{
	CHECK(len <= MEASURE_LOG_MAX - m->len);
	if (len)
		memcpy(m->log + m->len, data, len);
	m->len += len;
}

static void put_u16(struct measure *m, u16 value)
{
	put(m, &value, sizeof(value));
}

static void put_u32(struct measure *m, u32 value)
{
	put(m, &value, sizeof(value));
}

/* PFP 1.05, 10.4.5.1: which digests the records have, in their order */
static void put_first(struct measure *m)
{
	u32 count = (u32)__builtin_popcount(m->banks);
	/* behind the struct four bytes an algorithm, and no vendor information, in one byte */
	struct tpm_log_first first = {
		.type = TPM_EV_NO_ACTION, .event_size = (u32)sizeof(struct tpm_log_spec_id) + 4 * count + 1,
	};
	struct tpm_log_spec_id id = {
		.signature = TPM_LOG_SIGNATURE, .version_major = 2, .errata = TPM_LOG_ERRATA, .uintn_size = TPM_LOG_UINTN_64,
		.algorithm_count = count,
	};

	put(m, &first, sizeof(first));
	put(m, &id, sizeof(id));
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (!(m->banks & BIT(i)))
			continue;
		put_u16(m, tpm_banks[i].algorithm);
		put_u16(m, tpm_banks[i].digest_len);
	}
	put(m, "", 1);
}

int measure_init(struct measure *m)
{
	u32 supported;

	*m = (struct measure){ 0 };
	int r = tpm_pcr_banks(&m->banks, &supported);

	if (r)
		return r;
	if (!m->banks)
		return log_err(-ENODEV, "the TPM has no PCRs in any bank known here");
	m->log = calloc(1, MEASURE_LOG_AREA);
	if (!m->log)
		return -ENOMEM;
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (!(m->banks & BIT(i)))
			continue;
		m->hash[i] = EVP_MD_CTX_new();
		if (!m->hash[i]) {
			measure_fini(m);
			return -ENOMEM;
		}
	}
	put_first(m);
	return 0;
}

void measure_fini(struct measure *m)
{
	for (u32 i = 0; i < TPM_BANK_COUNT; i++)
		EVP_MD_CTX_free(m->hash[i]);
	free(m->log);
	*m = (struct measure){ 0 };
}

void measure_begin(struct measure *m, u32 pcr, u32 type)
{
	CHECK(!m->open);
	m->open = true;
	m->broken = false;
	m->pcr = pcr;
	m->type = type;
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (m->hash[i] && EVP_DigestInit_ex(m->hash[i], hash_of(i), NULL) != 1)
			m->broken = true;
	}
}

void measure_data(struct measure *m, struct bytes data)
{
	CHECK(m->open);
	for (u32 i = 0; i < TPM_BANK_COUNT && !m->broken; i++) {
		if (m->hash[i] && EVP_DigestUpdate(m->hash[i], data.at, data.left) != 1)
			m->broken = true;
	}
}

static void put_event(struct measure *m, const struct tpm_digests *digests, struct bytes event)
{
	struct tpm_log_event head = { m->pcr, m->type, (u32)__builtin_popcount(digests->banks) };

	put(m, &head, sizeof(head));
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		if (!(digests->banks & BIT(i)))
			continue;
		put_u16(m, tpm_banks[i].algorithm);
		put(m, digests->digest[i], tpm_banks[i].digest_len);
	}
	put_u32(m, (u32)event.left);
	put(m, event.at, event.left);
}

static size_t room_wanted(const struct measure *m, struct bytes event)
{
	size_t len = sizeof(struct tpm_log_event) + sizeof(u32) + event.left;

	for (u32 i = 0; i < TPM_BANK_COUNT; i++)
		len += m->banks & BIT(i) ? sizeof(u16) + tpm_banks[i].digest_len : 0;
	return len;
}

int measure_end(struct measure *m, struct bytes event)
{
	struct tpm_digests digests = { .banks = m->banks };

	CHECK(m->open);
	m->open = false;
	for (u32 i = 0; i < TPM_BANK_COUNT && !m->broken; i++) {
		if (m->hash[i] && EVP_DigestFinal_ex(m->hash[i], digests.digest[i], NULL) != 1)
			m->broken = true;
	}
	if (m->broken)
		return log_err(-EIO, "PCR %u: libcrypto does not hash", m->pcr);
	if (event.left > MEASURE_LOG_MAX || room_wanted(m, event) > MEASURE_LOG_MAX - m->len)
		return log_err(-ENOSPC, "PCR %u: the log of %u bytes is full", m->pcr, MEASURE_LOG_MAX);
	int r = tpm_pcr_extend(m->pcr, &digests);

	if (r)
		return r;
	put_event(m, &digests, event);
	return 0;
}

int measure_all(struct measure *m, u32 pcr, u32 type, struct bytes data, struct bytes event)
{
	measure_begin(m, pcr, type);
	measure_data(m, data);
	return measure_end(m, event);
}

int measure_separators(struct measure *m)
{
	static const u8 zero[4];
	const struct bytes separator = bytes_of(zero, sizeof(zero));
	int r = 0;

	for (u32 pcr = 0; pcr < SEPARATOR_PCRS && !r; pcr++)
		r = measure_all(m, pcr, TPM_EV_SEPARATOR, separator, separator);
	return r;
}

struct bytes measure_log(const struct measure *m)
{
	return bytes_of(m->log, m->len);
}
