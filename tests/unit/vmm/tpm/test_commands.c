/* The firmware's own commands, to the engine that will get them. */
#include <openssl/evp.h>

#include "tests/lib/model_tpm.h"

static struct model_tpm tpm;

#define INDEX 0x01400042u
#define ALL_BANKS (TPM_BANK_SHA1 | TPM_BANK_SHA256 | TPM_BANK_SHA384 | TPM_BANK_SHA512)
static const u32 nv_attributes = TPMA_NV_PLATFORMCREATE | TPMA_NV_NO_DA | TPMA_NV_AUTHREAD | TPMA_NV_OWNERREAD | TPMA_NV_PPREAD |
				 TPMA_NV_WRITEDEFINE | TPMA_NV_PPWRITE;

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

static void it_starts_and_ends(void **state)
{
	u32 revision = 0, manufacturer;
	u8 random[32] = { 0 }, other[32] = { 0 };

	assert_int_equal(tpm_startup_clear(), TPM_RC_INITIALIZE); /* it was started by then */
	assert_int_equal(tpm_property(TPM_PT_REVISION, &revision), 0);
	assert_in_range(revision, 138, 200);
	assert_int_equal(tpm_property(TPM_PT_MANUFACTURER, &manufacturer), 0);
	assert_int_equal(tpm_property(0x1ff, &manufacturer), -ENOENT);
	assert_int_equal(tpm_lockout_parameters(32, 600, 86400), 0);
	assert_int_equal(tpm_property(TPM_PT_MAX_AUTH_FAIL, &revision), 0);
	assert_int_equal(revision, 32);
	assert_int_equal(tpm_random(random, sizeof(random)), 0);
	assert_int_equal(tpm_random(other, sizeof(other)), 0);
	assert_memory_not_equal(random, other, sizeof(random));
	assert_int_equal(tpm_random(random, 33), -EMSGSIZE);
	tpm_engine_stop();
	assert_int_equal(tpm_random(random, 1), -EIO);
}

static void pcrs_are_extended_in_several_banks(void **state)
{
	struct tpm_digests digests = { .banks = ALL_BANKS };
	static const char *const names[] = { "SHA1", "SHA256", "SHA384", "SHA512" };
	u32 active = 0, supported = 0;
	u8 value[TPM_DIGEST_MAX], both[2 * TPM_DIGEST_MAX], expected[TPM_DIGEST_MAX];

	assert_int_equal(tpm_pcr_banks(&active, &supported), 0);
	assert_int_equal(supported, ALL_BANKS);
	assert_int_equal(active, ALL_BANKS);
	memset(digests.digest, 0x5a, sizeof(digests.digest));
	assert_int_equal(tpm_pcr_extend(4, &digests), 0);
	for (u32 i = 0; i < TPM_BANK_COUNT; i++) {
		size_t len = tpm_banks[i].digest_len;

		memset(both, 0, sizeof(both));
		memset(both + len, 0x5a, len);
		assert_true(EVP_Digest(both, 2 * len, expected, NULL, EVP_get_digestbyname(names[i]), NULL));
		assert_int_equal(tpm_pcr_read(1u << i, 4, value), 0);
		assert_memory_equal(value, expected, len);
	}
	assert_int_equal(tpm_pcr_read(TPM_BANK_SHA256, 24, value), -ENOENT);
	assert_int_equal(tpm_pcr_read(16, 0, value), -ENOENT);
	assert_int_equal(tpm_pcr_read(0, 0, value), -ENOENT);
	assert_true(tpm_pcr_extend(24, &digests) > 0);
}

static void banks_change_with_the_next_start(void **state)
{
	u32 active = 0, supported = 0;
	u8 value[TPM_DIGEST_MAX];

	assert_int_equal(tpm_pcr_allocate(TPM_BANK_SHA256 | TPM_BANK_SHA384, ALL_BANKS), 0);
	model_tpm_restart(&tpm);
	assert_int_equal(tpm_pcr_banks(&active, &supported), 0);
	assert_int_equal(supported, ALL_BANKS);
	assert_int_equal(active, TPM_BANK_SHA256 | TPM_BANK_SHA384);
	assert_int_equal(tpm_pcr_read(TPM_BANK_SHA1, 0, value), -ENOENT);
	assert_int_equal(tpm_pcr_read(TPM_BANK_SHA384, 0, value), 0);
	/* a TPM without any is refused */
	assert_int_not_equal(tpm_pcr_allocate(0, ALL_BANKS), 0);
}

