/*
 * Manufacture, cut at every store; certificates as libcrypto's X.509 reads and verifies them, which had no part in writing them.
 * With TPM_CERTIFICATES=FOLDER in the environment they are also written there, for others to look at.
 */
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/model_tpm.h"
#include "vmm/device_worker/sandbox.h"
#include "vmm/tpm/certificate.h"
#include "vmm/tpm/identity.h"

static struct model_tpm tpm;
static const struct identity_config config = { "Paravane vTPM authority", "Paravane" };

#define TWO_BANKS (TPM_BANK_SHA256 | TPM_BANK_SHA384)
static const u32 indices[] = { TPM_NV_EK_RSA_CERTIFICATE, TPM_NV_EK_P256_CERTIFICATE, TPM_NV_EK_CHAIN };
static const u32 handles[] = { TPM_EK_RSA_HANDLE, TPM_EK_P256_HANDLE };

static int on(void **state)
{
	model_tpm_new(&tpm);
	return 0;
}

static int off(void **state)
{
	model_tpm_fini(&tpm);
	return 0;
}

/* as a start of the machine does it; power may go in it */
static int start(void)
{
	bool there = false, restart = false;
	int r = identity_is_there(&there);

	if (r || there)
		return r;
	r = identity_banks(&restart);
	if (r)
		return r;
	if (restart) {
		tpm_engine_stop();
		r = tpm_engine_start(&tpm.store, bytes_of(NULL, 0));
		if (!r)
			r = tpm_startup_clear();
		if (r)
			return -EIO;
	}
	return identity_manufacture(&config);
}

static bool is_there(void)
{
	bool there;

	assert_int_equal(identity_is_there(&there), 0);
	return there;
}

static X509 *certificate_at(u32 index)
{
	struct tpm_nv nv = { 0 };
	u8 der[2048];
	const u8 *at = der;

	assert_int_equal(tpm_nv_read_public(index, &nv), 0);
	assert_int_equal(nv.attributes, 0x42072001 | TPMA_NV_WRITTEN | TPMA_NV_WRITELOCKED);
	assert_true(nv.size <= sizeof(der));
	assert_int_equal(tpm_nv_read(index, der, nv.size), 0);
	X509 *x = d2i_X509(NULL, &at, nv.size);

	assert_non_null(x);
	assert_int_equal(at - der, nv.size);
	if (getenv("TPM_CERTIFICATES")) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%08x.der", getenv("TPM_CERTIFICATES"), index);
		FILE *f = fopen(path, "wb");

		assert_non_null(f);
		assert_int_equal(fwrite(der, 1, nv.size, f), nv.size);
		fclose(f);
	}
	return x;
}

/* at a time, by an authority: X509_V_OK or why not */
static int verify(X509 *authority, X509 *x, time_t when)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *c = X509_STORE_CTX_new();

	assert_true(X509_STORE_add_cert(store, authority) && X509_STORE_CTX_init(c, store, x, NULL));
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(c), X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(c), when);
	int result = X509_verify_cert(c) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(c);

	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	return result;
}

/* that TPM's, and on its handle: part of the certificate's key is the end of the TPM's public area */
static void is_the_key(X509 *x, u32 handle)
{
	struct tpm_public public;
	EVP_PKEY *key = X509_get0_pubkey(x);
	u8 bytes[300];
	size_t len = 0;

	assert_int_equal(tpm_read_public(handle, &public), 0);
	assert_non_null(key);
	if (handle == TPM_EK_RSA_HANDLE) {
		BIGNUM *n = NULL, *e = NULL;

		assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n));
		assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e));
		assert_int_equal(BN_bn2bin(n, bytes), 256);
		assert_true(BN_is_word(e, 65537));
		assert_memory_equal(bytes, public.bytes + public.len - 256, 256);
		BN_free(n);
		BN_free(e);
		return;
	}
	assert_true(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, bytes, sizeof(bytes), &len));
	assert_int_equal(len, 65);
	assert_memory_equal(bytes + 1, public.bytes + public.len - 66, 32);
	assert_memory_equal(bytes + 33, public.bytes + public.len - 32, 32);
}

