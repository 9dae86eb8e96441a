/*
 * The log against the PCRs: it is read here by a reader of its own, which computes what the PCRs must have. With TPM_LOG=FILE
 * in the environment it is also written there, for tpm2_eventlog.
 */
#include <openssl/sha.h>
#include <stdio.h>

#include "tests/lib/model_tpm.h"
#include "vmm/tpm/measure.h"

static struct model_tpm tpm;
static struct measure measure;

#define TWO_BANKS (TPM_BANK_SHA256 | TPM_BANK_SHA384)
#define ALL_BANKS (TWO_BANKS | TPM_BANK_SHA1 | TPM_BANK_SHA512)
#define TEXT(s) bytes_of(s, sizeof(s) - 1)

/* what a replay comes to: [bank][PCR] */
static u8 replayed[TPM_BANK_COUNT][TPM_PCR_COUNT][TPM_DIGEST_MAX];
static u32 replayed_banks;

static int on(void **state)
{
	model_tpm_new(&tpm);
	assert_int_equal(tpm_pcr_allocate(TWO_BANKS, ALL_BANKS), 0);
	model_tpm_restart(&tpm);
	assert_int_equal(measure_init(&measure), 0);
	return 0;
}

static int off(void **state)
{
	measure_fini(&measure);
	model_tpm_fini(&tpm);
	return 0;
}

/* ---- a reader, by the numbers of the PFP */
static unsigned index_of(u16 algorithm)
{
	switch (algorithm) {
	case 4:
		return 0;
	case 0xb:
		return 1;
	case 0xc:
		return 2;
	case 0xd:
		return 3;
	}
	fail_msg("algorithm %#x", algorithm);
	return 0;
}

static void extend(u8 *pcr, unsigned bank, const u8 *digest)
{
	static const size_t lens[] = { 20, 32, 48, 64 };
	u8 both[128];

	memcpy(both, pcr, lens[bank]);
	memcpy(both + lens[bank], digest, lens[bank]);
	if (bank == 0)
		SHA1(both, 40, pcr);
	else if (bank == 1)
		SHA256(both, 64, pcr);
	else if (bank == 2)
		SHA384(both, 96, pcr);
	else
		SHA512(both, 128, pcr);
}

static unsigned read_header(struct bytes *b, u16 algorithms[], u16 sizes[])
{
	u32 pcr = 1, type = 0, size = 0, platform, count = 0;
	u8 zero[20], signature[16], version[4], vendor = 1;

	assert_true(bytes_u32(b, &pcr) && bytes_u32(b, &type) && bytes_copy(b, zero, 20) && bytes_u32(b, &size));
	assert_int_equal(pcr, 0);
	assert_int_equal(type, 3);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(zero[i], 0);
	struct bytes event = { 0 };

	assert_true(bytes_take(b, size, &event));
	assert_true(bytes_copy(&event, signature, 16) && bytes_u32(&event, &platform) && bytes_copy(&event, version, 4) &&
		    bytes_u32(&event, &count));
	assert_memory_equal(signature, "Spec ID Event03", 16);
	assert_memory_equal(version, "\0\2\151\2", 4);
	assert_in_range(count, 1, 4);
	for (u32 i = 0; i < count; i++)
		assert_true(bytes_u16(&event, &algorithms[i]) && bytes_u16(&event, &sizes[i]));
	assert_true(bytes_u8(&event, &vendor));
	assert_int_equal(vendor, 0);
	assert_int_equal(event.left, 0);
	return count;
}

/* how many records there are behind the first */
static unsigned replay(struct bytes b)
{
	u16 algorithms[4], sizes[4], algorithm = 0;
	u32 pcr = 0, type, digests = 0, size = 0;
	unsigned events = 0, count = read_header(&b, algorithms, sizes);

	memset(replayed, 0, sizeof(replayed));
	replayed_banks = 0;
	for (unsigned i = 0; i < count; i++)
		replayed_banks |= 1u << index_of(algorithms[i]);
	for (; b.left; events++) {
		assert_true(bytes_u32(&b, &pcr) && bytes_u32(&b, &type) && bytes_u32(&b, &digests));
		assert_int_equal(digests, count);
		assert_true(pcr < TPM_PCR_COUNT);
		for (u32 i = 0; i < digests; i++) {
			struct bytes digest = { 0 };

			assert_true(bytes_u16(&b, &algorithm) && bytes_take(&b, sizes[i], &digest));
			assert_int_equal(algorithm, algorithms[i]);
			extend(replayed[index_of(algorithm)][pcr], index_of(algorithm), digest.at);
		}
		assert_true(bytes_u32(&b, &size) && bytes_skip(&b, size));
	}
	return events;
}