static void keys_come_and_go(void **state)
{
	const u32 persistent = 0x81000001;
	struct tpm_public made, read;
	u32 handle = 0, other;
	bool there;

	assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &model_storage_key, &handle, &made), 0);
	assert_int_equal(tpm_read_public(handle, &read), 0);
	assert_int_equal(read.len, made.len);
	assert_memory_equal(read.bytes, made.bytes, made.len);
	assert_int_equal(tpm_next_handle(TPM_HT_TRANSIENT, &other), 0);
	assert_int_equal(other, handle);
	assert_int_equal(tpm_evict_control(TPM_RH_OWNER, handle, persistent), 0);
	assert_int_equal(tpm_flush(handle), 0);
	assert_true(tpm_flush(handle) > 0);
	assert_int_equal(tpm_next_handle(TPM_HT_TRANSIENT, &other), 0);
	assert_int_equal(other, 0);
	model_tpm_restart(&tpm);
	assert_int_equal(tpm_handle_exists(persistent, &there), 0);
	assert_true(there);
	assert_int_equal(tpm_handle_exists(persistent - 1, &there), 0);
	assert_false(there);
	assert_int_equal(tpm_read_public(persistent, &read), 0);
	assert_memory_equal(read.bytes, made.bytes, made.len);
	assert_int_equal(tpm_evict_control(TPM_RH_OWNER, persistent, persistent), 0);
	assert_int_equal(tpm_handle_exists(persistent, &there), 0);
	assert_false(there);
}

static void indices_of_the_platform(void **state)
{
	struct tpm_nv nv = { INDEX, nv_attributes, 1500 }, read;
	u8 data[1500], back[1500];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7);
	assert_int_equal(tpm_nv_read_public(INDEX, &read), -ENOENT);
	assert_true(tpm_nv_undefine(INDEX) > 0);
	assert_int_equal(tpm_nv_define(&nv), 0);
	assert_int_equal(tpm_nv_define(&nv), TPM_RC_NV_DEFINED);
	assert_int_equal(tpm_nv_read_public(INDEX, &read), 0);
	assert_int_equal(read.attributes, nv_attributes);
	assert_int_equal(read.size, 1500);
	assert_int_equal(tpm_nv_write(INDEX, bytes_of(data, sizeof(data))), 0);
	assert_int_equal(tpm_nv_read(INDEX, back, sizeof(back)), 0);
	assert_memory_equal(data, back, sizeof(data));
	assert_int_equal(tpm_nv_write_lock(INDEX), 0);
	assert_true(tpm_nv_write(INDEX, bytes_of(data, 1)) > 0);
	model_tpm_restart(&tpm);
	assert_true(tpm_nv_write(INDEX, bytes_of(data, 1)) > 0);
	assert_int_equal(tpm_nv_read_public(INDEX, &read), 0);
	assert_int_equal(read.attributes, nv_attributes | TPMA_NV_WRITTEN | TPMA_NV_WRITELOCKED);
	assert_int_equal(tpm_nv_undefine(INDEX), 0);
}

/* what a guest can do to its owner, Clear undoes; and what is the platform's is none of its business */
static void cleared_and_closed(void **state)
{
	struct tpm_nv nv = { INDEX, nv_attributes, 16 }, read;
	struct tpm_public made, again;
	u32 handle;

	assert_int_equal(tpm_nv_define(&nv), 0);
	assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &model_storage_key, &handle, &made), 0);
	assert_int_equal(tpm_clear(), 0);
	assert_true(tpm_read_public(handle, &again) > 0);
	assert_int_equal(tpm_create_primary(TPM_RH_OWNER, &model_storage_key, &handle, &again), 0);
	assert_memory_not_equal(made.bytes, again.bytes, made.len);
	assert_int_equal(tpm_nv_read_public(INDEX, &read), 0);
	assert_int_equal(tpm_platform_off(), 0);
	assert_true(tpm_clear() > 0);
	assert_true(tpm_nv_undefine(INDEX) > 0);
	assert_int_equal(tpm_nv_read_public(INDEX, &read), 0);
	model_tpm_restart(&tpm);
	assert_int_equal(tpm_clear(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_starts_and_ends), TEST(pcrs_are_extended_in_several_banks), TEST(banks_change_with_the_next_start),
		TEST(keys_come_and_go), TEST(indices_of_the_platform), TEST(cleared_and_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