static void nothing_is_left_behind(void)
{
	u32 handle = 1;

	assert_int_equal(tpm_next_handle(TPM_HT_TRANSIENT, &handle), 0);
	assert_int_equal(handle, 0);
	assert_int_equal(tpm_next_handle(TPM_HT_LOADED_SESSION, &handle), 0);
	assert_int_equal(handle, 0);
}

static void all_is_well(void)
{
	u32 active = 0, supported;
	X509 *x[3];

	assert_true(is_there());
	assert_int_equal(tpm_pcr_banks(&active, &supported), 0);
	assert_int_equal(active, TWO_BANKS);
	nothing_is_left_behind();
	for (unsigned i = 0; i < 3; i++)
		x[i] = certificate_at(indices[i]);
	for (unsigned i = 0; i < 2; i++) {
		is_the_key(x[i], handles[i]);
		assert_int_equal(verify(x[2], x[i], 1600000000), X509_V_OK);
	}
	for (unsigned i = 0; i < 3; i++)
		X509_free(x[i]);
}

static void a_tpm_is_manufactured(void **state)
{
	assert_false(is_there());
	assert_int_equal(start(), 0);
	all_is_well();
	print_message("%u stores, permanent state %zu bytes\n", tpm.stores, tpm.len);
	/* and not again */
	unsigned stores = tpm.stores;

	assert_int_equal(start(), 0);
	assert_int_equal(tpm.stores, stores);
	model_tpm_restart(&tpm);
	all_is_well();
}

/* in words, as OpenSSL prints them */
static void has_text(X509 *x, const char *const *lines)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *printed;

	assert_true(X509_print_ex(out, x, XN_FLAG_ONELINE, 0));
	BIO_write(out, "", 1);
	BIO_get_mem_data(out, &printed);
	for (; *lines; lines++) {
		if (!strstr(printed, *lines))
			fail_msg("no '%s' in %s", *lines, printed);
	}
	BIO_free(out);
}

static bool critical(X509 *x, int nid)
{
	X509_EXTENSION *e = X509_get_ext(x, X509_get_ext_by_NID(x, nid, -1));

	assert_non_null(e);
	return X509_EXTENSION_get_critical(e);
}

/* one byte more, which may be any */
static void is_extension(X509 *x, int nid, const u8 *expected, size_t len)
{
	const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(x, X509_get_ext_by_NID(x, nid, -1)));

	assert_non_null(value);
	assert_int_equal(ASN1_STRING_length(value), len + 1);
	assert_memory_equal(ASN1_STRING_get0_data(value), expected, len);
}

static void certificates_are_as_the_profile_wants(void **state)
{
	static const char *const ek[] = {
		"Version: 3", "ecdsa-with-SHA256", "Not Before: Jan  1 00:00:00 2020 GMT",
		"Not After : Dec 31 23:59:59 9999 GMT",
		"/2.23.133.2.1=id:49424D00/2.23.133.2.2=Paravane/2.23.133.2.3=id:20", "CA:FALSE", "2.23.133.8.1", NULL };
	static const char *const rsa[] = { "Key Encipherment", "Public-Key: (2048 bit)", NULL };
	static const char *const ecc[] = { "Key Agreement", "NIST CURVE: P-256", NULL };
	static const char *const ca[] = { "CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "CN = Paravane vTPM authority ",
					  NULL };
	/* TPM 2.0, level 0, a revision above 127 */
	static const u8 specification[] = { 0x30, 0x19, 0x30, 0x17, 6, 5, 0x67, 0x81, 5, 2, 16, 0x31, 14, 0x30, 12,
					    12, 3, '2', '.', '0', 2, 1, 0, 2, 2, 0 };
	X509 *x[3];

	assert_int_equal(start(), 0);
	for (unsigned i = 0; i < 3; i++)
		x[i] = certificate_at(indices[i]);
	has_text(x[2], ca);
	has_text(x[0], rsa);
	has_text(x[1], ecc);
	for (unsigned i = 0; i < 2; i++) {
		has_text(x[i], ek);
		assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x[i])), 0);
		assert_true(critical(x[i], NID_subject_alt_name));
		assert_true(critical(x[i], NID_basic_constraints));
		assert_true(critical(x[i], NID_key_usage));
		assert_false(critical(x[i], NID_ext_key_usage));
		assert_false(critical(x[i], NID_authority_key_identifier));
		is_extension(x[i], NID_subject_directory_attributes, specification, sizeof(specification));
		assert_int_equal(X509_get_extension_flags(x[i]) & (EXFLAG_INVALID | EXFLAG_CRITICAL), 0);
		assert_int_equal(X509_check_issued(x[2], x[i]), X509_V_OK);
		/* not before 2020; and never too late */
		assert_int_equal(verify(x[2], x[i], 1500000000), X509_V_ERR_CERT_NOT_YET_VALID);
		assert_int_equal(verify(x[2], x[i], 16725225600), X509_V_OK);
	}
	assert_int_equal(verify(x[2], x[2], 1600000000), X509_V_OK);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(x[0]), X509_get0_serialNumber(x[1])), 0);
	/* one that was changed is noticed: another TPM's authority */
	X509 *old = x[2];

	model_tpm_fini(&tpm);
	on(NULL);
	assert_int_equal(start(), 0);
	x[2] = certificate_at(TPM_NV_EK_CHAIN);
	assert_int_not_equal(X509_NAME_cmp(X509_get_subject_name(old), X509_get_subject_name(x[2])), 0);
	assert_int_not_equal(verify(x[2], x[0], 1600000000), X509_V_OK);
	X509_free(old);
	for (unsigned i = 0; i < 3; i++)
		X509_free(x[i]);
}