static void pcrs_are_as_replayed(void)
{
	u8 value[TPM_DIGEST_MAX];

	for (u32 bank = 0; bank < TPM_BANK_COUNT; bank++) {
		/* 17 to 22 start with all ones: nothing is measured there */
		for (u32 pcr = 0; pcr < 17 && replayed_banks & 1u << bank; pcr++) {
			assert_int_equal(tpm_pcr_read(1u << bank, pcr, value), 0);
			assert_memory_equal(value, replayed[bank][pcr], tpm_banks[bank].digest_len);
		}
	}
}

static void boot(void)
{
	static const u8 kernel[3 * 4096 + 17] = { 1, 2, 3 };

	measure_begin(&measure, 4, TPM_EV_IPL);
	for (size_t at = 0; at < sizeof(kernel); at += 1000)
		measure_data(&measure, bytes_of(kernel + at, MIN(sizeof(kernel) - at, 1000u)));
	assert_int_equal(measure_end(&measure, TEXT("kernel")), 0);
	assert_int_equal(measure_all(&measure, 9, TPM_EV_IPL, TEXT("initrd"), TEXT("initrd\0")), 0);
	assert_int_equal(measure_all(&measure, 8, TPM_EV_IPL, TEXT("console=ttyS0"), TEXT("kernel_cmdline: console=ttyS0\0")), 0);
	assert_int_equal(measure_separators(&measure), 0);
}

static void keep_for_others(struct bytes log)
{
	const char *path = getenv("TPM_LOG");
	FILE *f = path ? fopen(path, "wb") : NULL;

	if (!f)
		return;
	assert_int_equal(fwrite(log.at, 1, log.left, f), log.left);
	fclose(f);
}

static void the_log_explains_the_pcrs(void **state)
{
	u8 hash[32], expected[32], value[TPM_DIGEST_MAX];
	static const u8 kernel[3 * 4096 + 17] = { 1, 2, 3 };

	boot();
	assert_int_equal(replay(measure_log(&measure)), 3 + 8);
	assert_int_equal(replayed_banks, TWO_BANKS);
	pcrs_are_as_replayed();
	keep_for_others(measure_log(&measure));
	/* and in full, for one: SHA-256(SHA-256(0 || SHA-256(kernel)) || SHA-256(separator)) */
	u8 pcr[64] = { 0 };

	SHA256(kernel, sizeof(kernel), hash);
	memcpy(pcr + 32, hash, 32);
	SHA256(pcr, 64, expected);
	memcpy(pcr, expected, 32);
	SHA256((const u8[4]){ 0 }, 4, pcr + 32);
	SHA256(pcr, 64, expected);
	assert_int_equal(tpm_pcr_read(TPM_BANK_SHA256, 4, value), 0);
	assert_memory_equal(value, expected, 32);
}

/* a guest may have asked for others, by physical presence: none that is on is left unextended */
static void banks_are_the_tpms(void **state)
{
	measure_fini(&measure);
	assert_int_equal(tpm_pcr_allocate(ALL_BANKS, ALL_BANKS), 0);
	model_tpm_restart(&tpm);
	assert_int_equal(measure_init(&measure), 0);
	boot();
	replay(measure_log(&measure));
	assert_int_equal(replayed_banks, ALL_BANKS);
	pcrs_are_as_replayed();
}

static void a_full_log_stops_measuring(void **state)
{
	static const u8 event[1000];
	static u8 long_event[MEASURE_LOG_AREA];
	unsigned count = 0;
	int r;

	while (!(r = measure_all(&measure, 4, TPM_EV_IPL, TEXT("x"), bytes_of(event, sizeof(event)))))
		count++;
	assert_int_equal(r, -ENOSPC);
	assert_in_range(count, 50, 65);
	assert_true(measure_log(&measure).left <= MEASURE_LOG_MAX);
	assert_int_equal(measure_all(&measure, 4, TPM_EV_IPL, TEXT("x"), bytes_of(long_event, sizeof(long_event))), -ENOSPC);
	/* what the log does not have the PCR has not, either; and short ones still find room */
	assert_int_equal(replay(measure_log(&measure)), count);
	pcrs_are_as_replayed();
	assert_int_equal(measure_all(&measure, 4, TPM_EV_IPL, TEXT("x"), TEXT("y")), 0);
	replay(measure_log(&measure));
	pcrs_are_as_replayed();
}

static void what_the_tpm_refuses_is_not_in_the_log(void **state)
{
	size_t before = measure_log(&measure).left;

	assert_true(measure_all(&measure, 24, TPM_EV_IPL, TEXT("x"), TEXT("y")) > 0);
	tpm_engine_stop();
	assert_int_equal(measure_all(&measure, 4, TPM_EV_IPL, TEXT("x"), TEXT("y")), -EIO);
	assert_int_equal(measure_log(&measure).left, before);
	struct measure without;

	assert_int_equal(measure_init(&without), -EIO);
	measure_fini(&without);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_log_explains_the_pcrs), TEST(banks_are_the_tpms), TEST(a_full_log_stops_measuring),
		TEST(what_the_tpm_refuses_is_not_in_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