/* libtpms says at length what it failed at */
static int start_quietly(void)
{
	int to = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);

	dup2(nowhere, STDERR_FILENO);
	int r = start();

	dup2(to, STDERR_FILENO);
	close(to);
	close(nowhere);
	return r;
}

/* power goes at each store; what was not finished then is, at the next start, and certificates fit keys and authority */
static void power_may_go_at_any_time(void **state)
{
	unsigned cuts = 0;
	bool whole = false;

	for (int power = 0; !whole; power++) {
		model_tpm_fini(&tpm);
		model_tpm_new(&tpm);
		tpm.power = power;
		whole = !start_quietly();
		cuts += !whole;
		model_tpm_restart(&tpm);
		/* never half there */
		if (is_there())
			all_is_well();
		assert_int_equal(start(), 0);
		all_is_well();
	}
	print_message("%u power cuts\n", cuts);
	assert_in_range(cuts, 10, 60);
}

/* Clear takes keys, not certificates; and the same keys come back */
static void keys_come_back_after_a_clear(void **state)
{
	bool there = true;

	assert_int_equal(start(), 0);
	assert_int_equal(tpm_clear(), 0);
	assert_int_equal(tpm_handle_exists(TPM_EK_RSA_HANDLE, &there), 0);
	assert_false(there);
	assert_true(is_there());
	assert_int_equal(identity_restore_keys(), 0);
	all_is_well();
	unsigned stores = tpm.stores;

	assert_int_equal(identity_restore_keys(), 0);
	assert_int_equal(tpm.stores, stores);
}

/* who could write there once, an owner or the platform, does not get a certificate for a key of another kind */
static void only_keys_of_the_seed_are_certified(void **state)
{
	static const struct tpm_public storage_key = { 26, { 0, 0x23, 0, 0x0b, 0, 3, 0, 0x72, 0, 0, 0, 6, 0, 0x80, 0, 0x43,
							     0, 0x10, 0, 3, 0, 0x10, 0, 0, 0, 0 } };
	struct tpm_nv forged = { TPM_NV_EK_RSA_CERTIFICATE, 0x42072001, 9 };
	struct tpm_public public;
	u32 transient;

	assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &storage_key, &transient, &public), 0);
	assert_int_equal(tpm_evict_control(TPM_RH_OWNER, transient, TPM_EK_P256_HANDLE), 0);
	assert_int_equal(tpm_flush(transient), 0);
	assert_int_equal(tpm_nv_define(&forged), 0);
	assert_int_equal(tpm_nv_write(forged.index, bytes_of("forged...", 9)), 0);
	assert_int_equal(tpm_nv_write_lock(forged.index), 0);
	assert_false(is_there());
	assert_int_equal(start(), 0);
	all_is_well();
}

/* what the guest chose later is left alone */
static void banks_are_set_once(void **state)
{
	u32 active = 0, supported;

	assert_int_equal(start(), 0);
	assert_int_equal(tpm_pcr_allocate(TPM_BANK_SHA1 | TPM_BANK_SHA256, 0xf), 0);
	model_tpm_restart(&tpm);
	assert_int_equal(start(), 0);
	assert_int_equal(tpm_pcr_banks(&active, &supported), 0);
	assert_int_equal(active, TPM_BANK_SHA1 | TPM_BANK_SHA256);
}

static void an_authority_has_a_short_name(void **state)
{
	struct authority a;

	assert_int_equal(authority_make(&a, "a name of forty-seven bytes is the longest name"), 0);
	assert_int_equal(strlen(a.name), 64);
	authority_forget(&a);
	authority_forget(&a);
	assert_int_equal(authority_make(&a, "a name of forty-eight bytes is longer than that!"), -ENAMETOOLONG);
	assert_null(a.key);
}

/* everywhere this process can write, but for the sanitizer's own, which is huge: how often these bytes are there */
static unsigned count_in_memory(const u8 *hidden, size_t len)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	int memory = open("/proc/self/mem", O_RDONLY);
	static u8 chunk[1 << 20];
	char line[512], mode[8];
	unsigned found = 0;
	size_t from, to;

	assert_non_null(maps);
	assert_true(memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%zx-%zx %7s", &from, &to, mode) != 3 || mode[1] != 'w' || to - from > 256 * MiB)
			continue;
		/* pieces overlap by the length; what lies across the buffer they are read into is not looked at */
		for (; from < to; from += sizeof(chunk) - len) {
			ssize_t got = pread(memory, chunk, MIN(to - from, sizeof(chunk)), (off_t)from);

			for (ssize_t i = 0; i + (ssize_t)len <= got; i++) {
				size_t k = 0;

				while (k < len && (u8)~hidden[k] == chunk[i + k])
					k++;
				found += k == len && !(from + i >= (size_t)chunk && from + i < (size_t)chunk + sizeof(chunk));
			}
		}
	}
	close(memory);
	fclose(maps);
	return found;
}

/* and nobody can sign in its name later who reads this process's memory: the sanitizer keeps freed memory as it was freed */
static void the_authoritys_key_is_forgotten(void **state)
{
	struct certificate c;
	struct authority a;
	BIGNUM *private = NULL;
	u8 hidden[32], written[32];

	assert_int_equal(authority_make(&a, "short-lived"), 0);
	assert_int_equal(certificate_of_authority(&a, &c), 0);
	assert_true(EVP_PKEY_get_bn_param(a.key, OSSL_PKEY_PARAM_PRIV_KEY, &private));
	/* as libcrypto's numbers are in memory; kept inverted, so as not to be found */
	assert_int_equal(BN_bn2lebinpad(private, hidden, sizeof(hidden)), sizeof(hidden));
	BN_clear_free(private);
	for (size_t i = 0; i < sizeof(hidden); i++)
		hidden[i] = (u8)~hidden[i];
	/* and as they are when written out, big endian */
	for (size_t i = 0; i < sizeof(hidden); i++)
		written[i] = hidden[sizeof(hidden) - 1 - i];
	assert_in_range(count_in_memory(hidden, sizeof(hidden)), 1, 8);
	authority_forget(&a);
	assert_int_equal(count_in_memory(hidden, sizeof(hidden)), 0);
	assert_int_equal(count_in_memory(written, sizeof(written)), 0);
}

static int live_in_a_sandbox(void)
{
	bool there;

	/* as the program does: what libcrypto opens, it opens before */
	if (tpm_engine_start(&tpm.store, bytes_of(NULL, 0)) || device_sandbox_enter(&(struct device_sandbox){ .uid = 65534 }) ||
	    tpm_startup_clear())
		return 1;
	return start() ? 2 : identity_is_there(&there) || !there ? 3 : 0;
}

static void it_needs_little(void **state)
{
	pid_t pid;
	int status;

	model_tpm_fini(&tpm);
	model_tpm_init(&tpm);
	pid = fork();
	if (!pid)
		syscall(SYS_exit_group, live_in_a_sandbox());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("status %#x", status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_needs_little), TEST(a_tpm_is_manufactured), TEST(certificates_are_as_the_profile_wants),
		TEST(keys_come_back_after_a_clear), TEST(only_keys_of_the_seed_are_certified), TEST(banks_are_set_once),
		TEST(an_authority_has_a_short_name), TEST(the_authoritys_key_is_forgotten),
		TEST(power_may_go_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
